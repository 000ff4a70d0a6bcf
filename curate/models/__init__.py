"""What computes: model names to local files, likelihoods of causal language models."""
