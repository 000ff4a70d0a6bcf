"""Mixtures of domain and general rows: what a mixture file says, how many rows of each, which."""
