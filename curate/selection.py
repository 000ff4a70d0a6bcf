"""What a recipe gives back: every row, its scores, and whether and why it was left out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate import rechoose
from curate.data.read import sources_as_dicts
from curate.data.rows import Rows
from curate.emission.emit import check_target, default_name, write, write_scores
from curate.errors import DataError, UsageError
from curate.recipes.budgets import about_budget
from curate.scorers import pairs
from curate.scorers.contract import OK, Scores
from curate.scorers.response_tokens import ResponseTokens
from curate.selectors.filled import Ranking, Wanted
from curate.selectors.kept_and_dropped import Choice
from curate.system.manifest import versions

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from curate.mixture.mixed import Mixed

_REPEATS = (
    "of the kept rows repeat another of them word for word; `curate dedup` leaves repeats out"
)
EXCERPT = 120  # columns; a Chinese character takes two


@dataclass(frozen=True)
class Summary:
    """How many rows went where; `read` is `kept` plus all of `dropped`.

    Attributes:
        read: Rows of the input.
        scored: Rows with a score.
        kept: Rows chosen.
        dropped: Reason to the rows it left out.
        tokens: Of the responses `read` and `kept`, and `by` whose tokenizer; None if not counted.
    """

    read: int
    scored: int
    kept: int
    dropped: dict[str, int]
    tokens: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        counts = dataclasses.asdict(self)
        return counts if self.tokens else {k: v for k, v in counts.items() if k != "tokens"}


@dataclass(frozen=True)
class Selection:
    """A choice among rows.

    Attributes:
        recipe: Name of what chose.
        params: Its parameters, a frozen dataclass.
        rows: All rows.
        scored: Status and score columns, a line a row.
        choice: A reason for every row that is left out.
        ranked_by: The score column that the choice was made by, the higher the better.
        model: Name, fingerprint and dtype of what computed the scores.
        notes: What a user should be told, a sentence each.
        seconds: Wall time of scoring and choosing.
        details: What else the manifest and `--json` say: counts of a recipe's stages, say.
        tokens: Of every row's responses.
        ranking: What was chosen from, and by which selector, where another budget can be cut.
        wanted: The budget; with it how much of it is left is among the notes.
    """

    recipe: str
    params: Any
    rows: Rows
    scored: Scores
    choice: Choice
    ranked_by: str
    model: dict[str, str]
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    details: dict[str, Any] = field(default_factory=dict)
    tokens: ResponseTokens | None = field(default=None, repr=False, compare=False)
    ranking: Ranking | None = field(default=None, repr=False, compare=False)
    wanted: Wanted | None = field(default=None, repr=False, compare=False)
    of_choice: tuple[str, ...] = field(default=(), repr=False, compare=False)  # among the notes

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

    def keep(self, keep: str | int) -> Selection:
        """Return the choice within another budget; nothing is computed anew.

        Args:
            keep: Such as 5%, 500, 2M-tokens.

        Raises:
            UsageError: No budget, or a recipe that has none of its own.

        Example:
            >>> cherry.keep("5%").where("ifd_loss > 0.5").summary().kept
        """
        return rechoose.within(self, keep)

    def where(self, condition: str) -> Selection:
        """Return the choice among rows for which a condition on their scores holds.

        Args:
            condition: As behind `--where`, on the columns of `scores`.
        """
        return rechoose.among(self, condition)

    def by(self, score: str) -> Selection:
        """Return the choice of the highest by another score, among the same rows.

        Args:
            score: A column of `scores`, or what can be worked out from them, as behind `--by`.
        """
        return rechoose.ranked_by(self, score)

    def table(self) -> pa.Table:
        """Return one line for each row: id, row, source, status, kept, reason, then the scores."""
        sources = self.rows.sources
        names = np.repeat([each.name for each in sources], [each.rows for each in sources])
        first = {
            "id": pa.array(self.rows.ids, pa.string()),
            "row": pa.array(np.arange(len(self.rows))),
            "source": pa.array(names, pa.string()),
            "status": pa.array(self.scored.status, pa.string()),
            "kept": pa.array(self.choice.kept),
            "reason": pa.array(self.choice.reason, pa.string()),
        }
        if self.tokens:
            first["tokens"] = pa.array(self.tokens.counts)
        return pa.table({**first, **self.scored.columns})

    @property
    def scores(self) -> pd.DataFrame:
        """The table as a pandas DataFrame."""
        frame: pd.DataFrame = self.table().to_pandas()
        return frame

    def top(self, n: int = 5) -> pd.DataFrame:
        """Return the n kept rows with the highest scores, highest first."""
        return self._excerpts(self.choice.kept, n)

    def nearest_misses(self, n: int = 5) -> pd.DataFrame:
        """Return the n rows that missed the budget by least, nearest first."""
        return self._excerpts(self.choice.reason == "below_cut", n)

    def threshold(self) -> float:
        """Return the lowest score that was kept; NaN if nothing was."""
        kept = self.scored.values(self.ranked_by)[self.choice.kept]
        return float(kept.min()) if len(kept) else float("nan")

    def plot(self) -> Figure:
        """Return a figure of the scores: kept, dropped, and the cut between them."""
        from curate.notebook import distribution

        return distribution(
            self.scored.values(self.ranked_by), self.choice.kept, self.threshold(), self.ranked_by
        )

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
            "threshold": self.threshold() if summary.kept else None,
            "notes": list(self.notes),
            "versions": versions(),
            "wall_seconds": round(self.seconds, 1),
        }

    def _excerpts(self, among: Any, n: int) -> pd.DataFrame:
        import pandas as pd

        values = self.scored.values(self.ranked_by)
        places = np.flatnonzero(among)
        order = np.lexsort((self.rows.ids[places].astype(str), -values[places]))
        rows = [self.rows[position] for position in places[order[: max(0, n)]].tolist()]
        lines = [
            (row.id, row.source, values[row.position], short(row.prompt), short(row.response))
            for row in rows
        ]
        columns = ["id", "source", self.ranked_by, "prompt", "response"]
        return pd.DataFrame(lines, columns=columns)

    def __repr__(self) -> str:
        counts = self.summary()
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts.dropped.items())
        return f"{self.recipe}: {counts.kept:,} of {counts.read:,} rows kept; dropped {dropped}"

    def _repr_html_(self) -> str:
        from curate.notebook import selection_html

        return selection_html(self)


# What dropped every row is seldom the rows' fault where it is one of these.
_LOOK_AT = {
    "ifd_ge_1": (
        "An IFD of 1 or more says that the prompt makes the response no likelier: see that "
        "--template is what --model was trained with, and that the model speaks the rows' language"
    ),
    "non_finite": (
        "The model gave NaN or infinite numbers: try --dtype float32 where there is that option, "
        "or take another model"
    ),
    "template_refused": "The model's chat template takes none of them: give another --template",
}


def short(text: str) -> str:
    """Return the beginning of a text, as much as stands in EXCERPT columns of a terminal."""
    from rich.cells import cell_len, chop_cells

    line = " ".join(text[: 4 * EXCERPT].split())
    whole = cell_len(line) <= EXCERPT and len(text) <= 4 * EXCERPT
    return line if whole else "".join(chop_cells(line, EXCERPT - 1)[:1]) + "…"


def nothing_chosen(given: object) -> UsageError:
    """Return the error for what is neither a choice nor a mixture."""
    return UsageError(
        f"{type(given).__name__} is nothing that a recipe has chosen; allowed is a Selection or a "
        "Mixed, as curate.ifd(), curate.dedup() and curate.mix() give them"
    )


def emit(
    selection: Selection | Mixed,
    output: str | Path = "data",
    name: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the kept rows, their scores, the dataset_info.json entry and the manifest.

    Args:
        selection: What a recipe gave: a choice, or a mixture.
        output: Folder.
        name: Of the data set; the first source's stem and the recipe if not given.
        overwrite: Replace a data set of that name that another recipe made.

    Raises:
        UsageError: It is nothing that a recipe gave.
        DataError: Every row was dropped.
        OutputError: The folder cannot be written, or the name is another recipe's.

    Example:
        >>> curate.emit(cherry, "data", name="medical_cherry")
        [PosixPath('data/medical_cherry.jsonl'), ...]
    """
    folder = Path(output)
    if not isinstance(selection, Selection):
        if not hasattr(selection, "emit_to"):
            raise nothing_chosen(selection)
        name = name or selection.name
        check_target(folder, name, selection.recipe, overwrite)
        return [folder / file for file in selection.emit_to(folder, name)]
    name = name or default_name(Path(selection.rows.sources[0].name), selection.recipe)
    check_target(folder, name, selection.recipe, overwrite)
    table, counts = selection.table(), selection.summary()
    if not counts.kept:
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in counts.dropped.items())
        advice = [_LOOK_AT[reason] for reason in counts.dropped if reason in _LOOK_AT]
        (scores,) = write_scores(folder, f"{name}_none_kept", table)
        raise DataError(
            f"no row is left to write: of {counts.read:,} rows read, {reasons}. "
            f"{'; '.join(advice) or 'Give other rows, or other values for what the reasons name'}. "
            f"No data set was written; what every row got is in {folder / scores}"
        )
    kept = selection.choice.kept
    files = write(folder, name, selection.rows, kept, table, selection.manifest())
    return [folder / file for file in files]
