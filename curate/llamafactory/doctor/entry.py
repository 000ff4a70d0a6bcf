"""An entry of dataset_info.json: what LLaMA-Factory makes of it, and what most people write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from curate.data.schema import CANONICAL_TAGS as TAGS
from curate.errors import did_you_mean
from curate.llamafactory.doctor.rules import Ends

if TYPE_CHECKING:
    from curate.data.rows import Rows

__all__ = ["COLUMNS", "FORMATTINGS", "STAGES", "TAGS", "Attributes", "attributes", "stage_of"]
FORMATTINGS = ("alpaca", "sharegpt", "openai")
# What is typed, to the stage that LLaMA-Factory's loader knows.
STAGES = {"pt": "pt", "sft": "sft", "rm": "rm", "dpo": "rm", "kto": "kto"}
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
_KEYS = (
    *("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"),
    *("formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags"),
)
# What LLaMA-Factory's own README names for rows of role and content.
_NAMED_TAGS = ("role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag")


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
    values = {each.name: entry[each.name] for each in fields(Attributes) if each.name in entry}
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        if part in entry:
            if not isinstance(entry[part], dict):
                raise Ends("entry_broken", f"`{part}` is no JSON object")
            values[part] = {name: entry[part].get(name) for name in names}
    return Attributes(**values)


def stage_of(attr: Attributes) -> str:
    """Return the stage that an entry is most likely meant for."""
    if attr.ranking:
        return "dpo"
    if attr.columns["kto_tag"]:
        return "kto"
    return "sft" if attr.formatting != "alpaca" or attr.columns["response"] else "pt"


def entry_ends(attr: Attributes, stage: str) -> Iterator[tuple[str, str]]:
    """Yield what of an entry ends LLaMA-Factory whatever the rows say."""
    pairs = STAGES[stage] == "rm"
    if (pairs and attr.ranking is False) or (not pairs and attr.ranking is True):
        yield (
            "wrong_stage",
            f"stage {stage} with `ranking`: {str(attr.ranking).lower()}: ValueError: The dataset "
            "is not applicable in the current training stage.",
        )
    if attr.split != "train" and not _is_slice(attr.split):
        yield "unknown_split", f"ValueError: Unknown split {attr.split!r}"


def entry_notes(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what may be a mistake in an entry, or changes what it means."""
    for key in entry:
        if key not in _KEYS:
            yield "unknown_key", f"`{key}`.{did_you_mean(key, _KEYS)}"
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        for key in entry[part] if isinstance(entry.get(part), dict) else ():
            if key not in names:
                yield "unknown_key", f"`{key}` in `{part}`.{did_you_mean(key, names)}"
    # Columns that the file lacks need not be named; the rows tell which are missed.
    tags = entry.get("tags")
    missing = [tag for tag in TAGS if tag not in tags] if isinstance(tags, dict) else []
    if missing and entry.get("formatting", "alpaca") != "alpaca":
        yield "partial_tags", f"without {', '.join(missing)}"
    if _is_slice(entry.get("split")):
        yield "split_slice", str(entry["split"])
    if entry.get("num_samples") is not None:
        yield "num_samples", str(entry["num_samples"])


def _is_slice(split: Any) -> bool:
    return isinstance(split, str) and split.startswith("train[")


def usual_entry(rows: Rows | None, first: dict[str, Any], file_name: str) -> dict[str, Any]:
    """Return the entry that most people would write: columns only where there is no default.

    Example:
        >>> usual_entry(read("dpo_zh.jsonl"), first_row, "dpo_zh.jsonl")
        {'file_name': 'dpo_zh.jsonl', 'formatting': 'sharegpt', 'ranking': True, 'columns': {…}}
    """
    entry: dict[str, Any] = {"file_name": file_name}
    shape = rows.shape if rows else None
    if shape is None or any(key not in first for key in shape.columns.values()):
        # Rows that LLaMA-Factory does not load as curate reads them.
        if isinstance(first.get("conversations"), list) or isinstance(first.get("messages"), list):
            entry["formatting"] = "sharegpt"
        if list(first) == ["text"]:
            entry["columns"] = {"prompt": "text"}
        return entry
    of_messages = shape.formatting == "sharegpt"
    if of_messages:
        entry["formatting"] = "sharegpt"
    if shape.ranking:
        entry["ranking"] = True
    columns = dict(shape.columns)
    if isinstance(first.get("kto_tag"), str | bool | int):
        columns["kto_tag"] = "kto_tag"
    # `input` is a default, too: an entry without columns wants it to be there.
    needed = {"messages"} if of_messages else {"prompt", "response"} | ({"query"} & set(columns))
    if {"chosen", "rejected", "kto_tag"} & set(columns) or any(
        columns.get(column) != COLUMNS[column] for column in needed
    ):
        entry["columns"] = {each: columns[each] for each in COLUMNS if each in columns}
    tags = shape.tags
    if of_messages and any(tags[tag] != TAGS[tag] for tag in ("role_tag", "content_tag")):
        entry["tags"] = {tag: tags[tag] for tag in _NAMED_TAGS}
    return entry
