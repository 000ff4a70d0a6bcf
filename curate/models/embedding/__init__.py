"""From a text to one vector: what `--encoder` names; curate.models.encoder is a tokenizer."""
