"""The verbs: one asks about texts, one for new tasks, all others about rows."""
