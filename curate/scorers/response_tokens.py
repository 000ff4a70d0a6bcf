"""How many tokens are trained on in each row: of its responses, each with its end token.

Of a dialogue all answers count, of a preference pair both sides, of a text for pre-training all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.models.protocols import TokenCounter
from curate.scorers.contract import digest_of
from curate.system.cache import kept_bytes

_ANSWERS = ("assistant", "function")
_AT_A_TIME = 1000  # rows
# Part of the key: a changed way of counting never takes older counts.
_COUNTING = "responses 1"
_SAMPLE = 200
# So many tokens a Chinese character and more: the vocabulary was not made for Chinese.
_MANY = 1.2


@dataclass(frozen=True)
class ResponseTokens:
    """Tokens of every row's responses.

    Attributes:
        counts: (n,) tokens; 0 for a row with a flaw.
        by: Name of the model whose tokenizer counted.
        note: What a user should be told, '' for nothing.
    """

    counts: NDArray[np.int64]
    by: str
    note: str = ""


def response_tokens(rows: Rows, counter: TokenCounter) -> ResponseTokens:
    """Return the tokens of every row's responses; they are counted once for the same rows.

    Args:
        rows: Of any kind.
        counter: A model's tokenizer.

    Example:
        >>> response_tokens(curate.read("huatuo.json"), token_counter("Qwen/Qwen2.5-7B")).counts
        array([ 88, 143, ...])
    """

    def count() -> bytes:
        counts = np.zeros(len(rows), dtype="<i8")
        for batch in _batches(rows):
            responses = [responses_of(row) for row in batch]
            sizes = counter.count(list(chain.from_iterable(responses)))
            owners = np.repeat([row.position for row in batch], [len(each) for each in responses])
            np.add.at(counts, owners, np.array(sizes, dtype=np.int64) + 1)
        return counts.tobytes()

    flawed = np.array([bool(flaw) for flaw in rows.table.column("flaw").to_pylist()])
    shape = sorted(rows.shape.as_dict().items())
    key = [_COUNTING, counter.fingerprint, digest_of(rows.hashes, flawed, shape)]
    counts = np.frombuffer(kept_bytes("tokens", "token counts", key, count), dtype="<i8")
    return ResponseTokens(counts, counter.name, _about_chinese(rows, counter))


def responses_of(row: Row) -> list[str]:
    """Return the texts of a row that are trained on."""
    if row.parsed.chosen is not None:
        return [row.parsed.chosen, row.parsed.rejected or ""]
    answers = [turn.content for turn in row.turns if turn.role in _ANSWERS]
    return answers or [turn.content for turn in row.turns]


def _batches(rows: Rows) -> Iterator[list[Row]]:
    sound = (row for row in rows if not row.flaw)
    while batch := list(islice(sound, _AT_A_TIME)):
        yield batch


def _about_chinese(rows: Rows, counter: TokenCounter) -> str:
    """Return a note where the vocabulary takes many tokens for what is mostly Chinese."""
    step = max(1, len(rows) // _SAMPLE)
    texts = [text for at in range(0, len(rows), step) for text in responses_of(rows[at])]
    characters, chinese = sum(map(len, texts)), sum(map(_chinese, texts))
    if 2 * chinese <= characters:
        return ""
    rate = sum(counter.count(texts)) / characters
    if rate <= _MANY:
        return ""
    return (
        f"the tokenizer of {counter.name} takes {rate:.1f} tokens a character of these rows, most "
        "of which is Chinese; name the model that will be trained: --tokenizer M"
    )


def _chinese(text: str) -> int:
    return sum("\u3400" <= character <= "\u9fff" for character in text)
