"""How many tokens are trained on in each row: of its responses, each with its end token.

Of a dialogue all answers count, of a preference pair both sides, of a text for pre-training all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.models.protocols import TokenCounter
from curate.scorers.by_row import Measure, by_row
from curate.scorers.contract import digest_of
from curate.system.cache import kept_bytes

_ANSWERS = ("assistant", "function")
# Part of the key: a changed way of counting never takes older counts.
_COUNTING = "responses 2"
_SAMPLE = 200
# So many tokens a Chinese character and more: the vocabulary was not made for Chinese.
_MANY = 1.2


@dataclass(frozen=True)
class ResponseTokens:
    """Tokens of every row's responses."""

    counts: NDArray[np.int64]  # (n,) 0 for a row with a flaw
    by: str  # name of the model whose tokenizer counted
    note: str = ""  # what a user should be told


def response_tokens(rows: Rows, counter: TokenCounter) -> ResponseTokens:
    """Return the tokens of every row's responses; they are counted once for the same rows.

    Example:
        >>> response_tokens(curate.read("huatuo.json"), token_counter("Qwen/Qwen2.5-7B")).counts
        array([ 88, 143, ...])
    """
    count = partial(_of_responses, counter.count)
    counts = token_counts(rows, count, (_COUNTING, counter.fingerprint))
    return ResponseTokens(counts, counter.name, _about_chinese(rows, counter))


def token_counts(rows: Rows, count: Measure, key: tuple[object, ...]) -> NDArray[np.int64]:
    """Return the tokens of every row, (n,); 0 for a row with a flaw.

    They are counted once for the same rows and key (what decides the numbers besides the rows), and
    then lie in the cache. `count` gives one number a row, see `curate.scorers.by_row`.
    """

    def make() -> bytes:
        counts = np.zeros(len(rows), dtype="<i8")
        counts[~flawed] = by_row(rows, ~flawed, count)
        return counts.tobytes()

    flawed = np.not_equal(rows.table.column("flaw").to_numpy(), "")
    shape = sorted(rows.shape.as_dict().items())
    whole = [*key, digest_of(rows.hashes, flawed, shape)]
    return np.frombuffer(kept_bytes("tokens", "token counts", whole, make), dtype="<i8")


def tokens_a_row(
    texts: list[list[str]], count: Callable[[list[str]], Sequence[int]]
) -> NDArray[np.int64]:
    """Return the tokens of each row's texts together, (n,)."""
    flat = list(chain.from_iterable(texts))
    before = np.array([0, *(count(flat) if flat else [])], np.int64).cumsum()
    tokens: NDArray[np.int64] = np.diff(before[np.cumsum([0, *map(len, texts)])])
    return tokens


def _of_responses(
    count: Callable[[list[str]], Sequence[int]], rows: list[Row]
) -> NDArray[np.int64]:
    """Return the tokens of responses and their end tokens."""
    texts = [responses_of(row) for row in rows]
    return tokens_a_row(texts, count) + np.array(list(map(len, texts)), np.int64)


def responses_of(row: Row) -> list[str]:
    """Return the texts of a row that are trained on."""
    if row.parsed.chosen is not None:
        return [row.parsed.chosen, row.parsed.rejected or ""]
    answers = [turn.content for turn in row.turns if turn.role in _ANSWERS]
    return answers or [turn.content for turn in row.turns]


def _about_chinese(rows: Rows, counter: TokenCounter) -> str:
    """Return a note where the vocabulary takes many tokens for what is mostly Chinese."""
    step = max(1, len(rows) // _SAMPLE)
    seen = (rows[at] for at in range(0, len(rows), step))
    texts = [text for row in seen if not row.flaw for text in responses_of(row)]
    characters = sum(map(len, texts))
    chinese = sum("\u3400" <= character <= "\u9fff" for text in texts for character in text)
    rate = sum(counter.count(texts)) / characters if 2 * chinese > characters else 0.0
    if rate <= _MANY:
        return ""
    return (
        f"the tokenizer of {counter.name} takes {rate:.1f} tokens a character of these rows, most "
        "of which is Chinese; name the model that will be trained: --tokenizer M"
    )
