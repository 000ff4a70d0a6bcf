"""Fake models and judges for tests of `deploy compare`, and comparisons made with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from curate.data.schema import Turn
from curate.errors import ModelError
from curate.models.protocols import CUT, FILTERED, STOPPED, TOO_LONG, Reply
from deploy.compare.asking import KeptAnswers, Prompt, Prompts
from deploy.compare.comparison import CompareParams, Comparison, compare
from deploy.compare.pairs import Judge, Pair, Verdict


class FakeModel:
    """Answers from a table by the last thing that was said; counts how often it is asked."""

    batch_tokens, workers = 1, 1

    def __init__(self, name: str, answers: Mapping[str, Any]) -> None:
        self.name, self.fingerprint = name, f"fake {name} {sorted(answers.items(), key=str)}"
        self._answers = answers
        self.asked: list[str] = []

    def lengths(self, conversations: Sequence[Any]) -> list[int]:
        return [1 for _ in conversations]

    def prepare(self) -> None:
        pass

    def worker(self) -> Any:
        return nullcontext()

    def answer(self, conversations: Sequence[Any], max_new_tokens: int) -> list[str]:
        return [each.text for each in self.replies(conversations, max_new_tokens)]

    def replies(self, conversations: Sequence[Any], max_new_tokens: int) -> list[Reply]:
        found = []
        for each in conversations:
            said = each[-1]["content"]
            self.asked.append(said)
            answer = self._answers.get(said, f"{self.name}: {said}")
            if answer is ModelError:
                raise ModelError(f"cannot answer {said}")
            if answer in (TOO_LONG, FILTERED):
                found.append(Reply("", answer))
            else:
                cut = len(answer) > 10 * max_new_tokens
                found.append(Reply(answer, CUT if cut else STOPPED))
        return found


def fake_judge(better: Callable[[Pair], Verdict], asked: list[Pair] | None = None) -> Judge:
    """Prefers whatever a function says; puts what it is asked into a list."""

    def verdicts(pairs: Sequence[Pair], done: Callable[[int], Any]) -> list[Verdict]:
        if asked is not None:
            asked.extend(pairs)
        return [better(pair) for pair in pairs]

    return Judge("fake judge", "fake judge", verdicts)


def prompts_from(texts: Mapping[str, str], trained_on: bool | None = None) -> Prompts:
    """Prompts with their references, '' for none."""
    found = tuple(
        Prompt(f"{at:016x}", "rows.json", "", (Turn("user", asked),), reference, trained_on)
        for at, (asked, reference) in enumerate(texts.items())
    )
    return Prompts(found, len(found), {}, {"rows.json": "0" * 64})


def compared(
    texts: Mapping[str, str],
    base: Mapping[str, Any],
    tuned: Mapping[str, Any],
    judge: Judge | None = None,
    **more: Any,
) -> Comparison:
    """A comparison of two fake models."""
    params = CompareParams("base-model", "tuned-model", 64, judge.name if judge else None)
    models = [FakeModel("base-model", base), FakeModel("tuned-model", tuned)]
    return compare(params, sides(*models), prompts_from(texts), judge, **more)


def sides(*models: FakeModel) -> list[tuple[Any, KeptAnswers]]:
    """Models, and what is kept of their answers."""
    return [(model, KeptAnswers(model.fingerprint)) for model in models]
