"""What a proof amounts to: numbers of every arm, what they show, and what they could not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from curate.data.rows import Rows
from curate.notebook.tables import html_notes, html_table
from curate.parameters.prove import RANDOM, ProveParams
from curate.proofs.statistics import LEVEL, Difference, Floats, smallest_difference
from curate.proofs.trainings import EXAM, GENERAL, NLL, WINS, Measured
from curate.scorers.overlap import MEASURES
from curate.system.files import write_text
from curate.system.manifest import to_json

OF_ANSWERS = {**MEASURES, WINS: "wins", EXAM: "exam"}  # all of 0 … 100
_MOST_REPEATS = 100


@dataclass(frozen=True)
class Line:
    """An arm by one measure: its mean, by how much it is better than its control, p after Holm."""

    mean: float | None
    one: Difference | None
    p: float | None

    @property
    def side(self) -> str:
        """`better` or `worse` beyond chance, else ''."""
        if self.one is None or (self.p is not None and self.p >= LEVEL):
            return ""
        return "better" if self.one.low > 0 else "worse" if self.one.high < 0 else ""

    def cells(self) -> tuple[str, str]:
        mean = "" if self.mean is None else f"{self.mean:.4f}"
        if self.one is None or self.mean is None:
            return mean, ""
        value, low, high = (f"{n:+.4f}" for n in (self.one.value, self.one.low, self.one.high))
        return mean, value if self.one.low != self.one.low else f"{value} ({low} to {high})"


@dataclass(frozen=True)
class Foreseen:
    start: float  # seconds until a training's first step
    step: float  # seconds
    trainings: int  # of all arms, those for the rate included

    def seconds(self, steps: int, workers: int) -> float:
        return self.trainings * (self.start + steps * self.step) / workers


@dataclass(frozen=True, repr=False)
class Proof:
    """What was shown, and what was not.

    Attributes:
        params: What was asked for.
        test: Rows that were measured on.
        arms: All of them, base first, random arms included.
        differences: By measure and arm, from its control; above 0 the arm is better.
        corrected: p-values by measure and arm after Holm's correction over arms, each measure by
            itself; base is none of the tested.
        smallest: Difference that would be found with 80 % power; None before a pilot.
        notes: What a user should know, a sentence each.
        foreseen: Of a dry run.
        provenance: Of rows and versions.
    """

    params: ProveParams
    test: Rows
    arms: tuple[Measured, ...]
    differences: dict[str, dict[str, Difference]] = field(default_factory=dict)
    corrected: dict[str, dict[str, float]] = field(default_factory=dict)
    smallest: float | None = None
    notes: tuple[str, ...] = ()
    foreseen: Foreseen | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def wins(self) -> list[str]:
        """Arms with a lower NLL than their control beyond chance, the best first."""
        return self.wins_by(NLL)

    def wins_by(self, measure: str) -> list[str]:
        """Return the arms that are better than their control beyond chance, the best first."""
        won = {
            name: line.one.value
            for name, line in self.by(measure).items()
            if line.one and line.p is not None and line.side == "better"
        }
        return sorted(won, key=lambda name: -won[name])

    def by(self, measure: str) -> dict[str, Line]:
        """Return what arms have by a measure, those without left out."""
        differences = self.differences.get(measure, {})
        corrected = self.corrected.get(measure, {})
        return {
            name: Line(_mean(numbers), differences.get(name), _number(corrected.get(name)))
            for name, numbers in ((each.arm.name, each.numbers.get(measure)) for each in self.arms)
            if numbers is not None
        }

    @property
    def failed(self) -> list[str]:
        """Arms without numbers."""
        return [each.arm.name for each in self.arms if each.failure]

    def sentence(self) -> str:
        """Return what was shown, what was not, and what it would take."""
        tested = self.corrected.get(NLL, {})
        if not tested:
            return "no choice was trained and measured, so nothing is shown yet"
        seen = "" if self.smallest is None else _seen(self)
        for measure in self.of_answers:
            won = ", ".join(self.wins_by(measure)) or "none"
            of = OF_ANSWERS[measure] + " of answers" * (measure != EXAM)
            seen += f" By {of}: {won}."
        if self.wins:
            shown = "; ".join(map(self._better, self.wins))
            others = [name for name in tested if name not in self.wins]
            rest = f" Not shown for {', '.join(others)}." if others else ""
            return f"Shown: {shown}.{rest}{seen}"
        names = ", ".join(tested)
        return f"Not shown: none of {names} is better than random rows of as many tokens.{seen}"

    @property
    def of_answers(self) -> list[str]:
        """The measures of answers that there are."""
        return [measure for measure in OF_ANSWERS if measure in self.differences]

    def _better(self, name: str) -> str:
        one = self.differences[NLL][name]
        control = next(each.arm.control for each in self.arms if each.arm.name == name)
        return (
            f"{name} is better than {control} by {one.value:.4f} nats a token (95 % interval "
            f"{one.low:.4f} to {one.high:.4f}, p {self.corrected[NLL][name]:.3g} after Holm)"
        )

    def table(self) -> tuple[list[list[str | int]], tuple[str, ...]]:
        """Return a line for each arm, and the names of the columns."""
        named = {GENERAL: "general NLL", **OF_ANSWERS}
        others = [each for each in named if self.by(each)]
        lines: list[list[str | int]] = []
        for measured in self.arms:
            arm = measured.arm
            nll, *more = (
                self.by(each).get(arm.name, Line(None, None, None)) for each in (NLL, *others)
            )
            mean, better = nll.cells()
            p_holm = "" if nll.p is None else f"{nll.p:.3g}"
            sizes = (arm.name, arm.rows, arm.tokens, measured.failure or mean, arm.control)
            lines.append([*sizes, better, p_holm, *(" ".join(each.cells()) for each in more)])
        columns = ("arm", "rows", "tokens", "NLL", "against", "better by (95 %)", "p (Holm)")
        return lines, (*columns, *(f"{named[each]}, better by" for each in others))

    def __repr__(self) -> str:
        return self.sentence()

    def _repr_html_(self) -> str:
        return html_notes([self.sentence(), *self.notes]) + html_table(*self.table())

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, arms by name."""
        return {
            "arms": {each.arm.name: self._arm(each) for each in self.arms},
            "smallest_difference": self.smallest,
            "power": 0.8,
            "wins": self.wins,
            "sentence": self.sentence(),
            "test_rows": len(self.test),
            "notes": list(self.notes),
            "params": dataclasses.asdict(self.params),
            "foreseen": dataclasses.asdict(self.foreseen) if self.foreseen else None,
            **self.provenance,
        }

    def _arm(self, measured: Measured) -> dict[str, Any]:
        arm = measured.arm
        entry: dict[str, Any] = {
            "rows": arm.rows,
            "tokens": arm.tokens,
            "control": arm.control or None,
            "rate": measured.rate,
            "failure": measured.failure or None,
        }
        answers = {}
        for measure in (NLL, GENERAL, *self.of_answers):
            numbers, line = measured.numbers.get(measure), self.by(measure).get(arm.name)
            means = None if numbers is None else [_mean(each) for each in numbers]
            one = None
            if line and line.one:
                one = {k: _number(value) for k, value in dataclasses.asdict(line.one).items()}
            p_holm = line.p if line else None
            if measure == NLL:
                entry |= {"nll": means, "difference": one, "p_holm": p_holm}
            elif measure == GENERAL:
                entry |= {"general_nll": means, "general_difference": one}
            else:
                answers[measure] = {"mean": means, "difference": one, "p_holm": p_holm}
        return {**entry, "answers": answers} if answers else entry


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value


