"""Programs that answer: how each is started, and what of a request it understands."""
