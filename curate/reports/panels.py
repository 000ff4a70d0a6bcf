"""What decided a choice: numbers, the groups of rows along them, and the lines.

Whoever draws a choice - `Selection.plot()`, the report's page - asks here, so that no figure shows
a cut where none was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from curate.choices.selection import Selection
from curate.notebook.pictures import Bars, Panel, Picture, picture
from curate.parameters.mods import parse_bound
from curate.parameters.select import LIKE, RANDOM, THREE_DS, parse_between
from curate.recipes import score
from curate.recipes.earlier_scores import WHERE
from curate.recipes.ifd import COLUMNS as IFD
from curate.recipes.like import FAR, NEAREST
from curate.recipes.mods import NECESSITY
from curate.recipes.mods_seeds import LOW
from curate.recipes.select import CHOSEN
from curate.recipes.three_ds import DIFFICULTIES, NO_ANSWER
from curate.reports.chosen import OF_TWINS, SCORED, Chosen, Floats, choice_of
from curate.selectors.cluster_rank import TOP
from curate.selectors.facility_location import COVERED
from curate.selectors.kept_and_dropped import BELOW_CUT, MARKED_KEEP
from curate.selectors.threshold import NAME as THRESHOLD

TOKENS = "response tokens"
_DRAWN = "these rows were drawn at random: no score decided, so there is no cut to draw"
# What decided where that is not the column that a recipe ranks by.
_COLUMN = {
    **dict.fromkeys(OF_TWINS, "similarity"),
    "answers": "mean_logprob",
    "clusters": "cluster",
    LIKE: NEAREST,
}
# What each stage of MoDS leaves: in words, the stage, and which of its counts.
_STAGES = (
    ("scored", "quality", "rows"),
    ("good enough", "quality", "good"),
    ("seeds", "coverage", "seeds"),
    ("answered badly", "necessity", "necessary"),
    ("added", "augment", "added"),
)


def of_selection(selection: Selection) -> Picture:
    chosen = choice_of(selection)
    stages = {each["stage"]: each for each in chosen.manifest.get("stages", ())}
    sizes = {
        words: stages[stage][count]
        for words, stage, count in _STAGES
        if count in stages.get(stage, ())
    }
    labels = [f"{words}: {size:,}" for words, size in sizes.items()]
    bars = [Bars("rows by stage", labels, {"rows": list(sizes.values())})] if sizes else []
    return picture([*bars, *questions(chosen.manifest), *panels(chosen)], _DRAWN)


def panels(chosen: Chosen) -> list[Panel]:
    """Return the numbers that decided, the main one first; nothing where rows were drawn.

    A mark is where a line stands that decided: the cut of a budget, the 1 of IFD, the quality that
    MoDS asks for. Where no such line parts kept from dropped rows there is none.
    """
    if chosen.recipe == RANDOM:
        return []
    name = str(_COLUMN.get(chosen.recipe, chosen.manifest.get("ranked_by")))
    # A control goes by no score, and neither does what covers the others best.
    if "of" in chosen.params or name == CHOSEN or not chosen.has(name):
        name = TOKENS
    more = DIFFICULTIES if chosen.recipe == THREE_DS else (NECESSITY,)
    return [panel_of(chosen, each) for each in (name, *filter(chosen.has, more))]


def panel_of(chosen: Chosen, name: str) -> Panel:
    if name == TOKENS:
        unit, lengths = chosen.lengths
        values = lengths if unit == "tokens" and lengths is not None else chosen.values * np.nan
    else:
        values = chosen.scores(name)
    reason = chosen.written_reason
    kept = {SCORED: reason == SCORED} if chosen.recipe == score.NAME else {"kept": reason == ""}
    if chosen.has("chosen_by"):
        why = chosen.words("chosen_by")
        kept = {each: (reason == "") & (why == each) for each in sorted({*why} - {""})}
    kept[MARKED_KEEP] = reason == MARKED_KEEP
    words, counts = np.unique(reason[~chosen.kept].astype(str), return_counts=True)
    order = words[np.lexsort((words, -counts))].tolist()
    dropped = {each: reason == each for each in order if each not in kept}
    finite = np.isfinite(values)
    groups = [
        {name: rows for name, rows in each.items() if (rows & finite).any()}
        for each in (kept, dropped)
    ]
    return Panel(name, values, groups[0], groups[1], tuple(_lines(chosen, name, values)))


def _lines(chosen: Chosen, name: str, values: Floats) -> Iterator[tuple[str, float]]:
    """Yield the values (n,) that decided along a number, each with what is to be read there."""
    recipe, params, reason = chosen.recipe, chosen.params, chosen.written_reason
    main = name in (TOKENS, chosen.manifest.get("ranked_by"))
    kept, finite = reason == "", np.isfinite(values)
    if recipe == "car" and main:
        best = np.array([why.startswith(TOP) for why in chosen.words("chosen_by")])
        if (best := best & finite & kept).any():
            yield _at("best of all from", values[best].min())
    elif main and (below := finite & (reason == BELOW_CUT)).any():
        pool = reason == COVERED
        passed = values[finite & (kept | pool)]
        if len(passed) and passed.min() >= values[below].max():
            yield _at("pool from" if pool.any() else "cut", passed.min())
    if main and (reason == LOW).any():
        good = finite & ~np.isin(reason.astype(str), (LOW, WHERE))
        if good.any():
            yield _at("good enough from", _bound(params, "min_quality", values[good].min()))
    between = params.get("between")
    if between and (name in DIFFICULTIES or (main and recipe != THREE_DS)):
        possible = finite & ~np.isin(reason.astype(str), (WHERE, LOW, NO_ANSWER))
        ends = np.percentile(values[possible], parse_between(tuple(between)))
        for words, end in zip(between, ends, strict=True):
            yield _at(str(words), end)
    if name in IFD:
        yield "1: the prompt does not help", 1.0
    if name == "similarity" and "near" in params:
        yield _at("near", params["near"])
    if name == "margin":
        yield "0: the ranker contradicts below", 0.0
    if name == NECESSITY:
        needed = np.array([each is not False for each in chosen.table["necessary"].to_pylist()])
        if (fine := finite & ~needed).any():
            yield _at("answered badly below", _bound(params, "max_necessity", values[fine].min()))
    if recipe == THRESHOLD and main:
        yield _at("bound", float(dict(each.split("=", 1) for each in params["set"])["bound"]))


def _bound(params: Mapping[str, Any], name: str, otherwise: float) -> float:
    """Return the bound that was given as a number; one that was a share is told by the rows."""
    number = parse_bound(params.get(name) or "")[1]
    return otherwise if number is None else number


def _at(words: str, value: float) -> tuple[str, float]:
    return f"{words} {value:.4g}", float(value)


def questions(manifest: Mapping[str, Any]) -> list[Panel]:
    """Return how near each question's nearest row is, of a choice by questions."""
    asked = [each for some in manifest.get("like", ()) for each in some["each"]]
    if not asked:
        return []
    near = np.array([each["near"] for each in asked])
    return [
        Panel(
            name="similarity to the nearest row",
            values=np.array([each["best"] for each in asked], dtype=np.float64),
            kept={"a row is near": near} if near.any() else {},
            dropped={"nothing near": ~near} if not near.all() else {},
            marks=(_at(f"{FAR:.0%} of rows have another row as near as", manifest["near"]),),
            unit="questions",
        )
    ]
