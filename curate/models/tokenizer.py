"""Loading a model's tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.resolve import ModelFiles
from curate.models.weights import reason

# tokenizer.json alone describes these. AutoTokenizer would give the same object, after seconds
# of importing what only forward passes need.
_PLAIN_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}


def load_tokenizer(files: ModelFiles, trust_remote_code: bool = False) -> Any:
    """Return a transformers tokenizer.

    Args:
        files: The model's.
        trust_remote_code: Run Python files that come with the model.

    Raises:
        ModelError: It cannot be read, or wants to run code of its own.
    """
    try:
        if _is_plain(files.folder):
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(files.folder)
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(files.folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
        raise ModelError(
            f"tokenizer of model '{files.name}': {reason(error, files.folder)}"
        ) from error


def _is_plain(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    told = json.loads(settings.read_text(encoding="utf-8"))
    return told.get("tokenizer_class") in _PLAIN_CLASSES and "auto_map" not in told
