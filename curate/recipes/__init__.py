"""One file a published method: a function that joins scorers and selectors."""
