"""Which rows of all sources can be used, and in which order they are drawn.

Rows are drawn by a number made of their content and the seed, so that nothing depends on the
order of rows, files or sources. What is held in memory is 9 bytes a row and one for each ratio; 17
while equal rows are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.ids import id_of, occurrences
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.data.schema import Source
from curate.mixture.plan import Plan
from curate.mixture.spec import SIDES, Mixture, Side

# What a mixture leaves out by itself, as state of a row; flaws of rows follow.
REASONS = ("", "duplicate", "not_chosen", "over_limit")
_DUPLICATE, _NOT_CHOSEN, _OVER_LIMIT = 1, 2, 3


def seed_keys(seed: int, count: int) -> list[np.uint64]:
    return list(np.random.default_rng(seed).integers(0, 2**64 - 1, count, np.uint64, endpoint=True))


def drawn(
    hashes: NDArray[np.uint64], key: np.uint64, copies: NDArray[np.int64] | int = 0
) -> NDArray[np.uint64]:
    """Return a number for each row that looks drawn and depends on its content and the key alone.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one to one, so that
    different rows never get the same number, and equal rows always do.
    """
    with np.errstate(over="ignore"):
        step = np.asarray(copies).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        number: NDArray[np.uint64] = (hashes ^ key) + step
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return number ^ (number >> np.uint64(31))


@dataclass(frozen=True)
class Part:
    """The rows of one file: of source `number` of a side, from `start` on among all rows."""

    side: Side
    number: int
    rows: Rows
    chosen: NDArray[np.bool_] | None = None  # (n,) by the recipe whose kept rows are the source
    start: int = 0

    @property
    def source(self) -> Source:
        return self.rows.sources[0]

    @property
    def span(self) -> slice:
        return slice(self.start, self.start + len(self.rows))


@dataclass(frozen=True)
class Pool:
    """Rows of all sources, in an order that does not depend on the order they were given in."""

    parts: tuple[Part, ...]  # domain first, each side by sha256
    order: NDArray[np.uint64]  # (n,) place in the order of drawing; equal rows, equal places
    state: NDArray[np.uint8]  # (n,) why a row cannot be used, an index into reasons; 0 if it can
    reasons: tuple[str, ...]
    repeats: NDArray[np.int64]  # (m,) places of rows that equal an earlier one, ascending
    before: NDArray[np.int64]  # (m,) how many such rows stand before each of them
    order_key: np.uint64  # makes the order of the output from content hashes

    def side(self, side: Side) -> list[Part]:
        return [part for part in self.parts if part.side == side]

    def usable(self, parts: Sequence[Part]) -> int:
        return sum(int(np.count_nonzero(self.state[part.span] == 0)) for part in parts)

    def nth(self, parts: Sequence[Part], count: int) -> int | None:
        """Return the place in the order of drawing of the last of so many usable rows."""
        sound = [self.order[part.span][self.state[part.span] == 0] for part in parts]
        return int(np.partition(np.concatenate(sound), count - 1)[count - 1]) if count else None

    def times(self, plan: Plan) -> NDArray[np.integer[Any]]:
        largest = max(plan.domain.passes, plan.general.passes) + 1
        times = np.zeros(len(self.order), np.min_scalar_type(largest))
        for side, draw in zip(SIDES, (plan.domain, plan.general), strict=True):
            members = self.side(side)
            last = self.nth(members, draw.more)
            for part in members:
                more = False if last is None else self.order[part.span] <= np.uint64(last)
                times[part.span] = (self.state[part.span] == 0) * (draw.passes + more)
        return times

    def in_order(self, parts: Sequence[Part], tokens: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the tokens of usable rows, in the order of drawing."""
        sound = np.zeros(len(self.order), np.bool_)
        for part in parts:
            sound[part.span] = self.state[part.span] == 0
        return tokens[sound][np.argsort(self.order[sound])].astype(np.int64)

    def ids(self, part: Part, start: int, hashes: NDArray[np.uint64]) -> list[str]:
        """Return the ids of rows of a file that follow each other from `start` on."""
        ids = [id_of(content, 0) for content in hashes.tolist()]
        first = part.start + start
        low, high = np.searchsorted(self.repeats, [first, first + len(ids)]).tolist()
        for place, before in zip(self.repeats[low:high], self.before[low:high], strict=True):
            ids[place - first] = id_of(int(hashes[place - first]), int(before))
        return ids

    def left_out(self, part: Part) -> dict[str, int]:
        """Return why rows of a file cannot be used, to how many."""
        counts = np.bincount(self.state[part.span], minlength=len(self.reasons)).tolist()
        pairs = [pair for pair in zip(self.reasons, counts, strict=True) if all(pair)]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair)))

    def left_out_lines(self) -> list[str]:
        """Return a sentence for each file of which rows cannot be used."""
        lines = []
        for part in self.parts:
            if reasons := self.left_out(part):
                counts = ", ".join(f"{rows:,} {reason}" for reason, rows in reasons.items())
                total = f"{sum(reasons.values()):,} of {len(part.rows):,}"
                lines.append(f"{part.source.name}: {total} rows never enter: {counts}")
        return lines


