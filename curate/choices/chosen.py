"""What a choice and a mixture have in common: their rows, to look at and to choose among again."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.cards import card_html, card_lines
from curate.data.describe import visible
from curate.data.places import places_of
from curate.data.rows import Row, Rows
from curate.errors import UsageError, did_you_mean
from curate.notebook.tables import frame_of, html_notes

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


# What `show()` takes for `which`, beside reasons and ids.
BEST, NEAR, LOW, RANDOM = WORDS = ("best", "near", "low", "random")
_NOT_SHOWN = ("row", "source", "status", "kept")


@dataclass(frozen=True)
class Shown:
    """Rows to be looked at, whole, and what is known of each."""

    title: str
    rows: tuple[Row, ...]
    known: tuple[dict[str, Any], ...]  # scores by name, one a row

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        cards = zip(self.rows, self.known, strict=True)
        return "\n\n".join([visible(self.title), *("\n".join(card_lines(*card)) for card in cards)])

    def _repr_html_(self) -> str:
        cards = zip(self.rows, self.known, strict=True)
        return html_notes([visible(self.title)]) + "".join(card_html(*card) for card in cards)


class Chosen(ABC):
    """Rows that were chosen: they are counted, gone through, shown and given to other libraries."""

    recipe: str
    _first: ClassVar[str]  # what `show()` shows

    @property
    @abstractmethod
    def kept(self) -> Rows:
        """The rows that were chosen; every function that takes rows takes them."""

    @abstractmethod
    def _parts(self) -> Sequence[Rows]:
        """Return all rows that could be chosen."""

    @abstractmethod
    def _score_table(self) -> pa.Table:
        """Return a line for each of them: id, row, source, status, kept, reason, and more."""

    @abstractmethod
    def _places(self, which: str) -> NDArray[np.int64]:
        """Return the places (m,) of the rows that a word names, the first to be seen first."""

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.kept)

    @property
    def scores(self) -> pd.DataFrame:
        """One line for each row that could be chosen, as a pandas DataFrame."""
        return frame_of(self._score_table().to_pandas())

    def show(self, n: int = 5, which: Any = "") -> Shown:
        """Return rows with their whole texts and all that is known of them.

        Args:
            n: How many.
            which: Of a choice `best` of the kept, highest first; `near`: the nearest misses; `low`:
                the lowest of all that have a score; `random`: of these, or of what a mixture takes,
                drawn by the seed; a reason: rows left out for it, highest first; an id, or what
                else stands in `rows[…]`: all of it. If not given `best`, of a mixture `random`.

        Raises:
            UsageError: None of these.

        Example:
            >>> cherry.show(3, which="near")
        """
        which = self._first if isinstance(which, str) and not which else which
        table = self._score_table()
        ids = {row_id: place for place, row_id in enumerate(table.column("id").to_pylist())}
        if not isinstance(which, str) or which in ids:
            places = np.atleast_1d(places_of(which, len(ids), lambda: ids))
            title = f"{self.recipe}: {len(places):,} rows"
        else:
            every = self._places(which)
            places = every[: max(0, n)]
            title = f"{self.recipe}, {which}: {len(places):,} of {len(every):,} rows"
        parts = self._parts()
        ends = np.cumsum([len(part) for part in parts])
        rows, known = [], []
        for place, line in zip(
            places.tolist(), table.drop_columns(_NOT_SHOWN).take(places).to_pylist(), strict=True
        ):
            part = int(np.searchsorted(ends, place, side="right"))
            row = parts[part][int(place - ends[part])]
            rows.append(replace(row, id=line.pop("id")))
            values = ((k, v) for k, v in line.items() if not isinstance(v, list))
            known.append({k: v for k, v in values if v == v and v not in (None, "")})
        return Shown(title, tuple(rows), tuple(known))

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page of `curate.report()`, to data/NAME.report.html if no path is given."""
        from curate.api import report

        return report(self, path)

    def to_pandas(self, text: bool = True) -> pd.DataFrame:
        """Return `scores`, a line for each row, kept or not.

        Args:
            text: Whether the whole prompt and response of each row stand beside them. The rows
                with columns of their own are `kept.to_pandas()`.
        """
        frame = self.scores
        if text:
            rows = itertools.chain.from_iterable(self._parts())
            texts = [(row.prompt, row.response) for row in rows]
            frame["prompt"], frame["response"] = zip(*texts, strict=True) if texts else ((), ())
        return frame

    def to_dataset(self) -> Dataset:
        """Return the kept rows, with their own columns, as a `datasets.Dataset`."""
        return self.kept.to_dataset()


def no_such_rows(which: str, words: Sequence[str]) -> UsageError:
    """Return the error for a word that names no rows of a choice."""
    return UsageError(
        f"which {which!r}: allowed are {', '.join(words)}, an id, or several in a list."
        f"{did_you_mean(which, words)}"
    )
