"""Likelihoods from a Hugging Face causal language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from curate.models.encoder import HFEncoder
from curate.models.head import TiledHead
from curate.models.linear import can_pack, linear, pack, pack_modules
from curate.models.llama import LlamaForward, fits
from curate.models.protocols import TokenSequence

# Small batches stay in a core's cache; on a GPU launches cost more than padding.
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 16384
_MOST_WORKERS = 8  # Python threads share one interpreter lock
_PROBE_LENGTH = 12


class CausalLM:
    """A causal language model behind the LikelihoodModel protocol.

    On a CPU, batches are computed side by side, one worker to a core: between the products
    there is nothing that two cores could share without waiting for each other.

    Args:
        model: A transformers causal LM in evaluation mode; on the CPU its layers are repacked.
        encoder: Its tokenizer.
        name: What the user called it.
        fingerprint: Of its files, dtype and device kind.
        dtype: Name of the dtype it computes in.
    """

    def __init__(
        self, model: Any, encoder: HFEncoder, name: str, fingerprint: str, dtype: str
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.dtype = dtype
        self.encoder = encoder
        self.max_positions = int(getattr(model.config, "max_position_embeddings", None) or 1 << 20)
        self.device = model.device
        self.on_cpu = model.device.type == "cpu"
        self.batch_tokens = _CPU_BATCH_TOKENS if self.on_cpu else _GPU_BATCH_TOKENS
        self._threads = torch.get_num_threads()
        self.workers = min(self._threads, _MOST_WORKERS) if self.on_cpu else 1
        self.route = "transformers"
        with torch.inference_mode():
            self._nll = self._choose_route(model)

    def span_nll(self, batch: Sequence[TokenSequence]) -> list[list[float]]:
        """Return, for each sequence, the summed negative log-likelihood of each span in nats.

        Args:
            batch: Sequences; padded on the right to the longest.
        """
        longest = max(len(sequence.ids) for sequence in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        wanted: list[int] = []
        for line, sequence in enumerate(batch):
            ids[line, : len(sequence.ids)] = torch.tensor(sequence.ids)
            for start, end in sequence.spans:
                wanted.extend(range(line * longest + start, line * longest + end))
        places = torch.tensor(wanted)
        with torch.inference_mode():
            targets = ids.view(-1)[places]
            nll = self._nll(ids, places - 1, targets).double().cpu()
        sums: list[list[float]] = []
        at = 0
        for sequence in batch:
            line_sums = []
            for start, end in sequence.spans:
                line_sums.append(float(nll[at : at + end - start].sum()))
                at += end - start
            sums.append(line_sums)
        return sums

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Give the calling thread its share of the cores."""
        if self.on_cpu:
            torch.set_num_threads(max(1, self._threads // self.workers))
        try:
            yield
        finally:
            if self.on_cpu:
                torch.set_num_threads(self._threads)

    def _choose_route(self, model: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """Return the fastest way that agrees with the model's own logits on a probe."""
        vocabulary = model.get_input_embeddings().weight.shape[0]
        probe = (torch.arange(2 * _PROBE_LENGTH) * 37 % vocabulary).view(2, -1).to(self.device)
        places = torch.arange(_PROBE_LENGTH - 1)
        targets = probe.view(-1)[places + 1]
        whole = _WholeLogits(model)
        expected = whole(probe, places, targets)
        for name, build in (("packed", _packed_route), ("selected", _selected_route)):
            if name == "packed" and not (self.on_cpu and can_pack()):
                continue
            route = build(model)
            # bfloat16 keeps 8 bits: a wrong formula is off by nats, rounding by hundredths.
            tolerance = 1e-3 if model.dtype == torch.float32 else 0.25
            if route and torch.allclose(route(probe, places, targets), expected, atol=tolerance):
                self.route = name
                return route
        return whole


class _WholeLogits:
    """All logits, as the model gives them: slow, large, and right for every architecture."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(input_ids=ids.to(self.model.device), use_cache=False).logits
        picked = logits.reshape(-1, logits.shape[-1])[places.to(logits.device)].float()
        return torch.nn.functional.cross_entropy(
            picked, targets.to(logits.device), reduction="none"
        )


class _Selected:
    """Hidden states, then logits only where they are wanted."""

    def __init__(self, hidden: Callable[[Tensor], Tensor], head: TiledHead, device: Any) -> None:
        self.hidden = hidden
        self.head = head
        self.device = device

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        states = self.hidden(ids.to(self.device))
        return self.head(states[places.to(self.device)], targets.to(self.device))


def _base_hidden(model: Any) -> Callable[[Tensor], Tensor]:
    body = model.base_model

    def hidden(ids: Tensor) -> Tensor:
        states: Tensor = body(input_ids=ids, use_cache=False).last_hidden_state
        return states.reshape(-1, states.shape[-1])

    return hidden


def _selected_route(model: Any) -> _Selected | None:
    output = model.get_output_embeddings()
    if output is None or model.base_model is model:
        return None
    return _Selected(_base_hidden(model), TiledHead(output.weight, output.bias), model.device)


def _packed_route(model: Any) -> _Selected | None:
    output = model.get_output_embeddings()
    if output is None or model.dtype not in (torch.float32, torch.bfloat16):
        return None
    head = TiledHead(output.weight, output.bias, multiply=linear, prepare=pack)
    if fits(model.config):
        return _Selected(LlamaForward(model), head, model.device)
    pack_modules(model, keep=output)
    return _Selected(_base_hidden(model), head, model.device)
