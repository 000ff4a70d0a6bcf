"""A report as one page of HTML: `curate.page` with this template, style and script."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from curate.choices.selection import Selection
from curate.data.describe import counted, language_of
from curate.emission.emit import MAP, PAGE
from curate.errors import UsageError
from curate.mixture.mixed import Mixed
from curate.page.document import LANGUAGES, clean, document, one_line
from curate.page.figures import bar, dots, histogram, share_lines, short
from curate.parameters.option import refuse_below
from curate.parameters.report import ReportParams
from curate.reports.chosen import choice_of
from curate.reports.contents import ALL, CONTROL, KEPT, BudgetStep, Histogram, PageRow, Report
from curate.reports.gather import gather
from curate.reports.on_disk import read_choice
from curate.system.files import whole_files, writing_to

_Colouring = tuple[str, list[tuple[str, str]], list[int]]
_STEPS, _COLOURS = 7, 10  # as many as the style names


def report(
    given: Selection | Mixed | str, output: str | Path | None = None, *, params: ReportParams
) -> Path:
    """Write one page that shows a choice, and return its path.

    Args:
        given: What a recipe chose, a mixture, or the name of a data set that curate wrote.
        output: The page; NAME.report.html in `dataset_dir` if not given.
        params: See below.

    Raises:
        UsageError: It is nothing that a recipe gave, or `input` is no file that it was made of.
        DataError: Nothing of that name is there, or it has no scores.
        OutputError: The page cannot be written.

    Example:
        >>> curate.report(cherry)
        PosixPath('data/huatuo_ifd.report.html')
    """
    refuse_below(1, points=params.points)
    if params.table and params.no_map:
        raise UsageError("--table has the rows that are on the map; leave --no-map out")
    folder, files = Path(params.dataset_dir), [*map(Path, params.input)]
    chosen = read_choice(given, folder, files) if isinstance(given, str) else choice_of(given)
    shown = gather(chosen, params.points, not params.no_map)
    page = Path(output) if output is not None else folder / (chosen.name + PAGE)
    if page.is_dir():
        raise UsageError(
            f"--output {page} is a folder; give a file in it, such as {page}/page.html"
        )
    with writing_to(page.parent):
        page.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(page) as (part,):
            part.write_text(draw(shown), encoding="utf-8", newline="\n")
        if params.table:
            with whole_files(beside(page)) as (part,):
                pq.write_table(map_table(shown), part)
    return page


def beside(page: Path) -> Path:
    return page.with_name(page.name.removesuffix(".html").removesuffix(".report") + MAP)


def map_table(report: Report) -> pa.Table:
    """Return a line for each row on the map: id, x, y, text, kept, and what is known of it."""
    rows = [row for row in report.rows if row.spot]
    return pa.table(
        {
            **{n: [row.colour.get(n) for row in rows] for n in _names(row.colour for row in rows)},
            **{n: [row.numbers.get(n) for row in rows] for n in _names(r.numbers for r in rows)},
            "id": [row.id for row in rows],
            "x": [row.spot[0] for row in rows if row.spot],
            "y": [row.spot[1] for row in rows if row.spot],
            "text": ["\n\n".join(text for _, text in row.messages) for row in rows],
            "kept": [not row.reason for row in rows],
            "reason": [row.reason for row in rows],
            "control": [row.control for row in rows],
        }
    )


def draw(report: Report) -> str:
    """Return the whole page; the same report gives the same bytes.

    A section of which the report has nothing is not on the page. The page's JSON has the rows as
    columns, a place a row: `rows` what is said of them, `numbers` by name, `colourings` what a
    place in its `legend` the map has them in.
    """
    groups = {ALL: "all rows", KEPT: "kept", CONTROL: "random control", **dict(report.controls)}
    colourings = list(_colourings(report.rows, groups[CONTROL]))
    colourings = colourings or [("rows", [("dropped", "rows")], [0] * len(report.rows))]
    kept = sum(stage.rows for stage in report.funnel if stage.kind == "kept")
    if not kept:
        del groups[KEPT]
    data = {
        "name": one_line(report.name),
        "sha256": report.sha256,
        "control": one_line(groups[CONTROL]),
        "rows": {
            "id": [one_line(row.id) for row in report.rows],
            "where": [one_line(row.where) for row in report.rows],
            "reason": [one_line(row.reason) for row in report.rows],
            "control": [int(row.control) for row in report.rows],
            "roles": [[one_line(role) for role, _ in row.messages] for row in report.rows],
            "texts": [[clean(text) for _, text in row.messages] for row in report.rows],
            "languages": [
                [LANGUAGES.get(language_of(text), "") for _, text in row.messages]
                for row in report.rows
            ],
            "cut": [row.cut for row in report.rows],
            "spot": [
                row.spot and [round(0.02 + 0.96 * side, 4) for side in row.spot]  # the edge is free
                for row in report.rows
            ],
        },
        "numbers": {
            one_line(name): [_rounded(row.numbers.get(name)) for row in report.rows]
            for name in _names(row.numbers for row in report.rows)
        },
        "colourings": [{"legend": legend, "of": of} for _, legend, of in colourings],
        "views": [
            (one_line(view.key), view.places, f"{one_line(view.label)} {number(view.rows)}")
            for view in report.views
        ],
        "budgets": [(_keeps(step), step.edge) for step in report.budgets],
    }
    away = [abs(step.rows - kept) for step in report.budgets]
    page = document(
        Path(__file__).parent / "template",
        *(bar, one_line, number, percent, figure),
        data=data,
        report=report,
        groups=groups,
        columns={key: groups[key] for key in (ALL, KEPT, *dict(report.controls)) if key in groups},
        kept=kept,
        colourings=[name for name, _, _ in colourings],
        headings=_names(values for _, values in report.sources),
        nearest=away.index(min(away)) if away else 0,
        dots=dots,
    )
    return one_line(page)  # all texts but those in the data are names and sentences


def figure(shown: Histogram) -> Markup:
    if shown.as_lines:
        label = f"share of rows by {shown.name}"
        return share_lines(shown.edges, shown.counts, shown.marks, label)
    label = f"rows by {shown.name}, kept in front of all"
    return histogram(shown.edges, shown.counts[ALL], shown.counts[KEPT], shown.marks, label)


def number(value: object) -> str:
    if value is None:
        return "–"
    return short(float(value)) if isinstance(value, int | float) else str(value)


def percent(rows: int, whole: int) -> str:
    return f"{100 * rows / whole:.1f} %" if whole else "–"


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _keeps(step: BudgetStep) -> str:
    tokens = ""
    if step.tokens is not None and step.mean_tokens is not None:
        tokens = f", {number(step.tokens)} tokens, {number(step.mean_tokens)} a row"
    kept, lowest = counted(step.rows), number(step.cut)
    return f"{number(100 * step.share)} % keeps {kept}{tokens}; the lowest has {lowest}."


def _colourings(rows: Sequence[PageRow], control: str) -> Iterator[_Colouring]:
    """Yield what the map can be coloured by: its name, a legend, and the place in that a row.

    The legend has the style's name of a colour and its meaning. Later ones are drawn over earlier,
    and are named before them.
    """
    other = ("dropped", "other rows")
    if any(not row.reason for row in rows):
        yield "kept", [other, ("kept", "kept")], [int(not row.reason) for row in rows]
    if any(row.control for row in rows):
        yield control, [other, ("control", one_line(control))], [int(row.control) for row in rows]
    for name in _names(row.numbers for row in rows):
        values = [_rounded(row.numbers.get(name)) for row in rows]
        finite = sorted(value for value in values if value is not None)
        if not finite or finite[0] == finite[-1]:
            continue
        # A step of colour has as many rows as any other, however far out some are.
        cuts = [finite[len(finite) * step // _STEPS] for step in range(1, _STEPS)]
        ends = [f"to {short(cuts[0])}", *[""] * (_STEPS - 2), f"from {short(cuts[-1])}"]
        legend = [("line", "none"), *((f"step{step}", end) for step, end in enumerate(ends))]
        steps = [0 if value is None else 1 + bisect_right(cuts, value) for value in values]
        yield name, *_used(legend, steps)
    for key in _names(row.colour for row in rows):
        counts = Counter(row.colour.get(key, "") for row in rows)
        most = [value for value, _ in reversed(counts.most_common(_COLOURS))]
        place_of = {value: place for place, value in enumerate(most, start=1)}
        inks = (f"c{ink}" for ink in reversed(range(len(most))))
        legend = [("dropped", "others"), *zip(inks, map(one_line, most), strict=True)]
        yield key, *_used(legend, [place_of.get(row.colour.get(key, ""), 0) for row in rows])


def _used(
    legend: list[tuple[str, str]], places: list[int]
) -> tuple[list[tuple[str, str]], list[int]]:
    """Leave the first colour out where no row has it."""
    return (legend, places) if 0 in places else (legend[1:], [place - 1 for place in places])


def _rounded(value: float | None) -> float | int | None:
    """Return six digits of a number, which is more than a page shows; None where there is none."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(f"{value:.6g}")
