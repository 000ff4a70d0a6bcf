"""Likelihoods from a Hugging Face causal language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from curate.errors import ModelError
from curate.models.computing import LoadedOnce, one_core, workers
from curate.models.likelihood_routes import Route, choose_route
from curate.models.protocols import TokenSequence
from curate.models.recipe import ModelRecipe
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import HFEncoder

# Small batches stay in a core's cache; on a GPU launches cost more than padding.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16384}


class CausalLM:
    """A causal language model behind the LikelihoodModel protocol.

    On a CPU, batches are computed side by side, each on one core: between the products there is
    nothing that two cores could share without waiting for each other.

    load() gives the transformers model, in evaluation mode and on the device.
    """

    recipe: ModelRecipe
    files: ModelFiles
    threads = 1

    def __init__(
        self,
        load: Callable[[], Any],
        encoder: HFEncoder,
        *,
        name: str,
        fingerprint: str,
        dtype: str,
        device: str,
        max_positions: int,
    ) -> None:
        self.name, self.fingerprint = name, fingerprint
        self.dtype, self.device = dtype, device
        self.encoder, self.max_positions = encoder, max_positions
        self.batch_tokens = _BATCH_TOKENS[device]
        self._cores = torch.get_num_threads()
        self.workers = workers(device)
        self._route = LoadedOnce(partial(_route, load, name))

    @property
    def route(self) -> str | None:
        """How likelihoods are computed (`selected` or `whole`); None before prepare()."""
        return self._route.ready.name if self._route else None

    def prepare(self) -> None:
        self._route.get()

    def span_nll(self, batch: Sequence[TokenSequence]) -> list[list[float]]:
        route, ids, places = self._laid_out(batch)
        if not len(places):
            return [[] for _ in batch]
        with torch.inference_mode():
            targets = ids.view(-1)[places]
            nll = route.nll(ids, places - 1, targets).double().cpu()
        return _sums(batch, nll)

    def span_states(self, batch: Sequence[TokenSequence]) -> list[tuple[Tensor, Tensor]]:
        """Return, for each sequence, the final hidden states and the NLL of its spans' tokens."""
        route, ids, places = self._laid_out(batch)
        if route.states is None:
            raise ModelError(
                f"model '{self.name}' gives likelihoods only, not the hidden states that a ranker "
                "is made of; give another one"
            )
        with torch.inference_mode():
            states, nll = route.states(ids, places - 1, ids.view(-1)[places])
            picked = states[places.to(states.device)].float().cpu()
        sizes = [sum(end - start for start, end in each.spans) for each in batch]
        return list(zip(picked.split(sizes), nll.float().cpu().split(sizes), strict=True))

    def next_nll(self, batch: Sequence[TokenSequence], tokens: Sequence[int]) -> list[list[float]]:
        """Return, for each sequence, the NLL of each token as the next one, in nats.

        All of the vocabulary counts: no token is missing because others are likelier.
        """
        ends = [TokenSequence(each.ids, ((len(each.ids) - 1, len(each.ids)),)) for each in batch]
        route, ids, places = self._laid_out(ends)
        with torch.inference_mode():
            targets = torch.tensor(list(tokens), dtype=torch.long).repeat(len(ends))
            nll = route.nll(ids, places.repeat_interleave(len(tokens)), targets).double().cpu()
        found: list[list[float]] = nll.view(len(ends), len(tokens)).tolist()
        return found

    def _laid_out(self, batch: Sequence[TokenSequence]) -> tuple[Route, Tensor, Tensor]:
        """Return the way to compute, padded ids, and where the spans' tokens stand in them."""
        route = self._route.ready
        longest = max((len(sequence.ids) for sequence in batch), default=0)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        wanted: list[int] = []
        for line, sequence in enumerate(batch):
            ids[line, : len(sequence.ids)] = torch.tensor(sequence.ids)
            for start, end in sequence.spans:
                wanted.extend(range(line * longest + start, line * longest + end))
        if wanted and (highest := int(ids.max())) >= route.vocabulary:
            raise ModelError(
                f"the tokenizer of {self.name} gives id {highest}, its weights end at "
                f"{route.vocabulary - 1}; they do not belong together."
            )
        return route, ids, torch.tensor(wanted, dtype=torch.long)

    def worker(self) -> AbstractContextManager[None]:
        return one_core(self.device, self._cores)


def _route(load: Callable[[], Any], name: str) -> Route:
    with torch.inference_mode():
        return choose_route(load(), name)


def _sums(batch: Sequence[TokenSequence], nll: Tensor) -> list[list[float]]:
    sums: list[list[float]] = []
    at = 0
    for sequence in batch:
        line = []
        for start, end in sequence.spans:
            line.append(float(nll[at : at + end - start].sum()))
            at += end - start
        sums.append(line)
    return sums
