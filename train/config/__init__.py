"""What a training is given: from the user's words to LLaMA-Factory's."""
