"""What a data set looks like at a glance: turns, languages, lengths, repeats, flaws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.data.formats import formats
from curate.data.language import language_of
from curate.data.rows import Rows
from curate.data.shape import Source
from curate.html import html_table

_CONTAINERS = {
    "json": "JSON",
    "jsonl": "JSON Lines",
    "json-values": "JSON values in a row",
    "csv": "CSV",
    "arrow": "Arrow",
    "dialogue-text": "text",
    "qa-text": "text",
}
_ENCODINGS = {"utf-8-sig": "UTF-8 with a mark"}
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Description:
    """Counts over all rows.

    Attributes:
        sources: (name, rows, how it was read) of each file.
        rows: How many.
        turns: Responses in a row to the number of such rows.
        languages: Two-letter code to rows, by the characters of prompt and response.
        prompt_characters: 5 %, 50 % and 95 % quantile.
        response_characters: 5 %, 50 % and 95 % quantile.
        repeats: Rows that repeat an earlier one word for word.
        flaws: Why a row cannot be trained on, to rows.
    """

    sources: tuple[tuple[str, int, str], ...]
    rows: int
    turns: dict[int, int]
    languages: dict[str, int]
    prompt_characters: tuple[int, ...]
    response_characters: tuple[int, ...]
    repeats: int
    flaws: dict[str, int]


def describe(rows: Rows) -> Description:
    """Return what a data set looks like, in one pass over its rows.

    Args:
        rows: Any.
    """
    turns: Counter[int] = Counter()
    languages: Counter[str] = Counter()
    lengths = np.zeros((2, len(rows)), dtype=np.int64)
    for row in rows:
        turns[sum(turn.role in ("assistant", "function") for turn in row.turns)] += 1
        languages[language_of(row.prompt + row.response)] += 1
        lengths[:, row.position] = len(row.prompt), len(row.response)
    marks = np.quantile(lengths, _QUANTILES, axis=1).astype(int).T.tolist()
    return Description(
        tuple((source.name, source.rows, how_read(source)) for source in rows.sources),
        len(rows),
        dict(sorted(turns.items())),
        dict(languages.most_common()),
        tuple(marks[0]),
        tuple(marks[1]),
        int((rows.repeats > 0).sum()),
        rows.flaws(),
    )


def how_read(source: Source) -> str:
    """Return how a file was read, for people.

    Args:
        source: The file.

    Example:
        >>> how_read(rows.sources[0])
        'alpaca, JSON Lines, UTF-8'
    """
    known = formats().get(source.format)
    title = known.title if known else source.format
    parts = [title, _CONTAINERS.get(source.container, source.container)]
    if source.encoding != "binary":
        parts.append(_ENCODINGS.get(source.encoding, source.encoding.upper()))
    return ", ".join(parts)


def notes_on(source: Source) -> list[str]:
    """Return what a reader of a file should know: what was changed, what is still to be filled in.

    Args:
        source: The file.
    """
    notes = [f"{source.name}: {what}: {rows:,} rows" for what, rows in source.changes.items()]
    if source.unfilled:
        holes = ", ".join(f"{{{{{name}}}}} in {rows:,}" for name, rows in source.unfilled.items())
        give = " ".join(f"{name}=…" for name in source.unfilled)
        notes.append(
            f"{source.name}: rows that nobody has filled in yet: {holes}; they are not trained on; "
            f"fill them in with --fill {give}"
        )
    return notes


def to_html(description: Description) -> str:
    """Return a description as one table.

    Args:
        description: Of some rows.
    """
    lines: list[Sequence[object]] = [("rows", description.rows)]
    lines += [(f"read {name}", f"{count:,}: {how}") for name, count, how in description.sources]
    lines.append(("responses a row", _pairs(description.turns)))
    lines.append(("languages", _pairs(description.languages)))
    for name in ("prompt", "response"):
        low, middle, high = getattr(description, f"{name}_characters")
        lines.append((f"{name}, characters", f"median {middle:,}; 90 % within {low:,}–{high:,}"))
    lines.append(("repeat an earlier row", description.repeats))
    lines += [(f"flaw: {flaw}", count) for flaw, count in description.flaws.items()]
    return html_table(lines)


def _pairs(counts: dict[int, int] | dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())