def _mean(numbers: Floats) -> float | None:
    return float(np.nanmean(numbers)) if np.isfinite(numbers).any() else None


def _seen(proof: Proof) -> str:
    """Return what would have been seen, and what it would take to see the largest difference."""
    rows, repeats = len(proof.test), proof.params.repeats
    power = (
        f" A difference of {proof.smallest:.4f} would be found in four of five proofs with "
        f"{rows:,} test rows and {repeats} repeats"
    )
    pilot = pilot_of(proof.arms)
    tested = proof.corrected[NLL]
    best = max(proof.differences[NLL][name].value for name in tested)
    if proof.wins or pilot is None or not best > 0:
        return f"{power}."
    for more in range(repeats, _MOST_REPEATS + 1):
        smallest = smallest_difference(pilot, rows, more, len(tested))
        if smallest is not None and smallest <= best:
            return f"{power}; to find the largest one seen ({best:.4f}) {more} repeats."
    return f"{power}; to find the largest one seen ({best:.4f}) takes more test rows."


def pilot_of(arms: Sequence[Measured]) -> Floats | None:
    """Return (2, rows) numbers of the random arm's first two repeats; None if there are none."""
    random = next((each for each in arms if each.arm.name == RANDOM), None)
    if random is None or random.nll is None or len(random.nll) < 2:
        return None
    return random.nll[:2]


def write_proof(proof: Proof, folder: Path, name: str) -> Path:
    path = folder / f"{name}.prove.json"
    write_text(path, json.dumps(json.loads(to_json(proof.as_dict())), ensure_ascii=False, indent=1))
    return path
