"""Whether two models are one: the same greedy answers, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.generate import greedy
from curate.models.protocols import Message
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import HFEncoder, ends, load_tokenizer, prompt_ids
from curate.models.weights import check_memory, load_weights, loading, with_adapter

# Nats. Two next tokens that are as near as this to each other are told apart by rounding alone:
# weights stored with 8 bits of precision move logits by some hundredths.
_TIES = {"float32": 0.001, "float16": 0.05, "bfloat16": 0.2}
# Of what the adapter changes in the likelihood of its answers.
_MOST_LOST = 0.5
_QUESTIONS = (
    "What is the capital of France? Answer in one sentence.",
    "Write a short greeting to a new colleague.",
    "List three ways to save water at home.",
    "感冒了应该注意什么？",
    "请用一句话介绍你自己。",
)
BUILT_IN: list[list[Message]] = [[{"role": "user", "content": text}] for text in _QUESTIONS]


@dataclass(frozen=True)
class Answers:
    """What base with adapter, the merged model and the base alone answer to one prompt."""

    prompt: str
    adapter: str
    merged: str
    base: str
    # Nats by which the merged model prefers its own token where it leaves the adapter's.
    gap: float | None = None


@dataclass(frozen=True)
class Agreement:
    answers: tuple[Answers, ...]
    most: float  # nats up to which a gap is rounding: a tie of two tokens
    # Nats by which the tokens of the adapter's answers are more or less likely to the merged model
    # than to the adapter, on average; the same between the base and the adapter.
    lost: float = 0.0
    learned: float = 0.0

    @property
    def same(self) -> int:
        return sum(answer.gap is None for answer in self.answers)

    @property
    def ties(self) -> int:
        return sum(answer.gap is not None and answer.gap <= self.most for answer in self.answers)

    @property
    def changed(self) -> int:
        """Answers that the adapter changes: without any the comparison would say little."""
        return sum(answer.adapter != answer.base for answer in self.answers)

    def as_dict(self) -> dict[str, Any]:
        return {
            "answers": len(self.answers),
            "same": self.same,
            "ties": self.ties,
            "changed_by_adapter": self.changed,
            "nats_lost": round(self.lost, 4),
            "nats_learned": round(self.learned, 4),
        }

    @property
    def wrong(self) -> tuple[Answers, ...]:
        """Answers that differ by more than rounding, or by rounding what was learned away."""
        differing = tuple(answer for answer in self.answers if answer.gap is not None)
        beyond = tuple(answer for answer in differing if not (answer.gap or 0) <= self.most)
        # `not <=`: weights that overflow make every number NaN.
        return beyond or (() if self.lost <= _MOST_LOST * self.learned else differing)


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
    with quiet():
        import torch

        tokenizer = load_tokenizer(files)
    device, dtype = "cuda" if torch.cuda.is_available() else "cpu", "float32"
    try:
        check_memory(files, dtype, device)
    except ModelError:
        dtype = "bfloat16"
    encoder = HFEncoder(tokenizer, files.name)
    prompts, stops = prompt_ids(encoder, asked), ends(encoder)

    def answered(model: Any) -> list[list[int]]:
        return greedy(model, prompts, max_new_tokens, stops, tokenizer.pad_token_id or 0)

    def shown(ids: list[int]) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip().rstrip("\N{REPLACEMENT CHARACTER}")  # cut off in the middle of one

    model = load_weights(ModelFiles("base", base), dtype, device, False)
    misfit = f"adapter {adapter} does not fit its base, which --base MODEL names"
    with loading(misfit, adapter):
        tuned = with_adapter(model, ModelFiles(adapter.name, adapter)).eval()
    inner = tuned.get_base_model()
    adapted = answered(inner)
    likely = _likelihoods(inner, prompts, adapted)
    with tuned.disable_adapter():
        alone = answered(inner)
        learned = _apart(likely, _likelihoods(inner, prompts, adapted))
    del tuned, inner, model
    model = load_weights(files, dtype, device, False)
    after = answered(model)
    lost = _apart(likely, _likelihoods(model, prompts, adapted))
    answers = tuple(
        Answers(
            prompt=messages[-1]["content"],
            adapter=shown(adapted[place]),
            merged=shown(after[place]),
            base=shown(alone[place]),
            gap=_gap(model, prompts[place], adapted[place], after[place]),
        )
        for place, messages in enumerate(asked)
    )
    most = max(_TIES[stored], _TIES[dtype])
    return Agreement(answers=answers, most=most, lost=lost, learned=learned)


def _log_probabilities(model: Any, prompt: list[int], answer: list[int]) -> Any:
    """Return the log-probabilities of every token in the place of each of the answer's, in nats."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([prompt + answer], device=model.device)
        return model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)


def _likelihoods(model: Any, prompts: list[list[int]], answers: list[list[int]]) -> list[float]:
    return [
        float(row[token])
        for prompt, answer in zip(prompts, answers, strict=True)
        for row, token in zip(_log_probabilities(model, prompt, answer), answer, strict=True)
    ]


def _apart(one: list[float], other: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


def _gap(model: Any, prompt: list[int], expected: list[int], own: list[int]) -> float | None:
    """Return by how many nats a model prefers its own token where two answers part, if they do."""
    # An end is a token, too: of two answers that differ, none is the beginning of the other.
    for place, (token, other) in enumerate(zip(expected, own, strict=False)):
        if token != other:
            row = _log_probabilities(model, prompt, own[: place + 1])[-1]
            return float(row[other] - row[token])
    return None
