"""What is registered in a data folder, and what made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.llamafactory.dataset_info import read_registry
from curate.system.manifest import read_manifest


@dataclass(frozen=True)
class Registered:
    """A data set that LLaMA-Factory can find.

    Attributes:
        name: In dataset_info.json.
        recipe: That made it, '-' where curate did not.
        kept: Rows it has, '-' where that is not known.
        read: Rows it was chosen from, '-' where that is not known.
        sources: Names of the files it was made from, or of its own file.
    """

    name: str
    recipe: str
    kept: int | str
    read: int | str
    sources: str


def registered(folder: Path) -> list[Registered]:
    """Return the data sets of a folder in the order of its dataset_info.json."""
    found = []
    for name, entry in read_registry(folder).items():
        manifest = read_manifest(folder / f"{name}.manifest.json") or {}
        counts = manifest.get("counts", {})
        names = [source.get("name", "?") for source in manifest.get("sources", [])]
        own = entry.get("file_name", "-") if isinstance(entry, dict) else "-"
        kept, read = counts.get("kept", "-"), counts.get("read", "-")
        made_by = manifest.get("recipe", "-")
        found.append(Registered(name, made_by, kept, read, ", ".join(names) or own))
    return found
