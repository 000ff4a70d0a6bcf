"""What a model was trained on, as far as its run can prove it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.data.manifest import read_manifest, sha256_of
from curate.data.read import read
from curate.data.registry import FILE, read_registry
from curate.data.rows import Row
from curate.errors import DataError, UsageError, did_you_mean

RUN = "run.json"


def trained_before(run: dict[str, Any] | None) -> str:
    """Return what a run went on from that was trained as well, '' if it was a model as it came.

    Args:
        run: Its run.json.
    """
    if run is None:
        return ""
    if (run.get("parents") or {}).get("adapter"):
        return "an adapter that was trained before"
    model = str(run.get("model") or "")
    return f"the run {model}" if model and (Path(model).expanduser() / RUN).is_file() else ""


@dataclass(frozen=True)
class SourceFile:
    """A file that rows were chosen from, as a manifest has it.

    Attributes:
        name: Without its folder.
        sha256: Of its bytes.
        format: Reader of its rows.
        fill: Placeholder to the text that was put there.
    """

    name: str
    sha256: str
    format: str = ""
    fill: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedOn:
    """A data set, by what its rows say.

    Attributes:
        name: In dataset_info.json.
        folder: Of dataset_info.json.
        hashes: Content hashes of its rows.
        asked: Digests of every prompt in it, see digests().
        sources: The files that its rows were chosen from; empty if not known.
        rows: How many it has.
    """

    name: str
    folder: Path
    hashes: frozenset[int]
    asked: frozenset[bytes]
    sources: tuple[SourceFile, ...] = ()
    rows: int = 0

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


def data_file(name: str, folder: Path, sha256: str | None = None) -> Path:
    """Return the file of a data set that a model was trained on.

    Args:
        name: In dataset_info.json.
        folder: Of dataset_info.json.
        sha256: What the file was when the model was trained, where that is known.

    Raises:
        UsageError: There is no such data set.
        DataError: Its file is gone, or has changed since the training.
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
    return path


def trained_on(name: str, folder: Path, sha256: str | None = None) -> TrainedOn:
    """Read a data set that a model was trained on.

    Args:
        name: In dataset_info.json.
        folder: Of dataset_info.json.
        sha256: See data_file().

    Raises:
        UsageError: There is no such data set.
        DataError: Its file is gone, or has changed since the training.

    Example:
        >>> trained_on("huatuo_ifd", Path("data")).sources[0].name
        'huatuo.json'
    """
    rows = read(data_file(name, folder, sha256))
    manifest = read_manifest(folder / f"{name}.manifest.json") or {}
    hashes = frozenset(rows.hashes.tolist())
    return TrainedOn(name, folder, hashes, _asked(rows), _sources(manifest), len(rows))


def _sources(manifest: dict[str, Any]) -> tuple[SourceFile, ...]:
    """Return the files that a manifest names; none if one of them cannot be read as such."""
    try:
        return tuple(
            SourceFile(
                str(each["name"]),
                str(each["sha256"]),
                str(each.get("format", "")),
                dict(each.get("fill") or {}),
            )
            for each in manifest.get("sources") or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _asked(rows: Iterable[Row]) -> frozenset[bytes]:
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
