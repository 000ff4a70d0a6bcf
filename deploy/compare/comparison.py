"""Two models, the same prompts: answers, numbers, verdicts, and what they amount to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from curate.errors import DataError, UsageError
from curate.models.openai_server import is_address
from deploy.compare.answers import Answer, KeptAnswers, ask
from deploy.compare.judge import Judge, Pair, Verdict, judged
from deploy.compare.measures import (
    ROUGE_L,
    Measure,
    Numbers,
    WinRate,
    count_of,
    measures,
    numbers_of,
    win_rate,
)
from deploy.compare.metrics import FEWEST
from deploy.compare.prompts import Prompt, Prompts

if TYPE_CHECKING:
    from curate.models.protocols import Generator

Kind = Literal["better", "worse", "tie", "changed", "identical", "failed"]
Tell = Callable[[str, int], Any]


@dataclass(frozen=True)
class CompareParams:
    """What was asked for.

    Attributes:
        base: Model as typed.
        tuned: Model as typed.
        max_tokens: Of an answer.
        judge: As typed, None without one.
        seed: Of the intervals, and of the prompts that are drawn.
    """

    base: str
    tuned: str
    max_tokens: int = 256
    judge: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no model could make right."""
        if self.max_tokens < 1:
            raise UsageError(f"--max-tokens {self.max_tokens}: allowed are 1 and more")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are 0 and above")


@dataclass(frozen=True)
class Item:
    """One prompt and what became of it.

    Attributes:
        prompt: What was asked.
        base: The base model's answer.
        tuned: The tuned model's answer.
        numbers: Of both answers; None where one failed.
        verdict: The judge's; None without one.
    """

    prompt: Prompt
    base: Answer
    tuned: Answer
    numbers: tuple[Numbers, Numbers] | None
    verdict: Verdict | None = None

    @property
    def kind(self) -> Kind:
        """Which of the two is better, by the judge, else by ROUGE-L; `changed` if neither says."""
        if self.numbers is None:
            return "failed"
        if self.base.text.strip() == self.tuned.text.strip():
            return "identical"
        if self.verdict is not None:
            kinds: dict[str, Kind] = {"tuned": "better", "base": "worse", "tie": "tie"}
            return kinds.get(self.verdict.better, "changed")
        base, tuned = (each.get(ROUGE_L) for each in self.numbers)
        if base is None or tuned is None:
            return "changed"
        return "tie" if base == tuned else "better" if tuned > base else "worse"

    @property
    def empty(self) -> bool:
        """Whether one of the answers has no text."""
        return self.numbers is not None and not (self.base.text.strip() and self.tuned.text.strip())


@dataclass(frozen=True)
class Comparison:
    """All that is known of two models' answers.

    Attributes:
        params: What was asked for.
        models: `base`, `tuned` and, with one, `judge`: name and fingerprint.
        prompts: What was asked, and what was left out.
        items: One a prompt, in their order.
        measures: Over the prompts that both answered; empty if there is none.
        wins: What the verdicts amount to, None without a judge.
        notes: What a user should be told, a sentence each.
    """

    params: CompareParams
    models: dict[str, dict[str, str]]
    prompts: Prompts
    items: tuple[Item, ...]
    measures: tuple[Measure, ...]
    wins: WinRate | None
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """How many prompts are of each kind; together they are all."""
        return count_of([each.kind for each in self.items])

    @property
    def worse(self) -> list[str]:
        """By what the tuned model is worse beyond doubt: the judge, or the references (ROUGE-L)."""
        by = []
        if self.wins is not None and self.wins.verdict == "worse":
            by.append(f"the judge {self.wins.judge}")
        if any(one.name == ROUGE_L and one.verdict == "worse" for one in self.measures):
            by.append("the references (ROUGE-L)")
        return by


