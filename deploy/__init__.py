"""From a trained adapter to a running service."""
