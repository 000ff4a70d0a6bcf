"""What a choice covers: clusters, sources, languages, and what rows say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from curate.data.rows import CHUNK, Rows
from curate.reports.chosen import Chosen, Mask, Places, Words
from curate.reports.contents import ALL, CONTROL, KEPT, Cover
from curate.reports.mapped import OnMap, words_of

_FEW = 30  # values of a key at most
_LONGEST, _SAMPLE, _READ = 60, 2000, 40  # characters of a value; rows looked at; texts of a cluster
_MOST_CLUSTERS = 1000
_NONE = "(none)"


def covers_of(
    chosen: Chosen, groups: Mapping[str, Mask], on_map: OnMap | None
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
    labels |= {key: chosen.words(key) for key in ("source", "side") if chosen.has(key)}
    if (languages := chosen.described("language")) is not None:
        labels["language"] = languages
    labels |= _own_keys(chosen)
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


def _own_keys(chosen: Chosen) -> dict[str, Words]:
    """Return the values of keys, beside the text, that have few of them in all rows."""
    here = np.flatnonzero(chosen.place >= 0)
    seen: dict[str, Counter[str]] = {}
    sample = here[:: max(1, len(here) // _SAMPLE)].tolist()
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
    if not found:
        return {}
    of_parts = [_values(part, found) for part in chosen.parts]
    labels = {}
    for key in sorted(found):
        values = np.concatenate([part[key] for part in of_parts])
        words = np.where(chosen.place >= 0, values[chosen.place], "").astype(object)
        distinct = {*words[here].tolist()}
        if 2 <= len(distinct) <= _FEW and "" not in distinct:
            labels[key] = words
    return labels


def _word(value: Any) -> str:
    """Return a value as a word, '' for what is none."""
    if value is None or value == "":
        return _NONE
    text = str(value)
    plain = isinstance(value, str | int | float) and len(text) <= _LONGEST
    return text if plain and "\n" not in text else ""


def _values(part: Rows, keys: set[str]) -> dict[str, Words]:
    """Return every row's value of some keys."""
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
