"""What lies in a model's folder, read without loading anything."""

from __future__ import annotations

import json
from pathlib import Path

from curate.errors import ModelError

CHAT_TEMPLATE = "chat_template.jinja"


def chat_template(folder: Path) -> str:
    """Return the chat template of a tokenizer, of several the default one; '' if it has none."""
    template, config = folder / CHAT_TEMPLATE, folder / "tokenizer_config.json"
    path = template if template.is_file() else config
    if not path.is_file():
        return ""
    try:
        text = path.read_text(encoding="utf-8")
        found = text if path == template else json.loads(text).get("chat_template")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy it again") from error
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""
