"""Tokens of rows as they are trained on, counted once for each file and tokenizer."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from curate.data.row_cache import READER
from curate.data.rows import Row, Rows
from curate.models.protocols import TextEncoder
from curate.models.row_templates import TEMPLATES
from curate.system.cache import kept_bytes

_AT_A_TIME = 512
_FIRST = 16
# Part of the key: a changed way of counting never takes older counts.
_COUNTING = "2"


def count_tokens(
    rows: Rows, as_text: bool, encoder: TextEncoder, template: str, fingerprint: str
) -> NDArray[np.int32]:
    """Return the tokens of every row: prompt and response, and one for the end of a text."""

    def count() -> bytes:
        counts = np.zeros(len(rows), dtype="<i4")
        sound = (row for row in rows if not row.flaw)
        while batch := list(itertools.islice(sound, _AT_A_TIME)):
            texts = [_texts(row, as_text, encoder, template) for row in batch]
            lengths = iter(encoder.encode([text for pieces in texts for text in pieces]))
            for row, pieces in zip(batch, texts, strict=True):
                counts[row.position] = 1 + sum(map(len, itertools.islice(lengths, len(pieces))))
        return counts.tobytes()

    source = rows.sources[0]
    read = [READER, source.sha256, source.format, source.fill, rows.shape.as_dict()]
    key = [_COUNTING, *read, as_text, template, fingerprint]
    return np.frombuffer(kept_bytes("tokens", "token counts", key, count), dtype="<i4")


def framing_note(rows: Rows, encoder: TextEncoder, template: str) -> str:
    """Return what cannot be known of how the first rows are framed in training, '' for nothing."""
    sound = itertools.islice((row for row in rows if not row.flaw), _FIRST)
    return next((note for row in sound if (note := TEMPLATES[template](row, encoder).note)), "")


def _texts(row: Row, as_text: bool, encoder: TextEncoder, template: str) -> list[str]:
    """Return what is trained on, in pieces."""
    if as_text:
        return [text_of_row(row.system, [turn.content for turn in row.turns])]
    rendered = TEMPLATES[template](row, encoder)
    if rendered.joined:
        return [*rendered.leads, *rendered.responses]
    # Each lead is all that comes before its response.
    return [*rendered.leads[-1:], *rendered.responses[-1:]]


def text_of_row(system: str, turns: list[str]) -> str:
    r"""Return an instruction as text for pre-training: what is said, one line after the other.

    The system prompt and every exchange stand apart by an empty line. No names of roles are put
    in: they would be words that the base model learns to write.

    Example:
        >>> text_of_row("", ["头痛怎么办？", "多休息。"])
        '头痛怎么办？\n多休息。'
    """
    pairs = ["\n".join(turns[at : at + 2]) for at in range(0, len(turns), 2)]
    return "\n\n".join([system, *pairs] if system else pairs)
