"""How many tokens are trained on in each row: of its responses, each with its end token.

Of a dialogue all answers count, of a preference pair both sides, of a text for pre-training all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.models.protocols import TokenCounter
from curate.scorers.contract import digest_of, in_batches
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
    key = (_COUNTING, counter.fingerprint)
    counts = token_counts(rows, responses_of, counter.count, key)
    return ResponseTokens(counts, counter.name, _about_chinese(rows, counter))


def token_counts(
    rows: Rows,
    texts_of: Callable[[Row], list[str]],
    count: Callable[[list[str]], Sequence[int]],
    key: tuple[object, ...],
    ends: Callable[[list[str]], int] = len,
) -> NDArray[np.int64]:
    """Return the tokens of every row's texts and their end tokens, (n,); 0 for a row with a flaw.

    They are counted once for the same rows and key (what else decides the numbers), and then lie
    in the cache. `ends` says how many end tokens a row's texts have; one a text.
    """

    def make() -> bytes:
        counts = np.zeros(len(rows), dtype="<i8")
        for batch in in_batches((row for row in rows if not row.flaw), _AT_A_TIME):
            texts = [texts_of(row) for row in batch]
            sizes = np.cumsum([0, *count(list(chain.from_iterable(texts)))])
            bounds = np.cumsum([0, *map(len, texts)])
            places = [row.position for row in batch]
            counts[places] = np.diff(sizes[bounds]) + list(map(ends, texts))
        return counts.tobytes()

    flawed = np.not_equal(rows.table.column("flaw").to_numpy(), "")
    shape = sorted(rows.shape.as_dict().items())
    whole = [*key, digest_of(rows.hashes, flawed, shape)]
    return np.frombuffer(kept_bytes("tokens", "token counts", whole, make), dtype="<i8")


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
