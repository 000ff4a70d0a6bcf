"""Unit files: how a server is run for good."""
