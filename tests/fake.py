"""A model small enough to be worked out on paper: a token is a character, its NLL a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from curate.errors import ModelError
from curate.models.protocols import TokenSequence
from curate.models.recipe import ModelRecipe

BOS = 1
Rule = Callable[[tuple[int, ...], int], float]


def by_distance(before: tuple[int, ...], token: int) -> float:
    """The further from the beginning, the easier: 1 / tokens before. Never 0."""
    return 1.0 / len(before)


class Characters:
    """A tokenizer whose ids are code points."""

    bos: int | None = BOS
    first_token: int | None = BOS
    has_chat_template = True

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(character) for character in text] for text in texts]

    def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        if any(message["content"] == "refuse me" for message in messages):
            raise ModelError("the chat template refuses these turns")
        text = "".join(f"[{m['role'][0]}]{m['content']}" for m in messages)
        return text + ("[a]" if generation_prompt else "")


def put_in_place(monkeypatch: Any, **models: Any) -> None:
    """Let recipes load these models, by kind, a function of the recipe each; others are real."""
    real = ModelRecipe.load
    monkeypatch.setattr(ModelRecipe, "load", lambda self: models.get(self.kind, real)(self))


class FakeModel:
    """Counts what it is asked."""

    device, threads, recipe = "cpu", 1, None

    def __init__(self, rule: Rule = by_distance, encoder: Any = None, budget: int = 64) -> None:
        self.name, self.fingerprint, self.max_positions = "fake", "f" * 64, 4096
        self.batch_tokens, self.workers = budget, 2
        self.encoder = encoder or Characters()
        self.rule = rule
        self.asked: list[TokenSequence] = []
        self.prepared = 0

    def prepare(self) -> None:
        self.prepared += 1

    def worker(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def span_nll(self, batch: Sequence[TokenSequence]) -> list[list[float]]:
        assert self.prepared
        self.asked += batch
        return [
            [
                sum(self.rule(each.ids[:at], each.ids[at]) for at in range(start, end))
                for start, end in each.spans
            ]
            for each in batch
        ]
