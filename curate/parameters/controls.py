"""What a choice can be compared with; the first is drawn where nothing is said."""

CONTROLS = ("rows", "tokens", "length", "clusters", "longest")
