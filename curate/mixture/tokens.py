"""Tokens of rows as they are trained on, counted once for each file and tokenizer."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.cache import cache_dir
from curate.data.rows import Row, Rows
from curate.data.store import READER
from curate.errors import OutputError
from curate.models.protocols import TextEncoder
from curate.scorers.templates import TEMPLATES

_AT_A_TIME = 512
# Part of the key: a changed way of counting never takes older counts.
_COUNTING = "2"


def count_tokens(
    rows: Rows, as_text: bool, encoder: TextEncoder, template: str, fingerprint: str
) -> NDArray[np.int32]:
    """Return the tokens of every row: prompt and response, and one for the end of a text.

    Args:
        rows: Of one file.
        as_text: Whether rows are trained on as text for pre-training.
        encoder: The tokenizer.
        template: How instructions become text: `chat`, or `none` where a model has no template.
        fingerprint: Of the model.

    Returns:
        (n,) counts; 0 for rows that have a flaw.

    Raises:
        ModelError: The chat template refuses a row.
        OutputError: The cache folder cannot be written.
    """
    source = rows.sources[0]
    said = [_COUNTING, READER, source.sha256, source.format, source.fill, rows.shape.as_dict()]
    mark = json.dumps([*said, as_text, template, fingerprint], sort_keys=True)
    path = cache_dir() / "tokens" / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.npy"
    if (known := _load(path, len(rows))) is not None:
        return known
    counts = np.zeros(len(rows), dtype=np.int32)
    sound = (row for row in rows if not row.flaw)
    while batch := list(itertools.islice(sound, _AT_A_TIME)):
        texts = [list(_texts(row, as_text, encoder, template)) for row in batch]
        lengths = iter(encoder.encode([text for each in texts for text in each]))
        for row, each in zip(batch, texts, strict=True):
            counts[row.position] = 1 + sum(map(len, itertools.islice(lengths, len(each))))
    _save(path, counts)
    return counts


def _texts(row: Row, as_text: bool, encoder: TextEncoder, template: str) -> Iterator[str]:
    """Yield what is trained on, in pieces."""
    if as_text:
        yield text_of_row(row.system, [turn.content for turn in row.turns])
        return
    rendered = TEMPLATES[template](row, encoder)
    if rendered.joined:
        yield from rendered.leads
        yield from rendered.responses
    else:  # each lead is all that comes before its response
        yield rendered.leads[-1]
        yield rendered.responses[-1]


def text_of_row(system: str, turns: list[str]) -> str:
    r"""Return an instruction as text for pre-training: what is said, one line after the other.

    The system prompt and every exchange stand apart by an empty line. No names of roles are put
    in: they would be words that the base model learns to write.

    Args:
        system: '' without one.
        turns: Questions and answers by turns; or the one text of a pre-training row.

    Example:
        >>> text_of_row("", ["头痛怎么办？", "多休息。"])
        '头痛怎么办？\n多休息。'
    """
    pairs = ["\n".join(turns[at : at + 2]) for at in range(0, len(turns), 2)]
    return "\n\n".join([system, *pairs] if system else pairs)


def _load(path: Path, size: int) -> NDArray[np.int32] | None:
    try:
        found: NDArray[np.int32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (size,) else None


def _save(path: Path, counts: NDArray[np.int32]) -> None:
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(unfinished, counts, allow_pickle=False)
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise OutputError(
            f"token counts cannot be written to {path.parent}: {error.strerror or error}; make "
            "room, or set CURATRAIN_CACHE to another folder"
        ) from error
