"""Which rows hold a benchmark's questions, and which questions were found."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from curate.choices.selection import Selection
from curate.data.rows import Rows
from curate.duplicates import contained
from curate.duplicates.alike import pairs_between
from curate.duplicates.folding import fold
from curate.duplicates.ngrams import bands_for, buckets
from curate.duplicates.sketches import compared
from curate.duplicates.twins import CONTAINS, IN, twin_columns
from curate.errors import UsageError
from curate.parameters.split import DecontaminateParams
from curate.recipes.budgets import tokens_of
from curate.recipes.dedup import questions_of, sketched
from curate.scorers.contract import OK, Scores, in_batches
from curate.selectors.kept_and_dropped import Choice, labelled

NAME = "decontaminate"
_HELD = 0.8  # of a question's n-grams; a row may not hold more
# A row with the number of a set, the row there, and the similarity.
Match = tuple[int, int, int, float]


def decontaminate(rows: Rows, params: DecontaminateParams, against: Sequence[Rows]) -> Selection:
    """Leave out the rows that ask what a benchmark asks, or hold its question anywhere.

    Rows that are like each other stay. Compared is what is asked, folded, as `curate dedup --on
    prompt` does; and every question of some length is looked for in all turns
    (`curate.duplicates.contained`). All matches count, not the first alone: `details` has for each
    benchmark its questions, those found, and the rows in which each stands.

    Reasons: `in_against`, `contains_against`, and flaws.

    Raises:
        UsageError: No benchmark is given.
        DataError: A benchmark of which no row can be compared.

    Example:
        >>> decontaminate(rows, DecontaminateParams(), [curate.read("cmexam.csv")])
        decontaminate: 4,990 of 5,000 rows kept; dropped 10 in_against
    """
    if not against:
        raise UsageError(
            "no benchmark: give --against FILE, the questions that are to be tested on"
        )
    started = time.monotonic()
    asked, sets = _asked(rows, params, against)
    matches = {IN: asked, CONTAINS: _containing(rows, against)}
    flaws = np.array(rows.table.column("flaw").to_pylist(), dtype=object)
    reason, similarity = flaws.copy(), np.where(flaws == "", 0.0, np.nan)
    twin, source = np.full((2, len(rows)), None, dtype=object)
    standing: list[dict[int, set[int]]] = [defaultdict(set) for _ in against]
    for why, pairs in matches.items():
        for row, number, place, value in pairs:
            standing[number][place].add(row)
            if not reason[row] or (reason[row] == why and value > similarity[row]):
                other = against[number]
                reason[row], similarity[row] = why, value
                twin[row], source[row] = other.ids[place], other.source_of(place).name
    columns = twin_columns(twin, source, similarity)
    report = []
    for each, other, places in zip(sets, against, standing, strict=True):
        where = [
            {"id": other.ids[place], "rows": [rows.ids[row] for row in sorted(inside)]}
            for place, inside in sorted(places.items())
        ]
        questions = len(other) - each["not_compared"]
        report.append({**each, "questions": questions, "found": len(where), "where": where})
    names = tuple(f"{s.name} sha256:{s.sha256}" for other in against for s in other.sources)
    return Selection(
        recipe=NAME,
        params=replace(params, against=names),
        rows=rows,
        scored=Scores(labelled(flaws, flaws == "", OK), columns),
        choice=Choice(reason),
        ranked_by="novelty",
        seconds=time.monotonic() - started,
        details={"against": report},
        tokens=tokens_of(rows, None),
    )


def _asked(
    rows: Rows, params: DecontaminateParams, against: Sequence[Rows]
) -> tuple[list[Match], list[dict[str, Any]]]:
    """Return the matches of what is asked, and what is known of each set."""
    with sketched(rows, "prompt", params.seed, against) as told:
        sketches, mine, others, sets = told
        inside: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, groups in enumerate(others):
            for place in np.flatnonzero(groups.of_row >= 0):
                inside[int(groups.of_row[place])].append((number, int(place)))
        of_group: dict[int, list[int]] = defaultdict(list)
        for row in np.flatnonzero(mine.of_row >= 0).tolist():
            of_group[int(mine.of_row[row])].append(row)
        met = buckets(sketches.signatures, bands_for(params.near))
        matches = []
        for left, right, values in pairs_between(
            met, mine.start, partial(sketches.similar, near=params.near), params.near
        ):
            for one, other, value in zip(*(x.tolist() for x in (left, right, values)), strict=True):
                matches += [(row, *at, value) for row in of_group[one] for at in inside[other]]
    return matches, sets


def _containing(rows: Rows, against: Sequence[Rows]) -> list[Match]:
    """Return the matches of questions that stand somewhere in a row's turns."""
    asked, places = questions_of(against, _HELD)
    matches: list[Match] = []
    for batch in in_batches(row for row in rows if asked.sought and not row.flaw):
        texts = [fold(compared(row, "both")) for row in batch]
        for text, held, share in contained.all_held(asked, texts):
            matches += [(batch[text].position, *place, share) for place in places[held]]
    return matches
