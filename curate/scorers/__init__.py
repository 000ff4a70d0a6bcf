"""One file a score. A scorer turns rows into named numbers and needs no selector."""
