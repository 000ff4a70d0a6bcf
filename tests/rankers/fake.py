"""Features and rewards that can be worked out on paper."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from curate.models.ranking.writing_style import FORM_NAMES, form_features


class FakeFeatures:
    """Form, and two numbers that count the letters x and y of a response."""

    encoder, fingerprint, origin, batch_tokens, workers = "fake", "d" * 64, "f" * 64, 500, 2
    name, device, threads, recipe = "fake", "cpu", 1, None

    def __init__(self):
        self.families = {"form": len(FORM_NAMES), "letters": 2}
        self.prepared = self.asked = 0

    def lengths(self, pairs):
        return [len(response) + 1 for _, response in pairs]

    def prepare(self):
        self.prepared += 1

    def features(self, pairs):
        assert self.prepared
        self.asked += len(pairs)
        letters = [[response.count("x"), response.count("y")] for _, response in pairs]
        return np.hstack([form_features(pairs), letters]).astype(np.float32)

    def worker(self):
        return nullcontext()


class FakeReward:
    """Ten times the prompt's characters plus the response's; NaN where the response says so."""

    name, fingerprint, batch_tokens, workers = "fake", "e" * 64, 60, 2
    device, threads, recipe = "cpu", 1, None

    def __init__(self):
        self.prepared, self.asked = 0, []

    def lengths(self, pairs):
        return [len(prompt) + len(response) for prompt, response in pairs]

    def prepare(self):
        self.prepared += 1

    def score(self, pairs):
        assert self.prepared
        self.asked += pairs
        return [
            float("nan") if response == "n/a" else 10.0 * len(prompt) + len(response)
            for prompt, response in pairs
        ]

    def worker(self):
        return nullcontext()
