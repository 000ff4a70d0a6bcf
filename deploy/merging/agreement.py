"""Whether two models are one: the same greedy answers, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.adapter import with_adapter
from curate.models.generate import greedy
from curate.models.load_causal_lm import load_weights
from curate.models.protocols import Message
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import HFEncoder, ends, load_tokenizer, prompt_ids
from curate.models.weights import check_memory, reason

# Nats. Two next tokens that are as near as this to each other are told apart by rounding alone:
# weights stored with 8 bits of precision move logits by some hundredths.
_TIES = {"float32": 0.001, "float16": 0.05, "bfloat16": 0.2}
# Of what the adapter changes in the likelihood of its answers.
_MOST_LOST = 0.5
BUILT_IN = (
    "What is the capital of France? Answer in one sentence.",
    "Write a short greeting to a new colleague.",
    "List three ways to save water at home.",
    "感冒了应该注意什么？",
    "请用一句话介绍你自己。",
)


@dataclass(frozen=True)
class Answers:
    """What was answered to one prompt.

    Attributes:
        prompt: The last question.
        adapter: By base and adapter.
        merged: By the merged model.
        base: By the base alone.
        tie: Nats between the two tokens at the first difference; None where there is none.
    """

    prompt: str
    adapter: str
    merged: str
    base: str
    tie: float | None = None


@dataclass(frozen=True)
class Agreement:
    """What the comparison found.

    Attributes:
        answers: One for each prompt.
        most: Nats up to which a difference is rounding.
        lost: Nats by which the tokens of the adapter's answers are more or less likely to the
            merged model than to the adapter, on average.
        learned: The same between the base and the adapter.
    """

    answers: tuple[Answers, ...]
    most: float
    lost: float = 0.0
    learned: float = 0.0

    @property
    def same(self) -> int:
        """Answers that are the same."""
        return sum(each.tie is None for each in self.answers)

    @property
    def ties(self) -> int:
        """Answers that differ from where two tokens are as good as equally likely."""
        return sum(each.tie is not None and each.tie <= self.most for each in self.answers)

    @property
    def changed(self) -> int:
        """Answers that the adapter changes: without any the comparison would say little."""
        return sum(each.adapter != each.base for each in self.answers)

    @property
    def kept(self) -> bool:
        """Whether what was learned is in the merged model, and not lost in rounding."""
        return self.lost <= _MOST_LOST * self.learned or not self.ties

    @property
    def differing(self) -> tuple[Answers, ...]:
        """Those that are neither the same nor a tie."""
        return tuple(each for each in self.answers if each.tie is not None and each.tie > self.most)


def conversations(prompts: Sequence[str]) -> list[list[Message]]:
    """Return prompts as conversations of one question each."""
    return [[{"role": "user", "content": each}] for each in prompts]


def compare(
    base: Path,
    adapter: Path,
    merged: Path,
    asked: Sequence[Sequence[Message]],
    stored: str,
    max_new_tokens: int = 32,
) -> Agreement:
    """Return the greedy answers of base with adapter, and of the merged model.

    All are computed in float32 where that fits into memory, the adapter beside the weights and
    not in them, so that what differs is the merge alone. Prompts are rendered by the merged
    model's tokenizer, as any server will.
    """
    files = ModelFiles(merged.name, merged)
    device, dtype = _computing(files)
    with quiet():
        tokenizer = load_tokenizer(files)
    prompts, stops = _encoded(tokenizer, files.name, asked)

    def answered(model: Any) -> list[list[int]]:
        return greedy(model, prompts, max_new_tokens, stops, tokenizer.pad_token_id or 0)

    tuned = _with_adapter(ModelFiles("base", base), adapter, dtype, device)
    inner = tuned.get_base_model()
    before = answered(inner)
    likely = _likelihoods(inner, prompts, before)
    with tuned.disable_adapter():
        alone = answered(inner)
        learned = _apart(likely, _likelihoods(inner, prompts, before))
    del tuned, inner
    model = load_weights(files, dtype, device, False)
    after = answered(model)
    lost = _apart(likely, _likelihoods(model, prompts, before))
    found = []
    for place, messages in enumerate(asked):
        ids, other = before[place], after[place]
        tie = _gap(model, prompts[place], ids, other) if ids != other else None
        one, two, three = (_text(tokenizer, each) for each in (ids, other, alone[place]))
        found.append(Answers(messages[-1]["content"], one, two, three, tie))
    return Agreement(tuple(found), max(_TIES[stored], _TIES[dtype]), lost, learned)


def _computing(files: ModelFiles) -> tuple[str, str]:
    """Return where to compute, and in what: in float32 unless it does not fit."""
    with quiet():
        import torch
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        check_memory(files.folder, files.name, "float32", device)
    except ModelError:
        return device, "bfloat16"
    return device, "float32"


def _encoded(
    tokenizer: Any, name: str, asked: Sequence[Sequence[Message]]
) -> tuple[list[list[int]], frozenset[int]]:
    """Return the token ids of each conversation, and those that end an answer."""
    encoder = HFEncoder(tokenizer, name)
    return prompt_ids(encoder, asked), ends(encoder)


def _with_adapter(base: ModelFiles, adapter: Path, dtype: str, device: str) -> Any:
    """Return peft's model: the adapter is computed beside the base's weights."""
    model = load_weights(base, dtype, device, False)
    with quiet():
        try:
            return with_adapter(model, ModelFiles(adapter.name, adapter)).eval()
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            raise ModelError(
                f"adapter {adapter} does not fit its base: {reason(error, adapter)}; name the "
                "model that it was trained on with --base MODEL"
            ) from error


def _likelihoods(
    model: Any, prompts: Sequence[list[int]], answers: Sequence[list[int]]
) -> list[float]:
    """Return the log-likelihood of every token of the answers, in nats."""
    import torch

    found: list[float] = []
    with torch.inference_mode():
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = torch.tensor([prompt + answer], device=model.device)
            said = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
            found += said.gather(1, ids[0, len(prompt) :, None])[:, 0].tolist()
    return found


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def _text(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    return text.strip().rstrip("\N{REPLACEMENT CHARACTER}")  # cut off in the middle of one


def _gap(model: Any, prompt: list[int], one: list[int], other: list[int]) -> float:
    """Return by how many nats a model prefers its own token where two answers part.

    An end is a token, too: of two answers that differ, none is the beginning of the other.
    """
    import torch

    at = next(place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    with torch.inference_mode():
        ids = torch.tensor([prompt + other[:at]], device=model.device)
        said = model(input_ids=ids).logits[0, -1].float().log_softmax(-1)
    return float(said[other[at]] - said[one[at]])
