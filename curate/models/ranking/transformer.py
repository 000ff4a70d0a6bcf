"""Reward models that are transformers: one number for a prompt and a response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from curate.models.computing import LoadedOnce, one_core, workers
from curate.models.recipe import ModelRecipe
from curate.models.resolve import ModelFiles

if TYPE_CHECKING:
    import torch

_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 16384

Encoded = dict[str, list[int]]
Forward = Callable[["dict[str, torch.Tensor]"], "torch.Tensor"]


class TransformerReward:
    """A transformer behind the RewardModel protocol, computed in float32.

    Args:
        files: The model's, for its name.
        encode: From pairs of prompt and response to `input_ids`, and `token_type_ids` where the
            model has them, each no longer than it reads.
        load: Gives the function from padded `input_ids`, `attention_mask` and lengths to one
            number a line; called by prepare().
        fingerprint: Of all files that decide the numbers.
        device: `cpu` or `cuda`.
        padding: Id to pad with; None if lines of unlike length cannot share a batch.
    """

    recipe: ModelRecipe
    threads = 1

    def __init__(
        self,
        files: ModelFiles,
        encode: Callable[[Sequence[tuple[str, str]]], list[Encoded]],
        load: Callable[[], Forward],
        *,
        fingerprint: str,
        device: str,
        padding: int | None,
    ) -> None:
        import torch

        self.name = files.name
        self.fingerprint = fingerprint
        self.batch_tokens = _CPU_BATCH_TOKENS if device == "cpu" else _GPU_BATCH_TOKENS
        self.workers = workers(device)
        self._cores = torch.get_num_threads()
        self._encode, self._padding = encode, padding
        self.device = device
        self._forward = LoadedOnce(load)

    def lengths(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Return the tokens of each pair."""
        return [max(1, len(each["input_ids"])) for each in self._encode(pairs)]

    def prepare(self) -> None:
        """Load the weights; once, whoever calls and how often."""
        self._forward.get()

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return one number a pair, higher for a better response."""
        encoded = self._encode(pairs)
        if self._padding is None:
            return [number for each in encoded for number in self._numbers([each], 0)]
        return self._numbers(encoded, self._padding)

    def worker(self) -> AbstractContextManager[None]:
        """Return a context in which one worker thread calls score()."""
        return one_core(self.device, self._cores)

    def _numbers(self, encoded: list[Encoded], padding: int) -> list[float]:
        forward = self._forward.ready
        if not encoded:
            return []
        import torch

        longest = max(len(each["input_ids"]) for each in encoded)
        inputs = {
            key: torch.full(
                (len(encoded), longest), padding if key == "input_ids" else 0, dtype=torch.long
            )
            for key in (*encoded[0], "attention_mask")
        }
        for line, each in enumerate(encoded):
            length = len(each["input_ids"])
            inputs["attention_mask"][line, :length] = 1
            for key, values in each.items():
                inputs[key][line, :length] = torch.tensor(values)
        with torch.inference_mode():
            moved = {key: value.to(self.device) for key, value in inputs.items()}
            found: list[float] = forward(moved).double().cpu().tolist()
        return found


def conversation(tokenizer: Any, prompt: str, response: str) -> tuple[str, str]:
    """Return the chat template's text up to the response, and from there to its end."""
    asked = [{"role": "user", "content": prompt}]
    lead: str = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    answered = [*asked, {"role": "assistant", "content": response}]
    whole: str = tokenizer.apply_chat_template(answered, tokenize=False)
    if whole.startswith(lead):
        return lead, whole[len(lead) :]
    return "", whole


def fitted(lead: list[int], rest: list[int], longest: int) -> list[int]:
    """Return both parts in at most so many tokens; the response keeps at least half of them."""
    room = max(longest - len(lead), longest // 2)
    if len(rest) > room:
        rest = [*rest[: room - 1], rest[-1]]
    return lead[: longest - len(rest)] + rest
