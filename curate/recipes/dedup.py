"""Exact and near duplicates: inside a set of rows, and against sets that are to stay apart."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.console import progress, say
from curate.data.rows import Rows
from curate.duplicates import contained
from curate.duplicates import sketches as sketches_of
from curate.duplicates.alike import Twins, first_kept
from curate.duplicates.folding import fold
from curate.duplicates.journal import Journal
from curate.duplicates.ngrams import NGRAM, bands_for, buckets
from curate.duplicates.sketches import MANY, Groups, Sketches, compared
from curate.duplicates.twins import REASONS, HeldQuestions, judge
from curate.errors import DataError, UsageError
from curate.parameters.dedup import DedupParams
from curate.recipes.budgets import tokens_of
from curate.scorers.contract import digest_of
from curate.system.cache import scratch_dir

NAME = "dedup"
_SHOWN = 60  # characters
_FORM = 1  # of what is kept: a changed way of signing or comparing never reads older numbers


def dedup(rows: Rows, params: DedupParams, against: Sequence[Rows] = ()) -> Selection:
    """Keep one of the rows that say the same, and none that another set says already.

    Compared are the turns of a row, all of them and not only the last, without its system prompt
    and without `rejected`, folded (`curate.duplicates.folding`). Two rows are alike when |A ∩ B| /
    |A ∪ B| of their sets of character n-grams is at least `near`; a text shorter than an n-gram
    is like its equals. Rows with other pictures or another KTO verdict are never alike.

    MinHash with 128 permutations, in bands that bring together at least 99.9 % of the pairs whose
    similarity is just `near`, finds what to compare by the n-grams themselves: nothing is left out
    for an estimate. Sources: Broder 1997; Lee et al., arXiv 2107.06499, who take word n-grams and
    drop whole clusters: here rows are taken in order, and one is left out only if it is itself
    alike a row that is kept, its `twin`. Some thousand rows of one long template that are nearly
    alike, but not enough, take minutes; a higher `near`, or `on="response"`, helps.

    Reasons: `exact_duplicate` (the same characters as its twin), `near_duplicate`, `in_against`
    (alike a row of another set), `contains_against` (holds a question of another set, see
    `curate.duplicates.contained`: a short question in a long row is not alike it). The column
    `similarity` is to the twin; of a row that is kept, the highest to a row kept before it that
    was compared, and `novelty` is 1 less that.

    Args:
        rows: To choose from.
        params: See DedupParams.
        against: Other sets, chosen already or to be tested on: rows, in Python also what read()
            takes, names of data sets in `data`, mixture files. None of their rows is written.

    Raises:
        UsageError: A parameter that does not fit the others, or rows without what is compared.
        DataError: No row of another set can be compared.

    Example:
        >>> dedup(curate.read("toyhom.csv"), DedupParams(near=0.8))
        dedup: 4,746 of 5,000 rows kept; dropped 235 exact_duplicate, 19 near_duplicate
    """
    if rows.shape.kind == "pretraining" and params.on == "response":
        raise UsageError(
            "--on response: these rows are texts for pre-training and have no response; "
            "leave --on out"
        )
    started = time.monotonic()
    with sketched(rows, params.on, params.seed, against) as told:
        sketches, mine, others, sets = told
        asked, places = questions_of(against, params.near)
        numbers, share = np.full(len(mine.first), -1), np.zeros(len(mine.first))
        if asked.sought and len(mine.first):
            batches = sketches.batches(mine.start)
            by_batch = (contained.held(asked, texts) for texts in batches)
            numbers, share = map(np.concatenate, zip(*by_batch, strict=True))
        firsts = [standing[0] for standing in places]
        holds = HeldQuestions(question=numbers, share=share, places=firsts)
        twins = _twins(sketches, mine, holds.question >= 0, params)
    other_sets = list(zip(against, others, strict=True))
    scored, choice = judge(rows, mine, twins, other_sets, holds)
    sources = [source for other in against for source in other.sources]
    return Selection(
        recipe=NAME,
        params=replace(
            params, against=tuple(f"{source.name} sha256:{source.sha256}" for source in sources)
        ),
        rows=rows,
        scored=scored,
        choice=choice,
        ranked_by="novelty",
        notes=tuple(_notes(sets, asked.sought, len(places))),
        seconds=time.monotonic() - started,
        details={"against": sets} if sets else {},
        tokens=tokens_of(rows, None),
    )


@contextmanager
def sketched(
    rows: Rows, on: str, seed: int, against: Sequence[Rows]
) -> Iterator[tuple[Sketches, Groups, list[Groups], list[dict[str, Any]]]]:
    """Give all texts, the groups of the rows and of the other sets, and what those hold.

    Of many rows what is worked out is kept until all is done, so that a killed run goes on.
    """
    others: list[Groups] = []
    sets: list[dict[str, Any]] = []
    many = sum(map(len, (rows, *against))) >= MANY
    with (
        _journal((rows, *against), on, seed, many) as journal,
        tempfile.TemporaryDirectory(dir=scratch_dir()) as folder,
    ):
        with sketches_of.Sketching(Path(folder), seed, many, journal) as sketching:
            for other in against:
                others.append(sketching.add(other, on, flawed=True))
                sets.append(_compared(other, others[-1], on))
            with shown("scoring", len(rows)) as advance:
                mine = sketching.add(rows, on, advance=advance)
        if sketching.known:
            say(f"{sketching.known:,} rows were signed by a run that had ended before its end")
        with sketching.sketches() as sketches:
            yield sketches, mine, others, sets


@contextmanager
def _journal(sets: Sequence[Rows], on: str, seed: int, many: bool) -> Iterator[Journal]:
    """Give what a killed run over the same texts has left; it goes when this one ends well."""
    name = digest_of(_FORM, on, NGRAM, seed, *(rows.identity for rows in sets)) if many else ""
    journal = Journal(scratch_dir() / f"dedup-{name[:32]}.sqlite" if many else None)
    ended = False
    try:
        yield journal
        ended = True
    finally:
        journal.close(ended)


@contextmanager
def shown(doing: str, rows: int) -> Iterator[Callable[[int], object]]:
    """Give what is called with the number of rows that were done since it was called last."""
    bar = progress(doing)
    bar.start(rows, rows, 0)
    try:
        yield bar.advance
    finally:
        bar.stop()


def _compared(rows: Rows, groups: Groups, on: str) -> dict[str, Any]:
    """Return how many rows of another set cannot be compared; all of them is an error."""
    name = ", ".join(source.name for source in rows.sources)
    left = groups.status[groups.of_row < 0]
    flaws = dict(Counter(sorted(left.tolist())).most_common())
    if len(left) == len(rows):
        flaw, count = next(iter(flaws.items()), ("no_text", 0))
        raise DataError(
            f"{name}: none of its {len(rows):,} rows can be compared (--on {on}), {count:,} of "
            f"them for {flaw}; give --against a file whose texts are read, see `curate doctor`"
        )
    return {"name": name, "rows": len(rows), "not_compared": len(left), "flaws": flaws}


def _twins(
    sketches: Sketches,
    mine: Groups,
    barred: NDArray[np.bool_],
    params: DedupParams,
) -> Twins:
    """Return the twin of every group; groups of other sets come first and are all kept."""
    start = mine.start
    beside = np.concatenate([np.zeros(start, np.uint64), mine.beside])

    def similar(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        similarities = sketches.similar(left, right, params.near)
        # What hangs on another picture is another row; an evaluation set's text is its text.
        similarities[(beside[left] != beside[right]) & (right >= start)] = 0
        return similarities

    met = buckets(sketches.signatures, bands_for(params.near))
    never = np.concatenate([np.zeros(start, bool), barred])
    with shown("comparing", len(mine.first)) as advance:
        return first_kept(met, similar, params.near, start, never, advance)


def questions_of(
    against: Sequence[Rows], share: float
) -> tuple[contained.Questions, list[list[tuple[int, int]]]]:
    """Return the questions of other sets, to be found, and the sets and rows where each stands."""
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, other in enumerate(against):
        for row in sketches_of.other_side(other):
            if question := fold(compared(row, "prompt")):
                places[question].append((number, row.position))
    return contained.questions(list(places), share), list(places.values())


def _notes(sets: list[dict[str, Any]], sought: int, questions: int) -> Iterator[str]:
    """Yield what a user should be told, a sentence each."""
    for other in sets:
        if other["not_compared"]:
            flaws = ", ".join(f"{count:,} {flaw}" for flaw, count in other["flaws"].items())
            yield (
                f"{other['not_compared']:,} of {other['rows']:,} rows of {other['name']} cannot "
                f"be compared ({flaws}); nothing was looked for in their stead"
            )
    if sought < questions:
        yield (
            f"{questions - sought:,} of {questions:,} questions of the other sets are too short, "
            "or too much like each other, to be looked for inside longer rows; they are compared "
            "as a whole"
        )


def closest(selection: Selection, most: int) -> list[tuple[str, float, str, str]]:
    """Return reason, similarity, text and twin's id of dropped rows, the least similar first."""
    values, reason = selection.scored.values("similarity"), selection.choice.reason
    dropped = np.flatnonzero(np.isin(reason.astype(str), REASONS[1:]))
    order = np.lexsort((selection.rows.ids[dropped].astype(str), values[dropped]))
    twins = selection.scored.columns["twin"]
    lines = []
    for place in dropped[order[:most]].tolist():
        text = compared(selection.rows[place], selection.params.on)
        line = " ".join(text[: 4 * _SHOWN].split())
        shown = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
        lines.append((str(reason[place]), float(values[place]), shown, twins[place].as_py()))
    return lines
