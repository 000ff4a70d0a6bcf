"""Choices side by side: what they share, what each has alone, how long and of what its rows are."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.chosen import Chosen, Shown
from curate.choices.selection import Selection
from curate.data.describe import visible
from curate.data.read import read, rows_of
from curate.data.rows import Rows
from curate.errors import UsageError, check_one_of
from curate.llamafactory.dataset_info import is_registered
from curate.models.text_tokenizer import token_counter
from curate.notebook.pictures import Picture, Shares, picture
from curate.notebook.tables import frame_of, html_table
from curate.scorers.response_tokens import response_tokens

if TYPE_CHECKING:
    import pandas as pd

_ALONE = 5  # rows of each set that are shown
# Numbers that rank rows and say nothing of them.
_NO_SCORE = ("draw", "chosen")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two or more sets of rows. Rows are the same where they say the same, whatever file has them.

    `numbers` has tokens of responses, and each score that one of the sets was chosen by, to what
    the rows of each set have of it; NaN for rows that it was not computed for.
    """

    names: tuple[str, ...]
    rows: tuple[Rows, ...]
    numbers: dict[str, tuple[NDArray[np.float64], ...]]
    ranked: tuple[str, ...]  # of each set the score that it was chosen by, '' for none

    @cached_property
    def _different(self) -> list[NDArray[np.uint64]]:
        return [np.unique(rows.hashes) for rows in self.rows]

    def overlap(self) -> pd.DataFrame:
        """Return how many different rows each two sets share; of a set and itself, all it has."""
        sets = self._different
        shared = [[len(np.intersect1d(one, other)) for other in sets] for one in sets]
        return self._frame(dict(zip(self.names, zip(*shared, strict=True), strict=True)))

    def table(self) -> pd.DataFrame:
        """Return a line for each set: its rows, their lengths, and the means of all numbers."""
        characters = [rows.table.column("response_characters").to_numpy() for rows in self.rows]
        tokens, counts = next(iter(self.numbers.items()))
        columns: dict[str, list[Any]] = {
            "rows": list(map(len, self.rows)),
            "different": list(map(len, self._different)),
            "in no other": [len(self._alone(at)) for at in range(len(self.rows))],
            "median characters": [int(np.median(lengths)) for lengths in characters],
            tokens: [int(each.sum()) for each in counts],
        }
        for name, values in self.numbers.items():
            known = [each[np.isfinite(each)] for each in values]
            means = [each.mean() if len(each) else np.nan for each in known]
            columns[f"mean {name}"] = [float(f"{mean:.4g}") for mean in means]
        return self._frame(columns)

    def counts(self, of: str) -> pd.DataFrame:
        """Return a line for each `source` or `language`: how many rows each set has of it."""
        check_one_of("counts", of, ("source", "language"))
        words = [
            rows.source_names if of == "source" else rows.table[of].to_numpy() for rows in self.rows
        ]
        counts = [Counter(each.tolist()) for each in words]
        keys = [key for key, _ in sum(counts, Counter()).most_common()]
        return self._frame({key: [each[key] for each in counts] for key in keys}).T

    def alone(self, name: str) -> Rows:
        """Return the different rows of a set that no other has.

        Of a choice by a score the best come first; else they are drawn.
        """
        check_one_of("compare", name, self.names)
        at = self.names.index(name)
        return self.rows[at].at(self._alone(at))

    def show(self, name: str, n: int = _ALONE) -> Shown:
        """Return the first n of the rows that only one set has, whole, with all numbers."""
        alone, at = self.alone(name), self.names.index(name)
        places = self._alone(at)[: max(0, n)].tolist()
        columns = {number: values[at] for number, values in self.numbers.items()}
        known = tuple(
            {number: float(v[place]) for number, v in columns.items() if np.isfinite(v[place])}
            for place in places
        )
        title = f"{name} alone: {len(places):,} of {len(alone):,} rows"
        return Shown(title, tuple(alone.head(len(places))), known)

    def plot(self) -> Picture:
        """Return a figure of how the sets spread along each number that varies."""
        sets = {n: dict(zip(self.names, each, strict=True)) for n, each in self.numbers.items()}
        vary = (n for n, each in self.numbers.items() if len(np.unique(np.concatenate(each))) > 1)
        return picture([Shares(name, sets[name]) for name in vary])

    def _alone(self, at: int) -> NDArray[np.int64]:
        others = [own for place, own in enumerate(self._different) if place != at]
        places = np.flatnonzero(~np.isin(self.rows[at].hashes, np.concatenate(others)))
        _, first = np.unique(self.rows[at].hashes[places], return_index=True)
        drawn = np.random.default_rng(0).permutation(places[first])
        if name := self.ranked[at]:
            drawn = drawn[np.argsort(-self.numbers[name][at][drawn], kind="stable")]
        return drawn

    def _frame(self, columns: dict[str, Any]) -> pd.DataFrame:
        return frame_of(columns, index=list(self.names))

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {
            "rows": self.table().astype(object).T,
            "different rows that two sets share": self.overlap(),
            "rows of each file": self.counts("source"),
            "rows in each language": self.counts("language"),
        }

    def __repr__(self) -> str:
        tables = [f"{title}\n{table.to_string()}" for title, table in self._tables().items()]
        alone = [self.show(name) for name in self.names]
        return "\n\n".join(
            [*tables, *("\n".join([visible(s.title), *map(repr, s)]) for s in alone)]
        )

    def _repr_html_(self) -> str:
        parts = []
        for title, table in self._tables().items():
            lines = [(key, *line) for key, *line in table.astype(object).itertuples(name=None)]
            parts.append(f"<p>{escape(title)}</p>{html_table(lines, ('', *table.columns))}")
        return "".join(parts) + "".join(self.show(name)._repr_html_() for name in self.names)


