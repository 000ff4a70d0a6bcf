"""What a mixture is made of: its sources, its ratio, and how a shortage is met."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.errors import UsageError, did_you_mean
from curate.mixture.ratio import Ratio, parse_ratio

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection

Side = Literal["domain", "general"]
SIDES: tuple[Side, Side] = ("domain", "general")
ALLOWED = {
    "by": ("rows", "tokens"),
    "stage": ("sft", "pt"),
    "shortage": ("error", "shrink", "repeat"),
}


@dataclass(frozen=True)
class MixSource:
    """One source of a side.

    Attributes:
        rows: A file, a folder, rows that were read, or what a recipe chose: its kept rows.
        weight: Its part of the side among the side's sources; without weights all rows of a side
            are one heap.
        limit: Rows to take at most, drawn by the seed.
        format: Of the file; told from its content if not given.
        fill: Placeholder to text.
    """

    rows: str | os.PathLike[str] | Rows | Selection
    weight: Fraction | float | None = None
    limit: int | None = None
    format: str | None = None
    fill: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what takes no rows."""
        if self.weight is not None and not 0 < self.weight < math.inf:
            raise UsageError(f"weight {self.weight}: allowed are numbers above 0")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit}: allowed are whole numbers from 1")

    @property
    def label(self) -> str:
        """The source for people, without its folder."""
        if isinstance(self.rows, str | os.PathLike):
            return Path(self.rows).name
        given: Any = self.rows
        rows: Rows = getattr(given, "rows", given)  # a selection has them
        return ", ".join(source.name for source in rows.sources)


@dataclass(frozen=True)
class Mixture:
    """Domain data and general data at a ratio.

    Attributes:
        domain: Sources of domain data.
        general: Sources of general data.
        ratios: One, or several for a sweep.
        by: What the ratio counts: `rows`, or `tokens` of what is trained on.
        model: Whose tokenizer counts the tokens.
        stage: `sft`, or `pt`: texts for pre-training.
        shortage: What to do when general data does not suffice: `error`, `shrink` (less domain
            data), `repeat` (general rows more than once).
        seed: For what is drawn, and for the order of the output.
        name: Of the data set; '' makes one from the first domain file.
    """

    domain: tuple[MixSource, ...]
    general: tuple[MixSource, ...]
    ratios: tuple[Ratio, ...] = (parse_ratio("1:5"),)
    by: str = "rows"
    model: str = "smollm2"
    stage: str = "sft"
    shortage: str = "error"
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        for option, allowed in ALLOWED.items():
            given = str(getattr(self, option))
            if given not in allowed:
                raise UsageError(
                    f"--{option} {given}: allowed are {', '.join(allowed)}."
                    f"{did_you_mean(given, allowed)}"
                )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are whole numbers from 0")
        for side in SIDES:
            if not self.sources(side) and any(getattr(each, side) for each in self.ratios):
                wanted = next(each for each in self.ratios if getattr(each, side))
                raise UsageError(
                    f"ratio {wanted} needs {side} data and none is given: give --{side} FILE"
                )

    def sources(self, side: Side) -> tuple[MixSource, ...]:
        """Return the sources of a side.

        Args:
            side: `domain` or `general`.
        """
        return self.domain if side == "domain" else self.general

    def as_dict(self) -> dict[str, Any]:
        """Return the mixture as a manifest has it: files by their names alone."""
        found: dict[str, Any] = {"ratios": [str(each) for each in self.ratios]}
        for option in ("by", "stage", "shortage", "seed"):
            found[option] = getattr(self, option)
        if self.by == "tokens":
            found["model"] = self.model if not Path(self.model).exists() else Path(self.model).name
        for side in SIDES:
            found[side] = [_as_dict(source) for source in self.sources(side)]
        return found


def _as_dict(source: MixSource) -> dict[str, Any]:
    weight = {} if source.weight is None else {"weight": str(source.weight)}
    limit = {} if source.limit is None else {"limit": source.limit}
    format_ = {} if source.format is None else {"format": source.format}
    fill = {"fill": dict(source.fill)} if source.fill else {}
    return {"source": source.label, **weight, **limit, **format_, **fill}
