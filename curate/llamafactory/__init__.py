"""LLaMA-Factory: how it is started, what it lists, what it does with rows."""