def compare(*choices: Any, dataset_dir: str | Path = "data", **named: Any) -> Comparison:
    """Return two or more choices side by side: what they share, and what each has alone.

    Args:
        choices: What recipes gave, names of registered data sets, or what read() takes; called by
            their recipe, name or file.
        dataset_dir: Folder of dataset_info.json, where names are looked up.
        named: The same, under a name of your own.

    Raises:
        UsageError: There are fewer than two, or one holds no rows.
        DataError: One cannot be read.

    Example:
        >>> curate.compare(cherry, random=curate.control(cherry, "tokens")).plot()
    """
    if (count := len(choices) + len(named)) < 2:
        raise UsageError(f"compare: {count} given; give two or more choices, data sets or files")
    import pandas as pd

    folder, given = Path(dataset_dir), dict[str, Any]()
    for choice in choices:
        label = choice.recipe if isinstance(choice, Chosen) else "rows"
        if isinstance(choice, str | os.PathLike):
            label = str(choice) if _is_name(choice, folder) else Path(choice).name
        elif isinstance(choice, Rows):
            label = choice.sources[0].name
        again = sum(name.partition(" #")[0] == label for name in [*given, *named])
        given[f"{label} #{again + 1}" if again else label] = choice
    given |= named
    rows = tuple(
        read(dataset=choice, dataset_dir=folder) if _is_name(choice, folder) else rows_of(choice)
        for choice in given.values()
    )
    numbers, ranked = _tokens(list(given.values()), rows), []
    models: dict[str, dict[str, str]] = {}
    for name, choice in given.items():
        ranked.append("")
        if isinstance(choice, Selection) and choice.ranked_by not in _NO_SCORE:
            score = choice.ranked_by
            scored = pd.Series(choice.scored.values(score), choice.rows.hashes)
            scored = scored[~scored.index.duplicated()]
            values = tuple(
                scored.reindex(each.hashes).to_numpy().astype(np.float64) for each in rows
            )
            if known := numbers.get(score):
                pairs = list(zip(known, values, strict=True))
                differ = any(((a != b) & ~np.isnan(a) & ~np.isnan(b)).any() for a, b in pairs)
                if differ or models[score] != choice.model:
                    score = f"{score} of {name}"
                else:
                    values = tuple(np.where(np.isnan(a), b, a) for a, b in pairs)
            numbers[score], models[score] = values, choice.model
            ranked[-1] = score
    return Comparison(tuple(given), rows, numbers, tuple(ranked))


def _is_name(choice: Any, folder: Path) -> bool:
    return isinstance(choice, str) and is_registered(choice, folder)


def _tokens(
    choices: list[Any], rows: tuple[Rows, ...]
) -> dict[str, tuple[NDArray[np.float64], ...]]:
    """Return the tokens of all responses, as they were counted if one tokenizer counted them."""
    counted = [choice.tokens if isinstance(choice, Selection) else None for choice in choices]
    names = {each.by if each else "" for each in counted}
    if len(names) == 1 and "" not in names:
        pairs = zip(counted, choices, strict=True)
        counts, by = [each.counts[own.choice.kept] for each, own in pairs if each], names.pop()
    else:
        counter = token_counter()
        counts, by = [response_tokens(each, counter).counts for each in rows], counter.name
    return {f"tokens of responses, by {by}": tuple(each.astype(np.float64) for each in counts)}
