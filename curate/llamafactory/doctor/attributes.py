"""What LLaMA-Factory makes of an entry of dataset_info.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from curate.llamafactory.doctor.rules import Ends

FORMATTINGS = ("alpaca", "sharegpt", "openai")
# LLaMA-Factory's column to the key it reads where the entry has no `columns`.
COLUMNS: dict[str, str | None] = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": None,
    "messages": "conversations",
    "system": None,
    "tools": None,
    "images": None,
    "videos": None,
    "audios": None,
    "chosen": None,
    "rejected": None,
    "kto_tag": None,
}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_SOURCES = (
    *("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"),
)
KEYS = (
    *_SOURCES,
    *("formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags"),
)


@dataclass(frozen=True)
class Attributes:
    """An entry as LLaMA-Factory holds it; columns and tags that it resets are None.

    Attributes:
        formatting: Name of the converter.
        ranking: As the entry has it; anything that is true makes rows pairs.
        split: Of the data; a file has only `train`.
        num_samples: Rows to draw, with repeats where there are too few.
        columns: Column to key.
        tags: Tag to word.
    """

    formatting: Any = "alpaca"
    ranking: Any = False
    split: Any = "train"
    num_samples: Any = None
    columns: Mapping[str, Any] = field(default_factory=lambda: dict(COLUMNS))
    tags: Mapping[str, Any] = field(default_factory=lambda: dict(TAGS))


def attributes(entry: Any) -> Attributes:
    """Return what LLaMA-Factory makes of an entry.

    One column, or one tag, that is given sets all that are not given to None.

    Example:
        >>> attributes({"columns": {"prompt": "text"}}).columns["query"] is None
        True
    """
    if not isinstance(entry, dict):
        raise Ends("entry_broken", "the entry is no JSON object")
    found: dict[str, Any] = {
        each.name: entry[each.name]
        for each in fields(Attributes)
        if each.name in entry and each.name not in ("columns", "tags")
    }
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        if part in entry:
            if not isinstance(entry[part], dict):
                raise Ends("entry_broken", f"`{part}` is no JSON object")
            found[part] = {name: entry[part].get(name) for name in names}
    return Attributes(**found)


def stage_of(attr: Attributes) -> str:
    """Return the stage that an entry is most likely meant for."""
    if attr.ranking:
        return "dpo"
    if attr.columns["kto_tag"]:
        return "kto"
    return "sft" if attr.formatting != "alpaca" or attr.columns["response"] else "pt"
