"""Whether two models are one: the same greedy answers, token by token."""

from __future__ import annotations

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
QUESTIONS = (
    "What is the capital of France? Answer in one sentence.",
    "Write a short greeting to a new colleague.",
    "List three ways to save water at home.",
    "感冒了应该注意什么？",
    "请用一句话介绍你自己。",
)
_ASKED: list[list[Message]] = [[{"role": "user", "content": text}] for text in QUESTIONS]


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
        }

    @property
    def wrong(self) -> tuple[Answers, ...]:
        """Answers that differ by more than rounding."""
        # `not <=`: weights that overflow make every number NaN.
        return tuple(a for a in self.answers if a.gap is not None and not a.gap <= self.most)


def compare(
    base: Path, adapter: Path, merged: Path, stored: str, max_new_tokens: int = 32
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
    prompts, stops = prompt_ids(encoder, _ASKED), ends(encoder)

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
    with tuned.disable_adapter():
        alone = answered(inner)
    del tuned, inner, model
    model = load_weights(files, dtype, device, False)
    after = answered(model)
    answers = tuple(
        Answers(
            prompt=question,
            adapter=shown(adapted[place]),
            merged=shown(after[place]),
            base=shown(alone[place]),
            gap=_gap(model, prompts[place], adapted[place], after[place]),
        )
        for place, question in enumerate(QUESTIONS)
    )
    return Agreement(answers=answers, most=max(_TIES[stored], _TIES[dtype]))


def _gap(model: Any, prompt: list[int], expected: list[int], own: list[int]) -> float | None:
    """Return by how many nats a model prefers its own token where two answers part, if they do."""
    import torch

    # An end is a token, too: of two answers that differ, none is the beginning of the other.
    for place, (token, other) in enumerate(zip(expected, own, strict=False)):
        if token != other:
            ids = torch.tensor([prompt + own[:place]], device=model.device)
            with torch.inference_mode():
                row = model(input_ids=ids).logits[0, -1].float()
            return float(row[other] - row[token])
    return None
