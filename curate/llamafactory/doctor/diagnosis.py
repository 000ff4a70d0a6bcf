"""What the doctor found, for people, programs and notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from curate.html import html_table
from curate.llamafactory.doctor.rules import Effect

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("rule", "what it does", "rows", "first rows")
# In the order in which findings are told.
EFFECTS: Mapping[str, str] = {
    "stops": "ends the run",
    "dropped": "row dropped",
    "lost": "loss in silence",
    "note": "note",
}
_IN_TABLE = 3
_MERGED_IDS = 5


@dataclass(frozen=True)
class Finding:
    """A finding as it is told.

    Attributes:
        rule: Its name.
        count: Rows; 0 where it is about the file or the entry.
        ids: Of the first rows, where they have a canonical view.
        effect: stops, dropped, lost or note.
        places: Of the first rows, for people.
        says: What happens.
        do: What to do about it.
        said: What LLaMA-Factory says itself, or which key it is about.
    """

    rule: str
    count: int
    ids: tuple[str, ...]
    effect: Effect
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
        return any(finding.effect == "stops" for finding in self.found)

    @property
    def well(self) -> bool:
        """Whether nothing is lost."""
        return all(each.effect == "note" for each in self.found) and self.usable == self.rows

    @property
    def findings(self) -> pd.DataFrame:
        """One line a finding, its fields as columns."""
        import pandas as pd

        names = [field.name for field in fields(Finding)]
        return pd.DataFrame([asdict(finding) for finding in self.found], columns=names)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "stage": self.stage,
            "rows": self.rows,
            "usable": self.usable,
            "ended": self.ended,
            "entry": dict(self.entry),
            "findings": [asdict(finding) for finding in self.found],
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
            (
                finding.rule,
                EFFECTS[finding.effect],
                finding.count or "all",
                " ".join((finding.ids or finding.places)[:_IN_TABLE]),
            )
            for finding in self.found
        ]

    def explained(self) -> list[str]:
        """Return a sentence or two on each finding."""
        return [
            f"{each.rule}: {each.says}{f' [{each.said}]' if each.said else ''} To do: {each.do}"
            for each in self.found
        ]

    def __repr__(self) -> str:
        lines = [" | ".join(map(str, line)) for line in self.lines()]
        return "\n  ".join([self.summary(), *lines, *self.explained()])

    def _repr_html_(self) -> str:
        head = html_table([("rows", self.rows), ("usable", self.usable), ("stage", self.stage)])
        more = html_table([(line,) for line in (self.summary(), *self.explained())])
        return head + html_table(self.lines(), HEADER) + more


def as_json(diagnoses: list[Diagnosis]) -> dict[str, Any]:
    """Return one object for all: what one has, and of several the sums beside each of them."""
    if len(diagnoses) == 1:
        return diagnoses[0].as_dict()
    merged: dict[str, dict[str, Any]] = {}
    for diagnosis in diagnoses:
        for finding in diagnosis.found:
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


def one_line(entry: Mapping[str, Any]) -> str:
    """Return an entry as it is typed."""
    return json.dumps(entry, ensure_ascii=False)
