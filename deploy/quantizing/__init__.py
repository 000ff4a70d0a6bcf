"""A model in fewer bits, and what that costs."""
