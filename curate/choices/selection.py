"""What a recipe gives back: every row, its scores, and whether and why it was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices import rechoose
from curate.choices.chosen import BEST, LOW, NEAR, RANDOM, WORDS, Chosen, no_such_rows
from curate.console import count_lines, say
from curate.data.cards import short
from curate.data.read import sources_as_dicts
from curate.data.rows import Rows
from curate.notebook.tables import frame_of, html_notes, html_table
from curate.recipes.budgets import about_budget
from curate.scorers import pairs
from curate.scorers.contract import OK, Scores
from curate.scorers.response_tokens import ResponseTokens
from curate.selectors.kept_and_dropped import MARKED_KEEP, MISSED, Choice, Ranking, Wanted, labelled
from curate.system.manifest import versions

if TYPE_CHECKING:
    import pandas as pd

    from curate.notebook.pictures import Picture


_GROUP = 65_536  # rows that are written at a time
_REPEATS = (
    "of the kept rows repeat another of them word for word; `curate dedup` leaves repeats out"
)


@dataclass(frozen=True)
class Summary:
    """How many rows went where; `read` is `kept` plus all of `dropped`."""

    read: int
    scored: int  # rows with a score
    kept: int
    dropped: dict[str, int]  # reason to the rows it left out
    tokens: dict[str, Any] | None = None  # of the responses `read` and `kept`, `by` whose tokenizer

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        counts = dataclasses.asdict(self)
        return counts if self.tokens else {k: v for k, v in counts.items() if k != "tokens"}


@dataclass(frozen=True)
class Selection(Chosen):
    """A choice among rows. It counts, and goes through, the rows that it keeps."""

    recipe: str  # name of what chose
    params: Any  # its parameters, a frozen dataclass
    rows: Rows  # all of them
    scored: Scores  # status and score columns, a line a row
    choice: Choice  # a reason for every row that is left out
    ranked_by: str  # the score column that the choice was made by, the higher the better
    # Name, fingerprint and dtype of what computed the scores.
    model: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what a user should be told, a sentence each
    seconds: float = field(default=0.0, compare=False)  # wall time of scoring and choosing
    # What else the manifest and `--json` say: counts of a recipe's stages, say.
    details: dict[str, Any] = field(default_factory=dict)
    tokens: ResponseTokens | None = field(default=None, repr=False, compare=False)
    # What was chosen from, and by which selector, where another budget can be cut.
    ranking: Ranking | None = field(default=None, repr=False, compare=False)
    wanted: Wanted | None = field(default=None, repr=False, compare=False)  # the budget
    of_choice: tuple[str, ...] = field(default=(), repr=False, compare=False)  # among the notes
    _first = BEST

    def __post_init__(self) -> None:
        """Note repeats among the kept rows and what is left of the budget, whatever the recipe.

        Of pairs what is wrong with the kept ones is noted, too, and stands in the details.
        """
        kept = self.rows.hashes[self.choice.kept]
        added: list[str] = []
        if self.rows.shape.ranking:
            found = pairs.findings(self.scored.columns, self.rows.ids, self.choice.kept)
            every = len(kept) == int((self.scored.status == OK).sum())
            added += pairs.told(found, len(kept), "pairs" if every else "kept pairs")
            if found:
                object.__setattr__(self, "details", {**self.details, "findings": found})
        if self.wanted and self.tokens:
            added += about_budget(self.choice, self.wanted, self.tokens)
        if repeats := len(kept) - len(np.unique(kept)):
            added.append(f"{repeats:,} {_REPEATS}")
        others = [note for note in self.notes if note not in self.of_choice]
        object.__setattr__(self, "notes", (*others, *added))
        object.__setattr__(self, "of_choice", tuple(added))

    def summary(self) -> Summary:
        """Return the counts: read, scored, kept, and dropped by reason; and tokens."""
        scored = int((self.scored.status == OK).sum())
        kept = self.choice.kept
        tokens: dict[str, Any] | None = None
        if self.tokens:
            counts = self.tokens.counts
            read, of_kept = int(counts.sum()), int(counts[kept].sum())
            tokens = {"read": read, "kept": of_kept, "by": self.tokens.by}
        return Summary(len(self.rows), scored, int(kept.sum()), self.choice.counts(), tokens)

    keep = rechoose.keep
    where = rechoose.where
    by = rechoose.by
    marked = rechoose.marked

    def table(self) -> pa.Table:
        """Return one line for each row: id, row, source, status, kept, reason, then the scores."""
        return self._lines(0, len(self.rows))

    def score_lines(self, without: Sequence[str] = ()) -> pa.RecordBatchReader:
        """Return what table() has, without some columns, batch by batch: of many rows it is large.

        Example:
            >>> sum(len(batch) for batch in cherry.score_lines())
            600
        """

        def batches() -> Iterator[pa.RecordBatch]:
            for start in range(0, len(self.rows), _GROUP):
                lines = self._lines(start, start + _GROUP).drop_columns([*without])
                yield from lines.combine_chunks().to_batches()

        schema = self._lines(0, 0).drop_columns([*without]).schema
        return pa.RecordBatchReader.from_batches(schema, batches())

    def _lines(self, start: int, end: int) -> pa.Table:
        part, marked = slice(start, end), self.choice.marked
        reason = self.choice.reason[part]
        if marked is not None:
            reason = labelled(reason, marked[part], MARKED_KEEP)
        first = {
            "id": pa.array(self.rows.ids_of(start, end), pa.string()),
            "row": pa.array(np.arange(len(self.rows))[part]),
            "source": pa.array(self.rows.source_names[part], pa.string()),
            "status": pa.array(self.scored.status[part], pa.string()),
            "kept": pa.array(self.choice.reason[part] == ""),
            "reason": pa.array(reason, pa.string()),
        }
        if self.tokens:
            first["tokens"] = pa.array(self.tokens.counts[part])
        columns = {name: each[start:end] for name, each in self.scored.columns.items()}
        return pa.table({**first, **columns})

    _score_table = table

    def _parts(self) -> Sequence[Rows]:
        return (self.rows,)

    def __len__(self) -> int:
        return int(self.choice.kept.sum())

    @cached_property
    def kept(self) -> Rows:
        """The kept rows, in their order and with their ids; every recipe takes them.

        Example:
            >>> curate.dedup(curate.ifd("huatuo.json", keep="20%"))
        """
        return self.rows.at(np.flatnonzero(self.choice.kept))

    def top(self, n: int = 5, full: bool = False) -> pd.DataFrame:
        """Return the n kept rows with the highest scores, highest first.

        Args:
            n: How many.
            full: Whether with whole texts; else with their beginnings.
        """
        return self._excerpts(BEST, n, full)

    def nearest_misses(self, n: int = 5, full: bool = False) -> pd.DataFrame:
        """Return the n rows that missed the choice by least, nearest first.

        Those are rows that a score alone left out: below the cut of a budget or, of MoDS, of the
        quality, just alike enough to a row that is kept, or not called by a question. Where none
        was left out so, it says so.

        Args:
            n: How many.
            full: Whether with whole texts; else with their beginnings.
        """
        if not np.isin(self.choice.reason.astype(str), MISSED).any():
            reasons = ", ".join(self.choice.counts()) or "none"
            say(f"{self.recipe} left no row out by its score alone; reasons here: {reasons}")
        return self._excerpts(NEAR, n, full)

    def _places(self, which: str) -> NDArray[np.int64]:
        values, ids = self.scored.values(self.ranked_by), self.rows.ids
        reason, scored = self.choice.reason, self.scored.status == OK
        if which == RANDOM:
            drawn = np.random.default_rng(int(getattr(self.params, "seed", 0)))
            among = np.flatnonzero(scored)
            return drawn.permutation(among[np.argsort(ids[among].astype(str), kind="stable")])
        if which not in (words := (*WORDS, *self.choice.counts())):
            raise no_such_rows(which, words)
        own = {BEST: reason == "", NEAR: np.isin(reason.astype(str), MISSED), LOW: scored}
        named = np.flatnonzero(own.get(which, reason == which))
        sign = 1 if which == LOW else -1
        return named[np.lexsort((ids[named].astype(str), sign * values[named]))]

    def _excerpts(self, which: str, n: int, full: bool = False) -> pd.DataFrame:
        """Return rows as a table, with whole texts or their beginnings."""
        lines = []
        for place in self._places(which)[: max(0, n)].tolist():
            row, score = self.rows[place], self.scored.values(self.ranked_by)[place]
            texts = [text if full else short(text) for text in (row.prompt, row.response)]
            lines.append((row.id, row.source, score, *texts))
        return frame_of(lines, columns=["id", "source", self.ranked_by, "prompt", "response"])

    def threshold(self) -> float:
        """Return the lowest score that was kept by the rule; NaN if nothing was."""
        kept = self.scored.values(self.ranked_by)[self.choice.by_rule().kept]
        return float(kept.min()) if len(kept) else float("nan")

    def plot(self) -> Picture:
        """Return a figure of what decided, which a notebook shows; `.figure` is matplotlib's."""
        from curate.reports.panels import of_selection

        return of_selection(self)

    def manifest(self) -> dict[str, Any]:
        """Return what made this choice, without the output."""
        summary = self.summary()
        return {
            "recipe": self.recipe,
            "params": dataclasses.asdict(self.params),
            "sources": sources_as_dicts(self.rows),
            "shape": self.rows.shape.as_dict(),
            "model": self.model,
            "counts": summary.as_dict(),
            **self.details,
            "ranked_by": self.ranked_by,
            "threshold": self.threshold() if self.choice.by_rule().kept.any() else None,
            "notes": list(self.notes),
            "versions": versions(),
            "wall_seconds": round(self.seconds, 1),
        }

    def __repr__(self) -> str:
        counts = self.summary()
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts.dropped.items())
        left_out = f"dropped {dropped}" if dropped else "none dropped"
        return f"{self.recipe}: {counts.kept:,} of {counts.read:,} rows kept; {left_out}"

    def _repr_html_(self) -> str:
        lines = count_lines(self.summary().as_dict())
        parts = [f"<h4>{escape(self.recipe)}</h4>", html_table(lines), html_notes(self.notes)]
        # A draw, or 1 for each row that was chosen, is no score to be highest by.
        ranked = self.ranked_by not in ("draw", "chosen")
        best = f"kept, highest {self.ranked_by}" if ranked else "kept"
        for title, which in ((best, BEST), ("nearest misses", NEAR)):
            frame = self._excerpts(which, 3)
            if len(frame):
                cells = frame.itertuples(index=False, name=None)
                parts += [f"<p>{escape(title)}</p>", html_table(cells, list(frame.columns))]
        return "".join(parts)
