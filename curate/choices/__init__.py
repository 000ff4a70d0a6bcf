"""What a recipe gives back, and what can be done with it: look, choose again, compare, write."""
