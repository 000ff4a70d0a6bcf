"""From twins among groups of equal rows to a reason, a twin and a similarity for every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.duplicates.alike import Twins
from curate.duplicates.sketches import Groups
from curate.scorers.contract import OK, Scores
from curate.selectors.kept_and_dropped import Choice, labelled

REASONS = ("exact_duplicate", "near_duplicate", "in_against", "contains_against")
EXACT, NEAR, IN, CONTAINS = REASONS


class HeldQuestions(NamedTuple):
    question: NDArray[np.int64]  # (groups,) number of the question, -1 for none
    share: NDArray[np.float64]  # (groups,) of its n-grams
    places: list[tuple[int, int]]  # for each question the number of its set, and its row there


def judge(
    rows: Rows,
    groups: Groups,
    twins: Twins,
    against: Sequence[tuple[Rows, Groups]],
    holds: HeldQuestions,
) -> tuple[Scores, Choice]:
    """Return the columns `twin`, `twin_source`, `similarity`, `novelty`, and why rows are left out.

    The first row of each group stands for it. `twins` are those of the groups of all sets,
    `against` the other sets with their groups, `holds` which question each group holds.
    """
    reason = labelled(groups.status, groups.status == OK, "")
    twin, source = np.full((2, len(rows)), None, object)
    similarity = np.full(len(rows), np.nan)
    compared = np.flatnonzero(groups.of_row >= 0)
    similarity[compared] = twins.similarity[groups.of_row[compared]]
    group = groups.of_row[compared] - groups.start
    alone = (twins.twin[groups.start + group] < 0) & (holds.question[group] < 0)
    alone &= compared == groups.first[group]
    for row in compared[~alone].tolist():
        own = int(groups.of_row[row]) - groups.start
        other, question = int(twins.twin[groups.start + own]), int(holds.question[own])
        theirs, place = rows, int(groups.first[own])
        if 0 <= other < groups.start:
            theirs, of = next(pair for pair in reversed(against) if pair[1].start <= other)
            reason[row], place = IN, int(of.first[other - of.start])
        elif question >= 0:
            number, place = holds.places[question]
            reason[row], theirs, similarity[row] = CONTAINS, against[number][0], holds.share[own]
        elif other >= 0:
            reason[row], place = NEAR, int(groups.first[other - groups.start])
        else:
            reason[row] = EXACT if groups.raw[row] == groups.raw[place] else NEAR
            similarity[row] = 1.0
        twin[row], source[row] = theirs.ids[place], theirs.source_of(place).name
    return Scores(groups.status, twin_columns(twin, source, similarity)), Choice(reason)


def twin_columns(
    twin: NDArray[np.object_], source: NDArray[np.object_], similarity: NDArray[np.float64]
) -> dict[str, pa.Array]:
    """Return columns of each row's twin (n,) by its id and its file, and how alike both are."""
    words = {"twin": pa.array(twin, pa.string()), "twin_source": pa.array(source, pa.string())}
    return {**words, "similarity": pa.array(similarity), "novelty": pa.array(1 - similarity)}