def compare(
    params: CompareParams,
    sides: list[Generator],
    prompts: Prompts,
    judge: Judge | None,
    mark: str = "",
    tell: Tell = lambda what, count: None,
    notes: Sequence[str] = (),
) -> tuple[Comparison, list[KeptAnswers]]:
    """Ask both models, one after the other, and look at what they said."""
    if not prompts.prompts:
        raise DataError(_no_prompts(prompts))
    answers: list[list[Answer]] = []
    models: dict[str, dict[str, str]] = {}
    passing: list[KeptAnswers] = []
    for side, typed in (("base", params.base), ("tuned", params.tuned)):
        model = sides.pop(0)
        models[side] = {"name": model.name, "fingerprint": model.fingerprint}
        kept = KeptAnswers(model.fingerprint, f"{side} {mark}" if is_address(typed) else "")
        passing += [kept] if is_address(typed) else []
        asked = [each.messages for each in prompts.prompts]
        answers.append(ask(model, asked, params.max_tokens, kept, _counter(tell, side)))
        del model
    if judge is not None:
        models["judge"] = {"name": judge.name, "fingerprint": judge.fingerprint}
    items = [_item(*three) for three in zip(prompts.prompts, *answers, strict=True)]
    answered = [place for place, item in enumerate(items) if item.numbers is not None]
    pairs = [Pair(items[at].prompt, items[at].base, items[at].tuned) for at in answered]
    wins = None
    if judge is not None and pairs:
        verdicts = judged(judge, pairs, _counter(tell, "judge"))
        wins = win_rate(judge.name, pairs, verdicts, params.seed)
        for place, verdict in zip(answered, verdicts, strict=True):
            items[place] = replace(items[place], verdict=verdict)
    numbers = [item.numbers for item in items if item.numbers is not None]
    return Comparison(
        params=params,
        models=models,
        prompts=prompts,
        items=tuple(items),
        measures=tuple(measures(pairs, numbers, params.seed) if pairs else ()),
        wins=wins,
        notes=(*notes, *_notes(models, items, len(answered), wins)),
    ), passing


def _counter(tell: Tell, who: str) -> Callable[[int], Any]:
    return lambda count: tell(who, count)


def _no_prompts(prompts: Prompts) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in prompts.left_out.items())
    names = ", ".join(prompts.sources)
    return (
        f"{names}: none of {prompts.read:,} rows has a prompt that can be asked"
        f"{f': {reasons}' if reasons else ''}; give rows with prompts, or a .txt with a prompt a "
        "line"
    )


def _item(prompt: Prompt, base: Answer, tuned: Answer) -> Item:
    if base.failure or tuned.failure:
        return Item(prompt, base, tuned, None)
    numbers = (numbers_of(base, prompt.reference), numbers_of(tuned, prompt.reference))
    return Item(prompt, base, tuned, numbers)


def _notes(
    models: dict[str, dict[str, str]], items: list[Item], whole: int, wins: WinRate | None
) -> list[str]:
    notes = []
    if models["base"]["fingerprint"] == models["tuned"]["fingerprint"]:
        notes.append("--base and --tuned are the same model: there is nothing to compare")
    elif items and all(each.kind == "identical" for each in items):
        notes.append("the two models gave the same answer to every prompt")
    failed = len(items) - whole
    if failed:
        notes.append(
            f"{failed:,} of {len(items):,} prompts have no answer of one model or of both, and "
            "count in no number; the page says why"
        )
    seen = sum(each.prompt.trained_on is True for each in items)
    if seen:
        notes.append(
            f"the tuned model was trained on {seen:,} of these {len(items):,} prompts: on them it "
            "may only remember. --dataset NAME leaves them out"
        )
    if 0 < whole < FEWEST:
        notes.append(
            f"{whole:,} prompts are too few to tell a difference from luck; give {FEWEST} and more"
        )
    cut = sum(each.base.cut or each.tuned.cut for each in items)
    if 2 * cut > len(items):
        notes.append(
            f"on {cut:,} of {len(items):,} prompts an answer was cut off: give a higher "
            "--max-tokens before numbers against whole references are believed"
        )
    decided = wins.wins + wins.losses if wins else 0
    if wins and decided and wins.longer >= 0.8 * decided:
        notes.append(
            f"{wins.longer:,} of the {decided:,} verdicts that are no ties went to the longer "
            "answer: judges tend to prefer length"
        )
    return notes
