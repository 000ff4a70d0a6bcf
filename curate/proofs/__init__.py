"""Whether a choice beats random rows, shown by training: see `proof`."""
