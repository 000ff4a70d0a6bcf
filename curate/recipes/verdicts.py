"""From twins among groups of equal rows to a reason, a twin and a similarity for every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.scorers.contract import Scores
from curate.scorers.sketches import Groups
from curate.selectors.choice import Choice, scored
from curate.selectors.near_duplicates import Twins

REASONS = ("exact_duplicate", "near_duplicate", "in_against", "contains_against")


@dataclass(frozen=True)
class Leaders:
    """Which row stands for each group of equal rows, and which group comes first.

    Attributes:
        row: (groups,) the row to be preferred.
        order: (groups,) the groups, the one to be preferred first.
    """

    row: NDArray[np.int64]
    order: NDArray[np.int64]


@dataclass(frozen=True)
class Holds:
    """Which question of another set a group holds.

    Attributes:
        which: (groups,) number of the question, -1 for none.
        share: (groups,) of its n-grams.
        where: For each question the set that it stands in, and its row there.
    """

    which: NDArray[np.int64]
    share: NDArray[np.float64]
    where: list[tuple[int, int]]


@dataclass(frozen=True)
class Verdicts:
    """What becomes of the rows.

    Attributes:
        scores: Columns `twin`, `twin_source`, `similarity` and `novelty`.
        choice: A reason for every row that is left out.
    """

    scores: Scores
    choice: Choice


def leaders(
    values: NDArray[np.float64] | None, ids: NDArray[np.object_], groups: Groups
) -> Leaders:
    """Return the rows that are preferred: the first, or those with the highest value.

    Args:
        values: (n,) of equal values the smaller id counts, and NaN comes last; None is input order.
        ids: (n,) of the rows.
        groups: Of the rows.
    """
    size = len(groups.of_row)
    order = np.arange(size) if values is None else np.lexsort((ids.astype(str), -values))
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    first = np.full(len(groups.first), size)
    compared = groups.of_row >= 0
    np.minimum.at(first, groups.of_row[compared] - groups.start, rank[compared])
    return Leaders(order[first], np.argsort(first))


def judge(
    rows: Rows,
    mine: Groups,
    best: Leaders,
    twins: Twins,
    others: Sequence[Groups],
    against: Sequence[Rows],
    holds: Holds,
) -> Verdicts:
    """Return the verdict on every row.

    Args:
        rows: All rows.
        mine: Their groups.
        best: Their leaders.
        twins: Of the groups of all sets.
        others: Groups of the other sets, in their order.
        against: The other sets.
        holds: Which question each group holds.
    """
    size = len(rows)
    compared = np.flatnonzero(mine.of_row >= 0)
    group = mine.of_row[compared]
    leader = best.row[group - mine.start]
    twin = twins.twin[group]
    inside = twin >= mine.start
    equal = (twin < 0) & (compared != leader)
    same = mine.raw[compared] == mine.raw[leader]
    apart = (twin >= 0) & ~inside
    holding = ~apart & (holds.which[group - mine.start] >= 0)
    names = np.select(
        [apart, holding, inside, equal & same, equal],
        [REASONS[2], REASONS[3], REASONS[1], REASONS[0], REASONS[1]],
        "",
    )
    value = np.where(equal, 1.0, twins.similarity[group])
    value = np.where(holding, holds.share[group - mine.start], value)
    of = np.where(inside, best.row[np.where(inside, twin - mine.start, 0)], leader)
    name = np.full(size, None, object)
    source = np.full(size, None, object)
    mask = (inside | equal) & ~holding
    name[compared[mask]] = rows.ids[of[mask]]
    source[compared[mask]] = _sources(rows)[of[mask]]
    far = [_where(others, int(each)) for each in twin[apart].tolist()]
    far += [holds.where[each] for each in holds.which[group[holding] - mine.start].tolist()]
    places = [*compared[apart].tolist(), *compared[holding].tolist()]
    for place, (number, row) in zip(places, far, strict=True):
        name[place] = against[number].ids[row]
        source[place] = against[number].source_of(row).name
    similarity = np.full(size, np.nan)
    similarity[compared] = value
    reason = np.full(size, "", object)
    reason[compared] = names
    return _verdicts(mine.status, reason, name, source, similarity)


def _verdicts(
    status: NDArray[np.object_],
    reason: NDArray[np.object_],
    twin: NDArray[np.object_],
    source: NDArray[np.object_],
    similarity: NDArray[np.float64],
) -> Verdicts:
    columns = {
        "twin": pa.array(twin, pa.string()),
        "twin_source": pa.array(source, pa.string()),
        "similarity": pa.array(similarity),
        "novelty": pa.array(1 - similarity),
    }
    choice = scored(status)
    for each in REASONS:
        choice = choice.without(reason == each, each)
    return Verdicts(Scores(status, columns), choice)


def _sources(rows: Rows) -> NDArray[np.object_]:
    names = np.array([source.name for source in rows.sources], object)
    return np.repeat(names, [source.rows for source in rows.sources])


def _where(others: Sequence[Groups], group: int) -> tuple[int, int]:
    """Return the set that a group is of, and the group's first row there."""
    number = max(at for at, each in enumerate(others) if each.start <= group)
    return number, int(others[number].first[group - others[number].start])
