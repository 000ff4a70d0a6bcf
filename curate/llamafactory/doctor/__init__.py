"""What LLaMA-Factory 0.9.5 does with a data set: its rules, told row by row.

Our own code; tests hold it against LLaMA-Factory's own loader, converters and processors. The way
of a row: `attributes` (the entry of dataset_info.json), `loading` (the file), `converting` (the
messages), `judging` (the stage), `examine` (all rows). `repair` writes what can be used.
"""
