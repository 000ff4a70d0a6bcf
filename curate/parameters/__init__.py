"""What recipes can be set to: one definition for command, Python function, manifest and cache."""
