"""What a choice can be compared with; the first is drawn where nothing is said."""

ENDINGS = {  # of the name of a control's data set
    "rows": "_random",
    "tokens": "_random_tokens",
    "length": "_random_length",
    "clusters": "_clusters",
    "longest": "_longest",
}
CONTROLS = tuple(ENDINGS)
