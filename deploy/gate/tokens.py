"""How many tokens a text has, without the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def counter(path: Path | None) -> Callable[[str], int]:
    """Return a function that counts tokens; without a tokenizer every text counts as empty.

    Args:
        path: tokenizer.json, None if the model has none.
    """
    if path is None:
        return _unknown
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count


def _unknown(text: str) -> int:
    return 0
