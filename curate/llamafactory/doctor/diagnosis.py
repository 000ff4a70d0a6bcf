"""What the doctor found, for people, programs and notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.html import html_table
from curate.llamafactory.doctor.rules import Effect

if TYPE_CHECKING:
    import pandas as pd

# Rows that are named of each finding.
SHOWN = 5
_IN_TABLE = 3
HEADER = ("rule", "what it does", "rows", "first rows")
EFFECTS: Mapping[str, str] = {
    "stops": "ends the run",
    "dropped": "row dropped",
    "lost": "loss in silence",
    "note": "note",
}


@dataclass
class Found:
    """A finding while it is counted.

    Attributes:
        rule: Its name.
        count: Rows; 0 where it is about the file or the entry.
        positions: Of the first of them.
        said: What LLaMA-Factory says itself, or which key it is about.
    """

    rule: str
    count: int = 0
    positions: list[int] = field(default_factory=list)
    said: str = ""


@dataclass(frozen=True)
class Finding:
    """A finding as it is told.

    Attributes:
        rule: Its name.
        effect: stops, dropped, lost or note.
        count: Rows.
        ids: Of the first rows, where they have a canonical view.
        places: Of the first rows, for people.
        says: What happens.
        do: What to do about it.
        said: What LLaMA-Factory says itself, or which key it is about.
    """

    rule: str
    effect: Effect
    count: int
    ids: tuple[str, ...]
    places: tuple[str, ...]
    says: str
    do: str
    said: str


@dataclass(frozen=True)
class Diagnosis:
    """What LLaMA-Factory will do with a data set.

    Attributes:
        name: Of the data set or file.
        stage: That was looked at.
        entry: Of dataset_info.json, as it was judged.
        assumed: Whether the entry is the one that a user would most likely write.
        better: The entry that curate registers, where that is another.
        rows: How many there are.
        usable: How many LLaMA-Factory trains on; 0 where it ends before.
        otherwise: How many it would train on if nothing ended it.
        found: What was found.
        template: And cutoff, where a model was given.
    """

    name: str
    stage: str
    entry: Mapping[str, Any]
    assumed: bool
    better: Mapping[str, Any] | None
    rows: int
    usable: int
    otherwise: int
    found: tuple[Finding, ...]
    template: str = ""

    @property
    def ended(self) -> bool:
        """Whether LLaMA-Factory ends before it trains."""
        return any(each.effect == "stops" for each in self.found)

    @property
    def well(self) -> bool:
        """Whether nothing is lost."""
        return all(each.effect == "note" for each in self.found) and self.usable == self.rows

    @property
    def findings(self) -> pd.DataFrame:
        """One line a finding: rule, effect, count, ids, places, says, do, said."""
        import pandas as pd

        names = list(Finding.__dataclass_fields__)
        return pd.DataFrame(
            [[getattr(each, name) for name in names] for each in self.found], None, names
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "stage": self.stage,
            "rows": self.rows,
            "usable": self.usable,
            "ended": self.ended,
            "entry": dict(self.entry),
            "findings": [
                {
                    "rule": each.rule,
                    "count": each.count,
                    "ids": list(each.ids),
                    "effect": each.effect,
                    "places": list(each.places),
                    "says": each.says,
                    "do": each.do,
                    "said": each.said,
                }
                for each in self.found
            ],
        }

    def summary(self) -> str:
        """Return one line: how many rows of how many, at which stage."""
        text = f"{self.name}, stage {self.stage}: {self.usable:,} of {self.rows:,} rows usable"
        if self.template:
            text += f" ({self.template})"
        if self.ended and self.otherwise:
            text += f" (the run ends; {self.otherwise:,} without what ends it)"
        return text

    def lines(self) -> list[Sequence[object]]:
        """Return a line a finding, as HEADER names the columns."""
        return [
            (each.rule, EFFECTS[each.effect], each.count or "all", _first(each))
            for each in self.found
        ]

    def explained(self) -> list[str]:
        """Return a sentence or two on each finding."""
        return [
            f"{each.rule}: {each.says}{f' [{each.said}]' if each.said else ''} To do: {each.do}"
            for each in self.found
        ]

    def __repr__(self) -> str:
        told = [f"  {' | '.join(map(str, line))}" for line in self.lines()]
        return "\n".join([self.summary(), *told, *(f"  {each}" for each in self.explained())])

    def _repr_html_(self) -> str:
        head = html_table([("rows", self.rows), ("usable", self.usable), ("stage", self.stage)])
        more = html_table([(each,) for each in (self.summary(), *self.explained())])
        return head + html_table(self.lines(), HEADER) + more


def _first(finding: Finding) -> str:
    return " ".join((finding.ids or finding.places)[:_IN_TABLE])


def one_line(entry: Mapping[str, Any]) -> str:
    """Return an entry as it is typed."""
    return json.dumps(entry, ensure_ascii=False)


def in_order(found: Iterable[Found]) -> list[Found]:
    """Return findings as they are told: what ends the run first, notes last."""
    from curate.llamafactory.doctor.rules import rule_named

    order = list(EFFECTS)
    return sorted(found, key=lambda each: (order.index(rule_named(each.rule).effect), -each.count))
