"""What LLaMA-Factory 0.9.5 does with a data set: its rules, told row by row.

Our own code; tests hold it against LLaMA-Factory's own loader, converters and processors. The way
of a row: `entry` (of dataset_info.json), `loading` (the file), `converting` (the messages),
`stages`, `diagnose` (all rows). `repair` writes what can be used, `api` is what Python calls.
"""
