"""Answers: greedy, batched, from a model on this machine or from a server."""
