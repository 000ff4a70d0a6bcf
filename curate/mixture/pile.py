"""All rows that a mixture may take from: which can be used, and in which order they are drawn.

What is held in memory is 9 bytes a row; 17 while equal rows are looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.data.draw import drawn, keys
from curate.data.ids import id_of
from curate.data.read import read
from curate.data.rows import Rows
from curate.data.shape import Source
from curate.data.stretches import ROWS, stretches
from curate.errors import UsageError
from curate.mixture.spec import SIDES, MixSource, Mixture, Side
from curate.selection import Selection

DUPLICATE, NOT_CHOSEN, OVER_LIMIT = "duplicate", "not_chosen", "over_limit"


@dataclass(frozen=True)
class Part:
    """The rows of one file.

    Attributes:
        side: `domain` or `general`.
        number: Of the source among its side's.
        rows: Of this file alone.
        chosen: (rows,) what a recipe kept; None where all rows may be taken.
        start: Place of the first row among all rows of the pile.
    """

    side: Side
    number: int
    rows: Rows
    chosen: NDArray[np.bool_] | None = None
    start: int = 0

    @property
    def source(self) -> Source:
        """The file."""
        return self.rows.sources[0]

    @property
    def span(self) -> slice:
        """The places of its rows among all rows of the pile."""
        return slice(self.start, self.start + len(self.rows))


@dataclass(frozen=True)
class Pile:
    """Rows of all sources, in an order that does not depend on the order they were given in.

    Attributes:
        parts: The files, domain first, each side by sha256.
        order: (n,) the place of a row in the order of drawing; equal rows have equal places.
        state: (n,) why a row cannot be used, as an index into reasons; 0 if it can.
        reasons: '' and whatever keeps rows out.
        repeats: (m,) places of rows that equal an earlier one, ascending.
        before: (m,) how many such rows stand before each of them.
        order_key: Makes the order of the output from content hashes.
    """

    parts: tuple[Part, ...]
    order: NDArray[np.uint64]
    state: NDArray[np.uint8]
    reasons: tuple[str, ...]
    repeats: NDArray[np.int64]
    before: NDArray[np.int64]
    order_key: np.uint64

    def usable(self, parts: Sequence[Part]) -> NDArray[np.int64]:
        """Return the places of the rows that can be used, in the order of drawing.

        Args:
            parts: Whose.
        """
        places = [np.flatnonzero(self.state[part.span] == 0) + part.start for part in parts]
        joined = np.concatenate(places) if places else np.zeros(0, dtype=np.int64)
        return joined[np.argsort(self.order[joined])]

    def drawn_in_order(self, parts: Sequence[Part]) -> NDArray[np.uint64]:
        """Return the places in the order of drawing of the rows that can be used, ascending.

        Args:
            parts: Whose.
        """
        sound = [self.state[part.span] == 0 for part in parts]
        joined = np.empty(sum(int(each.sum()) for each in sound), dtype=np.uint64)
        at = 0
        for part, mask in zip(parts, sound, strict=True):
            end = at + int(mask.sum())
            joined[at:end] = self.order[part.span][mask]
            at = end
        joined.sort()
        return joined

    def ids(self, part: Part, start: int, hashes: NDArray[np.uint64]) -> list[str]:
        """Return the ids of rows that follow each other.

        Args:
            part: The file.
            start: Place of the first among the rows of the file.
            hashes: Their content hashes.
        """
        made = [id_of(each, 0) for each in hashes.tolist()]
        first = part.start + start
        low, high = np.searchsorted(self.repeats, [first, first + len(made)]).tolist()
        for place in range(low, high):
            at = int(self.repeats[place]) - first
            made[at] = id_of(int(hashes[at]), int(self.before[place]))
        return made

    def left_out(self, part: Part) -> dict[str, int]:
        """Return why rows of a file cannot be used, to how many.

        Args:
            part: The file.
        """
        state = self.state[part.span]
        pairs = [
            (reason, int(np.count_nonzero(state == code)))
            for code, reason in enumerate(self.reasons)
            if code
        ]
        return dict(sorted((each for each in pairs if each[1]), key=lambda pair: (-pair[1], pair)))


def pile_of(mixture: Mixture) -> Pile:
    """Read all sources of a mixture and tell which of their rows can be used.

    A row with a flaw never can. Of rows that say the same word for word one can: the first, and
    domain data comes before general data. The others are `duplicate`.

    Args:
        mixture: Names the sources.

    Raises:
        UsageError: A file is given twice.
        DataError: A source cannot be read.
    """
    parts = _parts(mixture)
    size = sum(len(part.rows) for part in parts)
    order_of, order_key = keys(mixture.seed, 2)
    order = np.empty(size, dtype=np.uint64)
    state = np.zeros(size, dtype=np.uint8)
    codes = {"": 0, DUPLICATE: 1, NOT_CHOSEN: 2, OVER_LIMIT: 3}
    for part in parts:
        at = part.start
        for block in stretches(part.rows.table.select(["hash", "flaw"])):
            end = at + len(block)
            order[at:end] = drawn(block.column("hash").to_numpy(), order_of)
            state[at:end] = _coded(block.column("flaw"), codes)
            at = end
        if part.chosen is not None:
            mine = state[part.span]
            mine[(mine == 0) & ~part.chosen] = codes[NOT_CHOSEN]
    repeats, before = _find_repeats(order, state, codes[DUPLICATE])
    pile = Pile(parts, order, state, tuple(codes), repeats, before, order_key)
    for side in SIDES:
        for number, source in enumerate(mixture.sources(side)):
            _keep_to(pile, side, number, source.limit, codes[OVER_LIMIT])
    return pile


def _parts(mixture: Mixture) -> tuple[Part, ...]:
    found = [
        part
        for side in SIDES
        for number, source in enumerate(mixture.sources(side))
        for part in _parts_of(source, side, number)
    ]
    _refuse_twice(found, mixture)
    found.sort(key=lambda part: (SIDES.index(part.side), part.source.sha256, str(part.source)))
    made, start = [], 0
    for part in found:
        made.append(Part(part.side, part.number, part.rows, part.chosen, start))
        start += len(part.rows)
    return tuple(made)


def _parts_of(source: MixSource, side: Side, number: int) -> Iterator[Part]:
    given = source.rows
    chosen: NDArray[np.bool_] | None = None
    if isinstance(given, Selection):
        rows, chosen = given.rows, given.choice.kept
    elif isinstance(given, Rows):
        rows = given
    else:
        rows = read(given, source.format, source.fill)
    start = 0
    for each in rows.sources:
        alone = Rows(rows.shape, (each,), rows.table.slice(start, each.rows))
        kept = None if chosen is None else chosen[start : start + each.rows]
        yield Part(side, number, alone, kept)
        start += each.rows


def _refuse_twice(parts: Sequence[Part], mixture: Mixture) -> None:
    seen: dict[tuple[str, str, str], Part] = {}
    for part in parts:
        key = (part.source.sha256, part.source.format, str(sorted(part.source.fill.items())))
        first = seen.setdefault(key, part)
        if first is part:
            continue
        paths = [mixture.sources(each.side)[each.number].rows for each in (first, part)]
        same = len({_real(path) for path in paths}) == 1
        what = (
            f"'{part.source.name}' is given twice"
            if same or part.source.name == first.source.name
            else f"'{first.source.name}' and '{part.source.name}' hold the same bytes"
        )
        where = "as domain data" if first.side == part.side == "domain" else "as general data"
        where = where if first.side == part.side else "as domain and as general data"
        raise UsageError(f"{what}, {where}; give it once (--shortage repeat repeats on purpose)")


def _real(given: object) -> object:
    return Path(given).resolve() if isinstance(given, str | os.PathLike) else id(given)


def _coded(flaws: pa.Array, codes: dict[str, int]) -> NDArray[np.uint8]:
    """Return flaws as numbers, adding to codes what is new."""
    found = pc.dictionary_encode(flaws)
    known = [codes.setdefault(flaw, len(codes)) for flaw in found.dictionary.to_pylist()]
    coded: NDArray[np.uint8] = np.array(known, dtype=np.uint8)[found.indices.to_numpy()]
    return coded


def _find_repeats(
    order: NDArray[np.uint64], state: NDArray[np.uint8], duplicate: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Mark all but the first usable of equal rows; return the repeats and how many stand before."""
    ordered = np.sort(order)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(twice):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    starts = range(0, len(order), ROWS)
    found = [np.flatnonzero(_among(order[at : at + ROWS], twice)) + at for at in starts]
    places = np.concatenate(found)
    places = places[np.argsort(order[places], kind="stable")]  # equal rows together, in order
    new = np.concatenate(([True], order[places[1:]] != order[places[:-1]]))
    group = np.maximum.accumulate(np.where(new, np.arange(len(places)), 0))
    sound = state[places] == 0
    earlier = np.cumsum(sound) - sound
    state[places[sound & (earlier > earlier[group])]] = duplicate
    before = np.arange(len(places)) - group
    again = np.flatnonzero(before)
    again = again[np.argsort(places[again])]
    return places[again], before[again]


def _among(values: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    found: NDArray[np.bool_] = wanted[at] == values
    return found


def _keep_to(pile: Pile, side: Side, number: int, limit: int | None, over: int) -> None:
    """Leave out the rows of a source that are drawn after as many as its limit."""
    parts = [part for part in pile.parts if (part.side, part.number) == (side, number)]
    if limit is None or len(order := pile.drawn_in_order(parts)) <= limit:
        return
    for part in parts:
        state = pile.state[part.span]
        state[(state == 0) & (pile.order[part.span] > order[limit - 1])] = over
