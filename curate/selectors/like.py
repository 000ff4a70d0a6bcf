"""Rows that questions call: each in turn takes the row most like it that none has taken yet.

Source: RDS+ (arXiv 2503.01807). Sets of questions take turns, and so do the questions of a set: by
the mean over questions a topic that many ask about would take all. Deviations: equal similarities
are decided by ids; and similarities are exact, in 64 bits, though all but those of the nearest
rows are only bounded, in 32 bits, so that vectors on disk are read from front to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.selectors.kept_and_dropped import NO_VECTOR, Candidates, Choice, by_id, finite, unit
from curate.selectors.top_k import TopKParams

NAME = "like"
NEEDS = ("vectors", "questions")
NOT_CALLED = "not_called"
# Similarities that are held at once, and rows that are remembered for all questions of a set.
_CELLS = _MOST = 1 << 22
# Rows remembered for each of a question's turns, since others take some of them; and at least.
_A_TURN, _LEAST = 8, 64

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Vectors = NDArray[np.float32]
PARAMS = TopKParams


class Calls(NamedTuple):
    """What called each of m rows, in the order in which they were called."""

    sets: Places  # (m,) number of the set of questions
    questions: Places  # (m,) place of the question in its set
    similarity: Floats  # (m,) cosine of row and question


def select(candidates: Candidates, params: TopKParams) -> Choice:
    """Return the choice of k rows, in the order in which questions call them.

    A question without a finite vector calls nothing. Vectors may be memory-mapped, of 16 bits or
    32: what is held does not depend on how many there are, but for some bytes a row.

    Example:
        >>> rows, everything = np.eye(3, dtype=np.float32), Choice(np.array([""] * 3, dtype=object))
        >>> ids = np.array(["a", "b", "c"], dtype=object)
        >>> candidates = Candidates(everything, ids, vectors=rows, questions=(rows[[2, 0]],))
        >>> select(candidates, TopKParams(k=2)).kept
        array([ True, False,  True])
    """
    choice = candidates.choice.without(~finite(candidates.vectors), NO_VECTOR)
    free = choice.kept.copy()
    asking = zip(candidates.questions, _asking(candidates), strict=True)
    sets = [_Set(candidates, free, asked[places]) for asked, places in asking if len(places)]
    wanted = min(params.k, int(free.sum())) if sets else 0
    order = np.empty(wanted, dtype=np.int64)
    for turn in range(wanted):
        mine = sets[turn % len(sets)]
        to_come = -(-(wanted - turn) // (len(sets) * len(mine)))
        order[turn] = mine.take(turn // len(sets) % len(mine), to_come)
        free[order[turn]] = False
    return choice.only(order, NOT_CALLED)


def calls(candidates: Candidates, order: Places) -> Calls:
    """Return what called the rows of a choice, by their positions (m,) in order."""
    sets, questions = np.zeros((2, len(order)), dtype=np.int64)
    similarity, turns = np.zeros(len(order)), np.arange(len(order))
    asking = [(number, places) for number, places in enumerate(_asking(candidates)) if len(places)]
    for turn, (number, places) in enumerate(asking):
        mine = turns % len(asking) == turn
        sets[mine], questions[mine] = number, places[turns[mine] // len(asking) % len(places)]
        asked = candidates.questions[number][questions[mine]]
        similarity[mine] = _cosines(candidates.vectors, order[mine], asked)
    return Calls(sets, questions, similarity)


def nearness(candidates: Candidates, but: Places | None = None) -> tuple[list[Floats], Floats]:
    """Return the highest cosine of every question, an array a set, and of every row, (n,).

    Of rows that can be chosen alone; NaN for a question without a vector, and for other rows.
    `but` has for each question a row that does not count.
    """
    free = candidates.choice.kept & finite(candidates.vectors)
    of_rows = np.full(len(free), np.nan)
    of_questions = [np.full(len(asked), np.nan) for asked in candidates.questions]
    for number, places in enumerate(_asking(candidates)):
        best, asked = of_questions[number], candidates.questions[number][places]
        for rows, cosines in _products(candidates.vectors, free, asked):
            if but is not None:
                cosines[but[places, None] == rows] = np.nan
            best[places] = np.fmax(best[places], np.fmax.reduce(cosines, axis=1))
            of_rows[rows] = np.fmax(of_rows[rows], np.fmax.reduce(cosines, axis=0))
    return of_questions, of_rows


def between_rows(candidates: Candidates, sample: int) -> Floats:
    """Return the highest cosine to another row, of about so many of the rows that can be chosen."""
    places = np.flatnonzero(candidates.choice.kept & finite(candidates.vectors))
    places = np.sort(places[by_id(candidates.ids[places])[:: max(1, len(places) // sample)]])
    asked = np.asarray(candidates.vectors[places], np.float32)
    best = nearness(replace(candidates, questions=(asked,)), places)[0][0]
    return best[np.isfinite(best)]


def _asking(candidates: Candidates) -> list[Places]:
    """Return the places of the questions of each set that have a vector."""
    return [np.flatnonzero(finite(asked)) for asked in candidates.questions]


def _products(
    vectors: Vectors, free: NDArray[np.bool_], asked: Vectors
) -> Iterator[tuple[Places, Vectors]]:
    """Yield positions of free rows, and their cosines (questions, rows), some rows at a time."""
    asked = unit(asked)
    step = max(1, min(_CELLS // max(1, len(asked)), 4 * _CELLS // max(1, vectors.shape[1])))
    for at in range(0, len(vectors) if len(asked) else 0, step):
        rows = at + np.flatnonzero(free[at : at + step])
        if len(rows):
            block = vectors[at : at + step]
            block = np.asarray(block if len(rows) == len(block) else block[rows - at], np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            cosines = asked @ block.T
            cosines /= np.where(lengths == 0, 1, lengths).astype(np.float32)
            yield rows, cosines


def _cosines(vectors: Vectors, rows: Places, asked: Vectors) -> Floats:
    """Return the cosines, in 64 bits, of rows (m,) and questions, (m, d) or (d,)."""
    cosines = np.zeros(len(rows))
    asked = np.broadcast_to(asked, (len(rows), vectors.shape[1]))
    for part in (slice(at, at + 4096) for at in range(0, len(rows), 4096)):
        # Sums along a row are the same wherever the row stands, which products of blocks are not.
        points, questions = vectors[rows[part]].astype(np.float64), asked[part].astype(np.float64)
        lengths = np.sqrt((points * points).sum(axis=1) * (questions * questions).sum(axis=1))
        product = (points * questions).sum(axis=1)
        np.divide(product, lengths, out=cosines[part], where=lengths > 0)
    return cosines


class _Set:
    """The questions of a set, each with the rows nearest to it; more are looked for in time."""

    def __init__(self, candidates: Candidates, free: NDArray[np.bool_], asked: Vectors) -> None:
        self._candidates, self._free, self._asked = candidates, free, asked
        self._known = [np.zeros(0, dtype=np.int64) for _ in asked]
        self._read, self._width = np.zeros((2, len(asked)), dtype=np.int64)
        # Of a sum of d products, each rounded to 24 bits (Higham, 2002, eq. 3.5), twice over.
        self._slack = (asked.shape[1] + 8) * 2.0**-22

    def __len__(self) -> int:
        return len(self._asked)

    def take(self, question: int, to_come: int) -> int:
        """Return the free row that is nearest to a question, which has so many turns to come."""
        while True:
            for at in range(self._read[question], len(self._known[question])):
                row = int(self._known[question][at])
                if self._free[row]:
                    self._read[question] = at + 1
                    return row
            self._look(question, to_come)

    def _look(self, question: int, to_come: int) -> None:
        """Look for rows, also for the other questions whose rows will not last."""
        left = int(self._free.sum())
        width = min(left, max(_A_TURN * to_come, _LEAST, 2 * int(self._width[question])))
        unread = [known[read:] for known, read in zip(self._known, self._read, strict=True)]
        short = np.array([int(self._free[rows].sum()) for rows in unread]) < 2 * to_come
        short[question] = False
        asking = np.concatenate(([question], np.flatnonzero(short)))[: max(1, _MOST // width)]
        rows, least = self._nearest(self._asked[asking], width)
        ids = self._candidates.ids
        for number, places, furthest in zip(asking.tolist(), rows, least, strict=True):
            cosines = _cosines(self._candidates.vectors, places, self._asked[number])
            # A row that is not among these may be as near as this, but no nearer.
            sure = (cosines > furthest + self._slack) | (width == left)
            places, cosines = places[sure], cosines[sure]
            self._known[number] = places[np.lexsort((ids[places].astype(np.bytes_), -cosines))]
            self._read[number], self._width[number] = 0, width

    def _nearest(self, asked: Vectors, width: int) -> tuple[Places, Vectors]:
        """Return the nearest free rows, (questions, width), and the least of their cosines."""
        best: Vectors = np.zeros((len(asked), 0), np.float32)
        places: Places = np.zeros((len(asked), 0), np.int64)
        for rows, cosines in _products(self._candidates.vectors, self._free, asked):
            best = np.concatenate((best, cosines), axis=1)
            places = np.concatenate((places, np.broadcast_to(rows, cosines.shape)), axis=1)
            if best.shape[1] > width:
                top = np.argpartition(best, -width, axis=1)[:, -width:]
                best = np.take_along_axis(best, top, axis=1)
                places = np.take_along_axis(places, top, axis=1)
        return np.sort(places), best.min(axis=1)
