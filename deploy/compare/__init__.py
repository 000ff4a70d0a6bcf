"""What fine-tuning changed: answers of two models to the same prompts, side by side."""
