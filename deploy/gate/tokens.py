"""How many tokens a text has, without the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curate.errors import ModelError


def counter(folder: Path) -> Callable[[str], int]:
    """Return a function that counts tokens."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"the tokenizer of {folder.name} cannot be loaded ({error})") from error
    return lambda text: len(slow.encode(text, add_special_tokens=False))
