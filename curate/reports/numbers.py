"""A page in numbers: figures, other budgets, a choice beside others, and what it covers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from curate.data.describe import counted
from curate.data.rows import CHUNK, Rows
from curate.notebook.pictures import FAR, bins
from curate.recipes import score
from curate.recipes.controls import spearman
from curate.reports.chosen import NO_SCORES, Chosen, Floats, Mask, Places, Words
from curate.reports.contents import ALL, CONTROL, KEPT, Beside, BudgetStep, Cover, Dots, Histogram
from curate.reports.panels import TOKENS, panel_of, panels
from curate.reports.row_map import RowMap, words_of
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


# What a choice covers: clusters, sources, languages, and what rows say of themselves

_FEW = 30  # values of a key at most
_LONGEST, _SAMPLE, _READ = 60, 2000, 40  # characters of a value; rows looked at; texts of a cluster
_MOST_CLUSTERS = 1000
_NONE = "(none)"


def covers_of(
    chosen: Chosen, groups: Mapping[str, Mask], on_map: RowMap | None
) -> tuple[list[Cover], dict[str, Words]]:
    """Return how the choice spreads, and each row's value by key, '' for one without."""
    labels: dict[str, Words] = {}
    note, drawn = "", groups
    if chosen.has("cluster") and chosen.recipe != "split":
        numbers = np.nan_to_num(chosen.numbers("cluster"), nan=-1).astype(np.int64)
        if numbers.max(initial=-1) < _MOST_CLUSTERS:
            labels["cluster"] = _named(chosen, numbers)
    elif on_map:
        numbers = np.full(len(chosen), -1)
        numbers[on_map.lines] = on_map.cluster
        labels["cluster"] = _named(chosen, numbers)
        if not on_map.drawn.all():
            lines = on_map.lines[on_map.drawn]
            drawn = {**groups, ALL: np.isin(np.arange(len(chosen)), lines)}
            note = f"rows: of {len(lines):,} drawn at random; all counts: on the map"
        elif not chosen.all_here:
            note = f"of the {counted(len(on_map.lines))} on the map, whose texts are here"
    labels |= {key: chosen.words(key) for key in ("source", "side") if chosen.has(key)}
    if (languages := chosen.described("language")) is not None:
        labels["language"] = languages
    labels |= {k if k not in labels else f"{k} (of the row)": v for k, v in _own_keys(chosen)}
    labels = {key: values for key, values in labels.items() if len({*values.tolist()} - {""}) > 1}
    covers = [
        _cover(key, values, drawn, note) if key == "cluster" else _cover(key, values, groups)
        for key, values in labels.items()
    ]
    return covers, labels


def _cover(key: str, values: Words, groups: Mapping[str, Mask], note: str = "") -> Cover:
    counts = {group: Counter(values[mask].tolist()) for group, mask in groups.items()}
    named = {word for of_group in counts.values() for word in of_group} - {""}
    order = sorted(named, key=lambda word: (-counts[ALL][word], word))
    if key == "cluster":
        order.sort(key=lambda word: int(word.partition(":")[0]))
    control = counts.get(CONTROL)
    lines = tuple(
        (word, counts[ALL][word], counts[KEPT][word], control[word] if control else None)
        for word in order
    )
    return Cover(key, lines, sum(kept > 0 for _, _, kept, _ in lines), note)


def _named(chosen: Chosen, numbers: Places) -> Words:
    """Return each row's cluster with the words of its prompts, '' for a row in none."""
    order = np.argsort(numbers, kind="stable")
    known = np.unique(numbers[numbers >= 0])
    starts = np.searchsorted(numbers[order], known)
    texts = []
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        members = order[start:end]
        some = members[chosen.place[members] >= 0][:_READ].tolist()
        rows = (chosen.row(line)[0] for line in some)
        texts.append([row.prompt or row.response for row in rows])
    names = np.full(int(numbers.max(initial=-1)) + 2, "", dtype=object)
    for number, words in zip(known.tolist(), words_of(texts), strict=True):
        names[number] = f"{number}: {words}".removesuffix(": ")
    return names[numbers]  # the last is of -1


def _own_keys(chosen: Chosen) -> Iterator[tuple[str, Words]]:
    """Yield keys, beside the text, that have few values in all rows, with each row's."""
    if not chosen.all_here:
        return
    seen: dict[str, Counter[str]] = {}
    sample = range(0, len(chosen), max(1, len(chosen) // _SAMPLE))
    for line in sample:
        row, shape = chosen.row(line)
        named = {*shape.columns.values()} - {"kto_tag"}
        own = row.value if isinstance(row.value, dict) else {}
        for key in own.keys() - named:
            seen.setdefault(key, Counter())[_word(own[key])] += 1
    found = {
        key
        for key, values in seen.items()
        if "" not in values and len(values) <= min(_FEW, max(2, len(sample) // 2))
    }
    of_parts = [_values(part, found) for part in chosen.parts] if found else []
    for key in sorted(found):
        words = np.concatenate([part[key] for part in of_parts])[chosen.place]
        distinct = {*words.tolist()}
        if 2 <= len(distinct) <= _FEW and "" not in distinct:
            yield key, words


def _word(value: Any) -> str:
    """Return a value as a word, '' for what is none."""
    if value is None or value == "":
        return _NONE
    text = str(value)
    plain = isinstance(value, str | int | float) and len(text) <= _LONGEST
    return text if plain and "\n" not in text else ""


def _values(part: Rows, keys: set[str]) -> dict[str, Words]:
    values = {key: np.full(len(part), _NONE, dtype=object) for key in keys}
    words: dict[str, str] = {}  # equal words are one object
    raw = part.table.column("raw")
    for start in range(0, len(part), CHUNK):
        for at, text in enumerate(raw.slice(start, CHUNK).to_pylist(), start):
            row = json.loads(text)
            for key in keys if isinstance(row, dict) else ():
                word = _word(row.get(key))
                values[key][at] = words.setdefault(word, word)
    return values
