"""dataset_info.json, the file in which LLaMA-Factory looks a data set up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from curate.errors import OutputError

if TYPE_CHECKING:
    from curate.data.schema import Shape

FILE = "dataset_info.json"


def entry_for(shape: Shape, file_name: str) -> dict[str, Any]:
    """Return the entry of a data file: all its columns and, for sharegpt, all seven tags.

    LLaMA-Factory sets every column and tag that a partial entry leaves out to None, and loses
    what stands there without a word.
    """
    entry: dict[str, Any] = {"file_name": file_name, "formatting": shape.formatting}
    if shape.ranking:
        entry["ranking"] = True
    entry["columns"] = dict(shape.columns)
    if shape.tags:
        entry["tags"] = dict(shape.tags)
    return entry


def read_registry(folder: Path) -> dict[str, Any]:
    """Return all entries, {} if there is no file yet."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise OutputError(
            f"{path} is broken ({error}); put it right or move it away, then give the command again"
        ) from error
    if not isinstance(found, dict):
        raise OutputError(f"{path} is no JSON object; move it away and give the command again")
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: several runs may emit into it at once."""
    with FileLock(folder / f".{FILE}.lock"):
        yield


def register(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Put one entry in; the others stay as they were. The caller holds the lock."""
    entries = read_registry(folder)
    entries[name] = entry
    # A link stays a link: the file it leads to may be LLaMA-Factory's own.
    path = (folder / FILE).resolve()
    unfinished = path.with_name(f".{FILE}.part")
    text = json.dumps(entries, ensure_ascii=False, indent=2) + "\n"
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        if path.exists():
            shutil.copymode(path, unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
