"""The figures of a page, what other budgets would keep, and a choice beside others, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from curate.notebook.pictures import FAR, bins
from curate.recipes import score
from curate.recipes.controls import spearman
from curate.reports.chosen import NO_SCORES, Chosen, Floats, Mask, Words
from curate.reports.contents import Beside, BudgetStep, Dots, Histogram
from curate.reports.panels import TOKENS, panel_of, panels
from curate.scorers.contract import OK
from curate.selectors.kept_and_dropped import BELOW_CUT

_TOKEN_BINS, _DOTS = 40, 2000
_RANKED = ("ifd", "select", "top_k")  # recipes whose choice is the beginning of a ranking
_SHARES = (1, 2, 3, 5, 7.5, 10, 12.5, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)
_NO_LENGTH = ("response_tokens", "similarity")  # nothing is to be learned of them and lengths
_LABELS = {
    "nll_alone": "loss of the response alone, nats a token",
    "nll_prompted": "loss of the response with its prompt, nats a token",
}


def budgets(chosen: Chosen) -> Iterator[BudgetStep]:
    """Yield what other budgets would keep; `edge` is a line here, not yet a place on the page.

    There are none where no budget cuts a ranking.
    """
    if chosen.recipe not in _RANKED or not chosen.score:
        return
    possible = (chosen.kept | (chosen.reason == BELOW_CUT)) & np.isfinite(chosen.values)
    order, kept = chosen.ranked[possible[chosen.ranked]], int(chosen.kept.sum())
    if not kept or not chosen.kept[order[:kept]].all():
        return
    unit, lengths = chosen.lengths
    tokens = (
        np.cumsum(np.nan_to_num(lengths[order]))
        if unit == "tokens" and lengths is not None
        else None
    )
    # From the largest down, so that of shares that keep as many rows the smallest stays.
    sizes = {min(int(p * len(chosen) / 100), len(order)): p / 100 for p in reversed(_SHARES)}
    for share, rows in sorted((share, size) for size, share in sizes.items() if size):
        total = None if tokens is None else int(tokens[rows - 1])
        mean = None if total is None else round(total / rows, 1)
        last = int(order[rows - 1])
        yield BudgetStep(share, rows, total, mean, cut=float(chosen.values[last]), edge=last)


def figures(chosen: Chosen, groups: Mapping[str, Mask]) -> Iterator[Histogram]:
    """Yield how scores and lengths are distributed."""
    shown = panels(chosen)
    if chosen.recipe == score.NAME:
        shown = [panel_of(chosen, name) for name in chosen.float_columns]
    for panel in shown:
        if panel.name not in (TOKENS, *NO_SCORES) and np.isfinite(panel.values).any():
            edges = bins(panel.values, panel.marks)
            yield _histogram(panel.name, panel.values, edges, groups, panel.marks)
    unit, lengths = chosen.lengths
    if lengths is not None and np.nan_to_num(lengths).any():
        width = max(1, int(np.ceil(np.nanquantile(lengths, FAR[1]) / _TOKEN_BINS)))
        edges = np.arange(0, _TOKEN_BINS * width + 1, width, dtype=np.float64)
        yield _histogram(f"response, {unit}", lengths, edges, groups, as_lines=True)


def _histogram(
    name: str,
    values: Floats,
    edges: Floats,
    groups: Mapping[str, Mask],
    marks: tuple[tuple[str, float], ...] = (),
    as_lines: bool = False,
) -> Histogram:
    inside, known = np.clip(values, edges[0], edges[-1]), np.isfinite(values)
    counts = {
        group: tuple(np.histogram(inside[mask & known], edges)[0].tolist())
        for group, mask in groups.items()
    }
    return Histogram(name, tuple(edges.tolist()), counts, marks, as_lines)


def dots(chosen: Chosen) -> Dots | None:
    """Return scores against lengths; None where either is not there, or the score is a length."""
    unit, lengths = chosen.lengths
    if not chosen.score or lengths is None or chosen.score in _NO_LENGTH:
        return None
    values = chosen.scores(chosen.score)
    shown = known = np.flatnonzero(np.isfinite(values) & (lengths > 0))
    rho = spearman(values[known], lengths[known])
    if not np.isfinite(rho):
        return None
    if len(known) > _DOTS:
        shown = np.sort(np.random.default_rng(0).choice(known, _DOTS, replace=False))
    points = zip(lengths[shown], values[shown], chosen.kept[shown], strict=True)
    return Dots(
        x=f"response, {unit}",
        y=chosen.score,
        points=tuple((float(x), float(f"{y:.5g}"), bool(kept)) for x, y, kept in points),
        rho=round(rho, 4),
    )


def beside(
    chosen: Chosen, groups: Mapping[str, Mask], labels: Mapping[str, Words]
) -> Iterator[Beside]:
    """Yield means and counts of all rows, of the choice, and of each control."""

    def of(name: str, values: Floats, how: str = "mean") -> Beside:
        parts = {group: values[mask & np.isfinite(values)] for group, mask in groups.items()}
        numbers = {g: float(getattr(p, how)()) if len(p) else None for g, p in parts.items()}
        return Beside(name, numbers)

    for name in sorted(chosen.float_columns, key=lambda name: name != chosen.score):
        values = np.where(chosen.status == OK, chosen.numbers(name), np.nan)
        # What only chosen rows have, as their distance to each other, compares with nothing.
        many = 2 * np.isfinite(values).sum() > (chosen.status == OK).sum()
        if name == chosen.score or (many and name not in NO_SCORES):
            yield of(f"{name}: {_LABELS[name]}" if name in _LABELS else name, values)
    unit, lengths = chosen.lengths
    if lengths is not None:
        yield of(f"response, {unit}", lengths)
        yield of(f"responses, {unit} in all", lengths, "sum")
    prompts = chosen.described("prompt_characters")
    if chosen.has("prompt_tokens"):
        yield of("prompt, tokens", chosen.numbers("prompt_tokens"))
    elif prompts is not None:
        yield of("prompt, characters", prompts)
    languages = labels.get("language", np.zeros(0, dtype=object))
    for word in sorted({*languages.tolist()} - {""}):
        yield of(f"rows in {word}, %", np.where(languages == word, 100.0, 0.0))
    if "cluster" in labels:
        cluster = labels["cluster"]
        reached = {g: float(len({*cluster[m].tolist()} - {""})) for g, m in groups.items()}
        yield Beside("clusters reached", dict(reached))
