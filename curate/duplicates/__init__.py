"""Near duplicates: which texts to compare, how alike they are, and who is kept."""
