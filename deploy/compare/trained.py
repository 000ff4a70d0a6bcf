"""What a model was trained on, as far as its run can prove it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.data.manifest import read_manifest, sha256_of
from curate.data.read import read
from curate.data.registry import FILE, read_registry
from curate.data.rows import Row, Rows
from curate.errors import DataError, UsageError, did_you_mean

RUN = "run.json"


@dataclass(frozen=True)
class TrainedOn:
    """A data set, by what its rows say.

    Attributes:
        name: In dataset_info.json.
        folder: Of dataset_info.json.
        hashes: Content hashes of its rows.
        asked: Digests of every prompt in it, see digests().
        sources: The files that its rows were chosen from, name to sha256; empty if not known.
    """

    name: str
    folder: Path
    hashes: frozenset[int]
    asked: frozenset[bytes]
    sources: dict[str, str]

    def has(self, row: Row, content: int) -> bool:
        """Tell whether a row, or another with its prompt, is in the data set.

        Args:
            row: Any.
            content: Its content hash.
        """
        return content in self.hashes or any(each in self.asked for each in last_digest(row))


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return what `train` noted of a run, None for a folder that is no run.

    Args:
        folder: Given with --tuned.

    Raises:
        DataError: There is a run.json that is no run's.
    """
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); train the model again") from error
    if not isinstance(found, dict) or found.get("format") != 1:
        raise DataError(f"{path} is not what `train` writes; give another folder with --tuned")
    return found


def trained_on(name: str, folder: Path, sha256: str | None = None) -> TrainedOn:
    """Read a data set that a model was trained on.

    Args:
        name: In dataset_info.json.
        folder: Of dataset_info.json.
        sha256: What its data file was when the model was trained, where that is known.

    Raises:
        UsageError: There is no such data set.
        DataError: Its file is gone, or has changed since the training.

    Example:
        >>> trained_on("huatuo_ifd", Path("data")).sources
        {'huatuo.json': 'bf768501…'}
    """
    entries = read_registry(folder)
    entry = entries.get(name)
    if not isinstance(entry, dict):
        known = f"it has {', '.join(sorted(entries))}" if entries else f"there is no {FILE} in it"
        raise UsageError(
            f"--dataset {name}: not in {folder}, {known}.{did_you_mean(name, entries)} "
            "Give --dataset-dir, the folder that `curate` wrote it to"
        )
    path = folder / str(entry.get("file_name", ""))
    if not path.is_file():
        raise DataError(f"data set '{name}': its file '{path}' is gone; make it again")
    if sha256 and sha256_of(path) != sha256:
        raise DataError(
            f"data set '{name}': {path.name} is not what the model was trained on, it has changed "
            "since then; what was held out cannot be proven. Give prompts with --prompts"
        )
    rows = read(path)
    manifest = read_manifest(folder / f"{name}.manifest.json") or {}
    return TrainedOn(name, folder, frozenset(rows.hashes.tolist()), _asked(rows), _from(manifest))


def _from(manifest: dict[str, Any]) -> dict[str, str]:
    listed = manifest.get("sources")
    if not isinstance(listed, list):
        return {}
    return {
        str(each["name"]): str(each["sha256"])
        for each in listed
        if isinstance(each, dict) and "name" in each and "sha256" in each
    }


def _asked(rows: Rows) -> frozenset[bytes]:
    return frozenset(each for row in rows for each in digests(row))


def digests(row: Row) -> Iterator[bytes]:
    """Yield one digest for each point at which a conversation waits for an answer.

    White space does not count: a prompt that was only set otherwise is the same prompt.

    Args:
        row: Any.
    """
    digest = hashlib.sha256()
    for turn in row.turns:
        said = f"{turn.role}\0{' '.join(turn.content.split())}\0"
        digest.update(said.encode("utf-8", "surrogatepass"))
        if turn.role == "user":
            yield digest.digest()[:16]


def last_digest(row: Row) -> list[bytes]:
    """Return the digest of the last prompt of a row, as a list of one; empty without a prompt.

    Args:
        row: Any.
    """
    return list(digests(row))[-1:]
