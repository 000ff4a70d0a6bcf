"""What train and deploy run: other programs, environments of their own, LLaMA-Factory."""
