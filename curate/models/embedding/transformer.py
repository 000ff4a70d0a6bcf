"""A transformer with pooling, in float32: computed on a CPU one worker to a core."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.errors import ModelError
from curate.models.embedding.pooled import Recipe
from curate.models.pretrained import load_pretrained
from curate.models.resolve import ModelFiles
from curate.models.weights import refuse_missing

_CPU_BATCH_TOKENS = 2048
_GPU_BATCH_TOKENS = 32768
_MOST_WORKERS = 8


class PooledTransformer:
    """A sentence-transformers model behind the EmbeddingModel protocol.

    Args:
        files: The model's.
        recipe: How token states become one vector.
        tokenizer: Of transformers.
        device: `cpu` or `cuda`.
        fingerprint: Over all that decides the vectors.
        origin: The same without the device.
    """

    def __init__(
        self,
        files: ModelFiles,
        recipe: Recipe,
        tokenizer: Any,
        *,
        device: str,
        fingerprint: str,
        origin: str,
    ) -> None:
        self.name, self.fingerprint, self.origin = files.name, fingerprint, origin
        self._files, self._recipe, self._tokenizer, self._device = files, recipe, tokenizer, device
        on_cpu = device == "cpu"
        self.batch_tokens = _CPU_BATCH_TOKENS if on_cpu else _GPU_BATCH_TOKENS
        self._threads = torch.get_num_threads()
        self.workers = min(self._threads, _MOST_WORKERS) if on_cpu else 1
        self._lock = threading.Lock()
        self._model: Any = None
        self._dense: list[tuple[Tensor, Tensor | None, Any]] = []
        self._prompt = self._tokens([""])[0] if recipe.prompt else []

    @property
    def dimensions(self) -> int:
        """Numbers of a vector; they are known from the weights, so those are loaded."""
        self.prepare()
        if self._dense:
            return int(self._dense[-1][0].shape[0])
        return int(self._model.config.hidden_size) * len(self._recipe.pooling)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text that are read.

        Args:
            texts: Any.
        """
        return [max(1, len(ids)) for ids in self._tokens(texts)]

    def prepare(self) -> None:
        """Load the weights, once, whoever calls and how often.

        Raises:
            ModelError: They are corrupt, too large, or not those of this architecture.
        """
        with self._lock:
            if self._model is None:
                self._dense = [self._projection(*each) for each in self._recipe.dense]
                self._model = load_pretrained(
                    "AutoModel",
                    self._files,
                    called=f"encoder '{self.name}'",
                    kind="encoder",
                    dtype="float32",
                    device=self._device,
                    unused="pooler.",  # a head over the states, which are read without it
                )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of some texts, (texts, dimensions).

        Args:
            texts: Padded on the right to the longest.
        """
        if self._model is None:
            raise RuntimeError("prepare() comes before embed()")
        ids = self._tokens(texts)
        longest = max(map(len, ids))
        padding = self._tokenizer.pad_token_id or 0
        lines = torch.full((len(ids), longest), padding, dtype=torch.long)
        mask = torch.zeros(len(ids), longest, dtype=torch.long)
        for line, each in enumerate(ids):
            lines[line, : len(each)] = torch.tensor(each)
            mask[line, : len(each)] = 1
        with torch.inference_mode():
            lines, mask = lines.to(self._device), mask.to(self._device)
            states = self._model(input_ids=lines, attention_mask=mask).last_hidden_state
            vectors = self._pooled(states, mask)
            for weight, bias, activation in self._dense:
                vectors = activation(torch.nn.functional.linear(vectors, weight, bias))
            if self._recipe.normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Give the calling thread its share of the cores, as a causal model's workers have it."""
        if self._device == "cpu":
            torch.get_num_threads()  # a thread's first call takes over whatever was set last
            torch.set_num_threads(max(1, self._threads // self.workers))
        try:
            yield
        finally:
            if self._device == "cpu":
                torch.set_num_threads(self._threads)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        said = [self._recipe.prompt + text.strip() for text in texts]
        if self._recipe.lower:
            said = [text.lower() for text in said]
        ids: list[list[int]] = self._tokenizer(
            said, truncation=True, max_length=self._recipe.longest, return_attention_mask=False
        )["input_ids"]
        return [each or [self._tokenizer.pad_token_id or 0] for each in ids]

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        last = mask.sum(dim=1) - 1
        counted = mask
        if not self._recipe.include_prompt and self._prompt:
            # The prompt's tokens, but for the one that ends every text.
            counted = mask.clone()
            counted[:, : len(self._prompt) - 1] = 0
        weight = counted.unsqueeze(-1).to(states.dtype)
        total, count = (states * weight).sum(dim=1), weight.sum(dim=1).clamp(min=1e-9)
        ways = {
            "cls": lambda: states[:, 0],
            "mean": lambda: total / count,
            "mean_sqrt_len_tokens": lambda: total / count.sqrt(),
            "max": lambda: states.masked_fill(weight == 0, float("-inf")).amax(dim=1),
            "lasttoken": lambda: states[torch.arange(len(states)), last],
        }
        return torch.cat([ways[each]() for each in self._recipe.pooling], dim=1)

    def _projection(
        self, folder: str, activation: str, has_bias: bool
    ) -> tuple[Tensor, Tensor | None, Any]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            held = load_file(self._files.folder / folder / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise ModelError(f"encoder '{self.name}': {folder}: {error}") from error
        names = ["linear.weight", "linear.bias"][: 1 + has_bias]
        refuse_missing(f"encoder '{self.name}': {folder} is not whole", {*names} - held.keys())
        weight, *bias = (held[name].float().to(self._device) for name in names)
        return weight, bias[0] if bias else None, getattr(torch.nn, activation)()