def pool_of(mixture: Mixture) -> Pool:
    """Read all sources of a mixture and tell which of their rows can be used.

    A row with a flaw never can. Of rows that say the same word for word one can: the first, and
    domain data comes before general data. The others are `duplicate`.
    """
    parts = _parts(mixture)
    size = sum(len(part.rows) for part in parts)
    draw_key, order_key = seed_keys(mixture.seed, 2)
    order, state = np.empty(size, dtype=np.uint64), np.zeros(size, dtype=np.uint8)
    codes = {reason: code for code, reason in enumerate(REASONS)}
    for part in parts:
        at = part.start
        for batch in part.rows.table.select(["hash", "flaw"]).to_batches():
            end = at + len(batch)
            order[at:end] = drawn(batch.column("hash").to_numpy(), draw_key)
            flaws = pc.dictionary_encode(batch.column("flaw"))
            coded = [codes.setdefault(flaw, len(codes)) for flaw in flaws.dictionary.to_pylist()]
            state[at:end] = np.array(coded, dtype=np.uint8)[flaws.indices.to_numpy()]
            at = end
        if part.chosen is not None:
            state[part.span][(state[part.span] == 0) & ~part.chosen] = _NOT_CHOSEN
    # Only of rows that have an equal are the places counted: they are few.
    ordered = np.sort(order)
    twice = pa.array(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    equal = pc.is_in(pa.array(order), value_set=twice).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(equal)
    sound = places[state[places] == 0]
    state[sound[occurrences(order[sound]) > 0]] = _DUPLICATE
    before = occurrences(order[places])
    repeats = before > 0
    pool = Pool(
        parts=parts,
        order=order,
        state=state,
        reasons=tuple(codes),
        repeats=places[repeats],
        before=before[repeats],
        order_key=order_key,
    )
    for side in SIDES:
        for number, source in enumerate(mixture.sources(side)):
            members = [part for part in parts if (part.side, part.number) == (side, number)]
            if source.limit is not None and pool.usable(members) > source.limit:
                last = np.uint64(pool.nth(members, source.limit) or 0)
                for part in members:
                    over = (state[part.span] == 0) & (order[part.span] > last)
                    state[part.span][over] = _OVER_LIMIT
    return pool


def _parts(mixture: Mixture) -> tuple[Part, ...]:
    """Return all files, each with its rows alone."""
    parts: list[Part] = []
    for side in SIDES:
        for number, source in enumerate(mixture.sources(side)):
            kept: NDArray[np.bool_] | None = None
            if isinstance(source.rows, Selection):
                rows, kept = source.rows.rows, source.rows.choice.kept
            elif isinstance(source.rows, Rows):
                rows = source.rows
            else:
                rows = source.read()
            if mixture.good_only and "kto_tag" in rows.shape.columns:
                rows = judged(rows, "a mixture", mixture.good_only)
            for places, alone in rows.by_file():
                parts.append(Part(side, number, alone, None if kept is None else kept[places]))
    parts.sort(key=lambda part: (SIDES.index(part.side), part.source.sha256, str(part.source)))
    starts = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
    return tuple(replace(part, start=at) for part, at in zip(parts, starts, strict=False))
