"""What the doctor can find, rule by rule, and what it found: for people, programs, notebooks."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.notebook.tables import frame_of, html_notes, html_table

if TYPE_CHECKING:
    import pandas as pd

Effect = Literal["stops", "dropped", "lost", "identifies", "content", "note"]
# In the order in which findings are told.
EFFECTS: Mapping[str, str] = {
    "stops": "ends the run",
    "dropped": "row dropped",
    "lost": "loss in silence",
    "identifies": "identifies somebody",
    "content": "to be looked at",
    "note": "note",
}
HEADER = ("rule", "what it does", "rows", "first rows")
CONTENT = "content"  # in place of a stage: what rows say was looked at
_IN_TABLE = 3
_MERGED_IDS = 5


@dataclass(frozen=True)
class Rule:
    """What a finding means: its effect, what happens in one sentence, what to do about it."""

    effect: Effect
    says: str
    do: str


class Ends(Exception):
    """What ends LLaMA-Factory, by rule and in its own words."""

    def __init__(self, rule: str, said: str) -> None:
        super().__init__(rule, said)
        self.rule, self.said = rule, said


@functools.cache
def rules() -> dict[str, Rule]:
    by_effect = tomllib.loads(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))
    return {
        name: Rule(effect, says, do)  # type: ignore[arg-type]
        for effect, named in by_effect.items()
        for name, (says, do) in named.items()
    }


def rule_named(name: str) -> Rule:
    """Return a rule; those of lost columns are made for the column."""
    if name in rules():
        return rules()[name]
    column = name.removeprefix("lost_")
    return Rule(
        "lost",
        f"the file has something for `{column}`, and the entry does not name it: it is not read.",
        f"name it under `columns` as {column}",
    )


@dataclass(frozen=True)
class Finding:
    rule: str
    count: int  # rows; 0 where it is about the file or the entry
    ids: tuple[str, ...]  # of the first rows, where they have a canonical view
    effect: Effect
    places: tuple[str, ...]  # of the first rows, for people
    says: str  # what happens
    do: str
    said: str  # what LLaMA-Factory says itself, or which key it is about


@dataclass(frozen=True)
class Diagnosis:
    """What LLaMA-Factory will do with a data set."""

    name: str  # of the data set or file
    stage: str  # that was looked at; `content` for what rows say
    entry: Mapping[str, Any]  # of dataset_info.json, as it was judged
    assumed: bool  # whether the entry is the one that a user would most likely write
    better: Mapping[str, Any] | None  # the entry that curate registers, where that is another
    rows: int
    usable: int  # rows that it trains on, 0 where it ends before; of content, those without finding
    otherwise: int  # rows that it would train on if nothing ended it
    found: tuple[Finding, ...]
    template: str = ""  # and cutoff, where a model was given
    left_out: int = 0  # rows that `split`, or max_samples, leaves out
    not_used: Mapping[str, int] = field(default_factory=dict)  # keys whose text none uses, to rows

    @property
    def ended(self) -> bool:
        return any(finding.effect == "stops" for finding in self.found)

    @property
    def well(self) -> bool:
        return self.usable == self.rows and all(found.effect == "note" for found in self.found)

    @property
    def findings(self) -> pd.DataFrame:
        """One line a finding, its fields as columns."""
        names = [of_finding.name for of_finding in fields(Finding)]
        return frame_of([asdict(each) for each in self.found], columns=names)

    def as_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("name", "stage", "rows", "usable", "ended")},
            "entry": dict(self.entry),
            "findings": [asdict(finding) for finding in self.found],
            "not_used": dict(self.not_used),
        }

    def summary(self) -> str:
        """Return one line: how many rows of how many, at which stage."""
        if self.stage == CONTENT:
            found = self.rows - self.usable
            return f"{self.name}: something was found in {found:,} of {self.rows:,} rows"
        text = f"{self.name}, stage {self.stage}: {self.usable:,} of {self.rows:,} rows usable"
        if self.left_out:
            text += f", {self.left_out:,} left out"
        if self.template:
            text += f" ({self.template})"
        if self.ended and self.otherwise:
            text += f" (the run ends; {self.otherwise:,} without what ends it)"
        return text

    def lines(self) -> list[Sequence[object]]:
        """Return a line a finding, as HEADER names the columns."""
        firsts = [" ".join((found.ids or found.places)[:_IN_TABLE]) for found in self.found]
        return [
            (finding.rule, EFFECTS[finding.effect], finding.count or "all", first)
            for finding, first in zip(self.found, firsts, strict=True)
        ]

    def explained(self) -> list[str]:
        own_words = [f" [{finding.said}]" if finding.said else "" for finding in self.found]
        sentences = [
            f"{finding.rule}: {finding.says}{said} To do: {finding.do}"
            for finding, said in zip(self.found, own_words, strict=True)
        ]
        if self.not_used:
            keys = ", ".join(f"{key} ({rows:,})" for key, rows in self.not_used.items())
            sentences.append(f"not used: {keys}: texts beside the dialogue, which nothing reads")
        return sentences

    def __repr__(self) -> str:
        lines = [" | ".join(map(str, line)) for line in self.lines()]
        return "\n  ".join([self.summary(), *lines, *self.explained()])

    def _repr_html_(self) -> str:
        head = html_table([("rows", self.rows), ("usable", self.usable), ("stage", self.stage)])
        more = html_notes((self.summary(), *self.explained()))
        return head + html_table(self.lines(), HEADER) + more


def as_json(diagnoses: list[Diagnosis]) -> dict[str, Any]:
    """Return one object for all: what one has, and of several the sums beside each of them."""
    if len(diagnoses) == 1:
        return diagnoses[0].as_dict()
    merged: dict[str, dict[str, Any]] = {}
    for finding in (finding for diagnosis in diagnoses for finding in diagnosis.found):
        known = merged.setdefault(finding.rule, {**asdict(finding), "count": 0, "ids": ()})
        known["count"] += finding.count
        known["ids"] = (*known["ids"], *finding.ids)[:_MERGED_IDS]
    return {
        "rows": sum(diagnosis.rows for diagnosis in diagnoses),
        "usable": sum(diagnosis.usable for diagnosis in diagnoses),
        "ended": any(diagnosis.ended for diagnosis in diagnoses),
        "findings": list(merged.values()),
        "files": [diagnosis.as_dict() for diagnosis in diagnoses],
    }
