"""Greedy decoding of a batch: prompts padded on the left, rows that have ended leave it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Rows leave the batch when a quarter of them has ended: moving the cache costs about a step.
_STILL_FULL = 0.75


def greedy(
    model: Any, prompts: Sequence[Sequence[int]], most: int, ends: frozenset[int], padding: int
) -> list[list[int]]:
    """Return the ids that the model continues each prompt with, up to the first end.

    Padding is masked and positions are counted without it, so what a prompt is continued with
    depends on its neighbours only by the order in which float numbers are summed.

    Args:
        model: A transformers causal language model in evaluation mode.
        prompts: Token ids, at least one each.
        most: Tokens of the longest answer, at least 1.
        ends: Ids that end an answer; the end itself is returned as the last id.
        padding: Id to pad with.
    """
    import torch

    with torch.inference_mode():
        batch = _Batch(model, prompts, padding)
        stops = torch.tensor(sorted(ends), dtype=torch.long)
        for _ in range(most):
            batch.keep_open(stops)
            if not len(batch.rows):
                break
            batch.step()
    return batch.answers


class _Batch:
    """Rows that are still being answered."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], padding: int) -> None:
        import torch

        self.model, self.device = model, model.device
        self.answers: list[list[int]] = [[] for _ in prompts]
        self.rows = list(range(len(prompts)))
        self.open = [True] * len(prompts)
        longest = max(map(len, prompts), default=0)
        self.ids = torch.full((len(prompts), longest), padding, dtype=torch.long)
        self.mask = torch.zeros_like(self.ids)
        for line, ids in enumerate(prompts):
            self.ids[line, longest - len(ids) :] = torch.tensor(ids)
            self.mask[line, longest - len(ids) :] = 1
        self.ids, self.mask = self.ids.to(self.device), self.mask.to(self.device)
        self.cache: Any = None
        self.takes = _parameters(model.forward)

    def step(self) -> None:
        """Add the most likely next id to every row."""
        import torch

        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -self.ids.shape[1] :]
        inputs = {"position_ids": places, "logits_to_keep": 1}
        known = {name: value for name, value in inputs.items() if name in self.takes}
        given = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **known,
        )
        self.cache = given.past_key_values
        self.ids = given.logits[:, -1].argmax(-1, keepdim=True)
        self.mask = torch.cat((self.mask, self.mask.new_ones(len(self.mask), 1)), 1)
        for line, (row, token) in enumerate(zip(self.rows, self.ids[:, 0].tolist(), strict=True)):
            if self.open[line]:
                self.answers[row].append(token)

    def keep_open(self, stops: torch.Tensor) -> None:
        """Close the rows that have ended, and let them leave if they are many."""
        import torch

        if self.cache is None:
            return
        ended = torch.isin(self.ids[:, 0].cpu(), stops).tolist()
        self.open = [now and not end for now, end in zip(self.open, ended, strict=True)]
        if sum(self.open) > _STILL_FULL * len(self.open):
            return
        lines = [line for line, now in enumerate(self.open) if now]
        self.rows = [self.rows[line] for line in lines]
        self.open = [True] * len(lines)
        if lines:
            index = torch.tensor(lines, device=self.device)
            self.ids, self.mask = self.ids[index], self.mask[index]
            self.cache.batch_select_indices(index)


def _parameters(forward: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(forward).parameters)
