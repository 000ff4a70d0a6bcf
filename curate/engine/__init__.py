"""How a scorer runs over many rows: the plan, the journal, the workers."""
