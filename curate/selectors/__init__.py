"""One file a choice. A selector narrows a choice and names a reason for every row it leaves out."""
