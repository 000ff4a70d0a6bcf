"""Fine-tuning on an emitted data set, thin over LLaMA-Factory."""
