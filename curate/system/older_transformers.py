"""What transformers 5 writes, said in transformers 4's words too.

Older releases train and serve the same folders. They refuse the tokenizer class that transformers
5 writes, and, worse, take the default where it has renamed the rotary embedding's base.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TOKENIZER_CLASS = "PreTrainedTokenizerFast"
_NEWER_CLASS = "TokenizersBackend"
_TOKENIZER, _CONFIG = EDITED = ("tokenizer_config.json", "config.json")


def for_older_readers(folder: Path) -> list[str]:
    """Repair the names in a model's folder; return what was changed, a line each.

    Example:
        >>> for_older_readers(Path("saves/merged"))
        ['tokenizer_class: TokenizersBackend is PreTrainedTokenizerFast', 'rope_theta: 100000.0']
    """
    changed: list[str] = []
    tokenizer = folder / _TOKENIZER
    if tokenizer.is_file():
        with _edited(tokenizer) as settings:
            if settings.get("tokenizer_class") == _NEWER_CLASS:
                settings["tokenizer_class"] = TOKENIZER_CLASS
                changed.append(f"tokenizer_class: {_NEWER_CLASS} is {TOKENIZER_CLASS}")
            # Older ones expect a mapping under this name; newer ones know both.
            if isinstance(settings.get("extra_special_tokens"), list):
                extra = settings.pop("extra_special_tokens")
                settings.setdefault("additional_special_tokens", extra)
                changed.append("extra_special_tokens is additional_special_tokens")
    if (folder / _CONFIG).is_file():
        with _edited(folder / _CONFIG) as config:
            # Where the weights lay when they were read: a path of one machine.
            config.pop("_name_or_path", None)
            config.pop("_model_name_or_path", None)
            changed += _rotary(config)
    return changed


def _rotary(config: dict[str, Any]) -> list[str]:
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict):
        return []
    full, local = rope.get("full_attention", rope), rope.get("sliding_attention")
    wanted: dict[str, Any] = {}
    if "rope_theta" in full:
        wanted["rope_theta"] = full["rope_theta"]
    # Those with a rope for each kind of layer say their scaling in a way of their own.
    if full is rope and full.get("rope_type", "default") != "default":
        wanted["rope_scaling"] = {key: full[key] for key in full if key != "rope_theta"}
    if local and "rope_theta" in local:
        wanted["rope_local_base_freq"] = local["rope_theta"]
    changed = {key: value for key, value in wanted.items() if config.get(key) != value}
    config.update(changed)
    return [f"{key}: {value}" for key, value in changed.items()]


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
