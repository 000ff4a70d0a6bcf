"""What LLaMA-Factory 0.9.5 does with a data set: its rules, told row by row.

Our own code; tests hold it against LLaMA-Factory's own loader, converters and processors. The way
of a row: `data_set` (file and entry), `loading`, `converting` (to messages), `stages`, `diagnose`.
"""
