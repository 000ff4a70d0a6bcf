"""How a model does in an exam: questions with options, of which one is right."""
