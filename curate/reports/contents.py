"""What a report's page shows, worked out before anything is drawn.

`gather` makes it of a choice, `page` draws it and computes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ALL, KEPT, CONTROL = "all", "kept", "control"


@dataclass(frozen=True)
class Stage:
    label: str  # what happened to the rows: read, scored, left out by what, kept
    rows: int
    kind: str  # read, unscored, scored, left_out, kept, or part of what is kept
    view: str = ""  # key of the view that shows them; '' where there is none


@dataclass(frozen=True)
class Histogram:
    """Counts of rows by a number, kept on top of all as bars, or shares of groups as lines."""

    name: str
    edges: tuple[float, ...]  # one more than bins; the outermost bins hold what lies beyond
    counts: dict[str, tuple[int, ...]]  # of each group (ALL, KEPT, CONTROL) a number a bin
    marks: tuple[tuple[str, float], ...] = ()  # what is to be read at a value: ("cut 0.97", 0.97)
    as_lines: bool = False


@dataclass(frozen=True)
class Dots:
    x: str
    y: str
    points: tuple[tuple[float, float, bool], ...]  # x, y, kept
    rho: float  # Spearman, of all rows


@dataclass(frozen=True)
class BudgetStep:
    """What another budget would keep, for the slider."""

    share: float  # of all rows, as --keep counts it
    rows: int
    tokens: int | None
    mean_tokens: float | None
    cut: float  # the lowest score that is kept
    edge: int  # place among the page's rows of the last that is kept; -1 where it is not there


@dataclass(frozen=True)
class Beside:
    """A number of all rows, of the choice, and of each control, by group."""

    name: str
    values: dict[str, float | None]


@dataclass(frozen=True)
class Cover:
    """How a choice spreads over values of a key: clusters, sources, languages, departments."""

    key: str
    lines: tuple[tuple[str, int, int, int | None], ...]  # label, rows, kept, of the control
    reached: int  # values of which at least one row is kept
    note: str = ""  # which rows are counted where it is not all of them


@dataclass(frozen=True)
class View:
    """A list of rows behind a button, in the order to read them."""

    key: str
    label: str
    rows: int  # in all; the page may hold fewer
    places: tuple[int, ...]  # among the page's rows


@dataclass(frozen=True)
class PageRow:
    id: str
    where: str  # source and place there, for people
    reason: str  # '' for a kept row, else why it was left out
    control: bool  # whether the random control has it
    messages: tuple[tuple[str, str], ...]  # role, or any key of the row, and text
    cut: int = 0  # characters of text that the page leaves out
    numbers: dict[str, float] = field(default_factory=dict)  # scores and tokens by name
    colour: dict[str, str] = field(default_factory=dict)  # what the map is coloured by: cluster …
    spot: tuple[float, float] | None = None  # on the map, each from 0 to 1


@dataclass(frozen=True)
class Report:
    """All that is on a page, in its order but for the rows."""

    name: str  # of the data set
    recipe: str
    sha256: str  # of the data file; what is marked on the page is of it
    verdict: str  # how many of how many, what the score means, the cut
    warnings: tuple[tuple[str, str], ...]  # (finding or note, sentence), the gravest first
    funnel: tuple[Stage, ...]
    figures: tuple[Histogram, ...]
    dots: Dots | None  # score against length
    budgets: tuple[BudgetStep, ...]  # empty where no other budget can be cut
    beside: tuple[Beside, ...]
    controls: tuple[tuple[str, str], ...]  # key and label, for `beside`; the first is random
    map_note: str  # how the map was made; '' where there is none
    covers: tuple[Cover, ...]
    rows: tuple[PageRow, ...]
    views: tuple[View, ...]  # the first is shown
    sources: tuple[tuple[str, dict[str, Any]], ...]  # of a mixture: name, and numbers by heading
    provenance: tuple[tuple[str, str], ...]  # heading and text
    left_out: str  # what was cut to keep the page small
