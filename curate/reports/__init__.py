"""A choice or a mixture as one page to look at: see `contents` for what is on it."""
