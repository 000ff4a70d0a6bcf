"""Two models, the same prompts: answers, numbers, verdicts, and what they amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from curate.models.protocols import Generator
from deploy.compare import pairs as of_pairs
from deploy.compare.asking import Answer, KeptAnswers, Prompts, ask, check_asked, counted
from deploy.compare.pairs import FEWEST, ROUGE_L, Interval, Judge, Pair, judged

Progress = Callable[[str, int], Any]
_WORTH = {"tuned": 1.0, "tie": 0.5, "base": 0.0}
# Name of a number: how people call it, and which is better.
_MEASURES = {
    "characters": ("characters", ""),
    "cut": ("share cut off at the limit", ""),
    "empty": ("share of empty answers", "lower"),
    "loops": ("share of answers in a loop", "lower"),
    ROUGE_L: ("ROUGE-L", "higher"),
    "bleu": ("BLEU", "higher"),
}


@dataclass(frozen=True)
class CompareParams:
    base: str  # as typed
    tuned: str
    max_tokens: int = 256
    judge: str | None = None
    seed: int = 0  # of the intervals, and of the prompts that are drawn
    limit: int = 100  # of those


@dataclass(frozen=True)
class Measure:
    name: str
    title: str
    base: float
    tuned: float
    difference: Interval  # tuned minus base
    better: str  # `higher` or `lower`, '' where neither is

    @property
    def verdict(self) -> str:
        return self.difference.verdict(better=self.better)


@dataclass(frozen=True)
class WinRate:
    """How often the judge prefers the tuned model; a tie counts half."""

    judge: str
    wins: int
    losses: int
    ties: int
    unjudged: int  # pairs that the judge failed at; they count nowhere else
    how: dict[str, int]  # how the verdicts came about
    rate: Interval  # (wins + ties / 2) over all judged pairs
    longer: int  # of wins and losses, those that went to the answer with more characters

    @property
    def verdict(self) -> str:
        return self.rate.verdict(against=0.5, better="higher")


@dataclass(frozen=True)
class Comparison:
    params: CompareParams
    models: dict[str, dict[str, str]]  # `base`, `tuned` and, with one, `judge`: name, fingerprint
    prompts: Prompts
    pairs: tuple[Pair, ...]  # one a prompt, in their order
    measures: tuple[Measure, ...]  # over the prompts that both answered
    wins: WinRate | None  # None without a judge
    notes: tuple[str, ...] = ()  # what a user should know, a sentence each

    @property
    def worse(self) -> list[str]:
        """By what the tuned model is worse beyond doubt: the judge, or the references (ROUGE-L)."""
        worse = {measure.name for measure in self.measures if measure.verdict == "worse"}
        by = [f"the judge {self.wins.judge}"] if self.wins and self.wins.verdict == "worse" else []
        return [*by, "the references (ROUGE-L)"] if ROUGE_L in worse else by


def compare(
    params: CompareParams,
    sides: list[tuple[Generator, KeptAnswers]],
    prompts: Prompts,
    judge: Judge | None = None,
    progress: Progress = lambda who, count: None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Ask both models, one after the other, and look at what they said.

    `sides` (base, tuned) is emptied on the way: a model's memory is free when the next is loaded.
    """
    check_asked(prompts)
    conversations = [prompt.messages for prompt in prompts.prompts]
    models: dict[str, dict[str, str]] = {}
    answers: list[list[Answer]] = []
    for side in ("base", "tuned"):
        model, kept = sides.pop(0)
        models[side] = {"name": model.name, "fingerprint": model.fingerprint}
        answers.append(ask(model, conversations, params.max_tokens, kept, partial(progress, side)))
        del model
    pairs = [Pair(*both) for both in zip(prompts.prompts, *answers, strict=True)]
    wins = None
    if judge is not None:
        models["judge"] = {"name": judge.name, "fingerprint": judge.fingerprint}
        places = [place for place, pair in enumerate(pairs) if pair.answered]
        verdicts = judged(judge, [pairs[place] for place in places], partial(progress, "judge"))
        for place, verdict in zip(places, verdicts, strict=True):
            pairs[place] = replace(pairs[place], verdict=verdict)
        wins = win_rate(judge.name, pairs, params.seed)
    return Comparison(
        params=params,
        models=models,
        prompts=prompts,
        pairs=tuple(pairs),
        measures=tuple(measures(pairs, params.seed)),
        wins=wins,
        notes=(*notes, *_notes(models, pairs)),
    )


def measures(pairs: Sequence[Pair], seed: int) -> list[Measure]:
    """Return all measures; those against references are of the prompts that have one."""
    answered = [pair for pair in pairs if pair.answered]
    texts = [(p.base.text, p.tuned.text, p.prompt.reference) for p in answered]
    referenced = [three for three in texts if three[2]]
    measured = []
    for name, (title, better) in _MEASURES.items():
        numbers = [pair.numbers for pair in answered if name in pair.numbers[0]]
        if name == "bleu" and referenced:
            base, tuned, difference = of_pairs.bleu_of_both(referenced, seed)
        elif numbers:
            sides = [np.array([both[side][name] for both in numbers]) for side in (0, 1)]
            base, tuned = (float(values.mean()) for values in sides)
            difference = of_pairs.mean(sides[1] - sides[0], seed)
        else:
            continue
        measured.append(Measure(name, title, base, tuned, difference, better))
    return measured


def win_rate(judge: str, pairs: Sequence[Pair], seed: int) -> WinRate | None:
    """Return what a judge's verdicts on pairs amount to, None if there is not one."""
    verdicts = [(pair, pair.verdict) for pair in pairs if pair.verdict is not None]
    count = Counter(verdict.better for _, verdict in verdicts)
    worth = [_WORTH[verdict.better] for _, verdict in verdicts if verdict.better in _WORTH]
    if not worth:
        return None
    by_length = [(len(p.tuned.text) - len(p.base.text), v.better) for p, v in verdicts]
    return WinRate(
        judge=judge,
        wins=count["tuned"],
        losses=count["base"],
        ties=count["tie"],
        unjudged=count["unjudged"],
        how=dict(sorted(Counter(verdict.how for _, verdict in verdicts).items())),
        rate=of_pairs.mean(np.array(worth), seed),
        longer=sum(v == ("tuned" if more > 0 else "base") for more, v in by_length if more),
    )


def _notes(models: dict[str, dict[str, str]], pairs: list[Pair]) -> list[str]:
    answered = sum(pair.answered for pair in pairs)
    seen = sum(pair.prompt.trained_on is True for pair in pairs)
    cut = sum(pair.base.cut or pair.tuned.cut for pair in pairs)
    one_model = models["base"]["fingerprint"] == models["tuned"]["fingerprint"]
    few = 0 < answered < FEWEST
    alike = not one_model and all(pair.kind == "identical" for pair in pairs)
    notes = {
        "--base and --tuned are the same model: there is nothing to compare": one_model,
        "the two models gave the same answer to every prompt": alike,
        f"{len(pairs) - answered:,} of {len(pairs):,} prompts have no answer of one model or of "
        "both, and count in no number; the page says why": answered < len(pairs),
        f"the tuned model was trained on {seen:,} of these {len(pairs):,} prompts: on them it may "
        "only remember. --dataset NAME leaves them out": bool(seen),
        f"{counted(answered)}: too few to tell a difference from luck, which takes {FEWEST}": few,
        f"on {cut:,} of {len(pairs):,} prompts an answer was cut off: give a higher --max-tokens "
        "before numbers against whole references are believed": 2 * cut > len(pairs),
    }
    return [note for note, holds in notes.items() if holds]
