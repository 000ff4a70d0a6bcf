"""What a model was trained on, as far as its run can prove it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import FILE, read_registry
from curate.system.files import sha256_of
from curate.system.manifest import read_manifest

RUN, CONFIG = "run.json", "train.yaml"
# What else decides which rows are trained on; with one of them the validation part is not known.
_OTHERWISE = ("eval_dataset", "streaming", "tokenized_path", "mix_strategy", "interleave_probs")
_SEED = 42  # of transformers, where the config has none


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
        asked: Digests of every prompt in it, see prompt_digests().
        sources: The files that its rows were chosen from; empty if not known.
    """

    name: str
    folder: Path
    hashes: frozenset[int]
    asked: frozenset[bytes]
    sources: tuple[SourceFile, ...] = ()

    def has(self, row: Row, content_hash: int) -> bool:
        """Tell whether a row, or another with its last prompt, is in the data set."""
        digests = list(prompt_digests(row))
        return content_hash in self.hashes or (bool(digests) and digests[-1] in self.asked)


def prompt_digests(row: Row) -> Iterator[bytes]:
    """Yield one digest for each point at which a conversation waits for an answer.

    White space does not count: a prompt that was only set otherwise is the same prompt.
    """
    digest = hashlib.sha256()
    for turn in row.turns:
        text = f"{turn.role}\0{' '.join(turn.content.split())}\0"
        digest.update(text.encode("utf-8", "surrogatepass"))
        if turn.role == "user":
            yield digest.digest()[:16]


def read_run(folder: Path) -> dict[str, Any] | None:
    """Return what `train` noted of a run, None for a folder that is no run."""
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); train the model again") from error
    if not isinstance(run, dict) or run.get("format") != 1:
        raise DataError(f"{path} is not what `train` writes; give another folder with --tuned")
    return run


def trained_before(run: dict[str, Any] | None) -> str:
    """Return what a run went on from that was trained as well, '' if it was a model as it came."""
    if run is None:
        return ""
    if (run.get("parents") or {}).get("adapter"):
        return "an adapter that was trained before"
    model = str(run.get("model") or "")
    return f"the run {model}" if model and (Path(model).expanduser() / RUN).is_file() else ""


def trained_on(name: str, folder: Path, sha256: str | None = None) -> TrainedOn:
    """Read a data set that a model was trained on.

    Example:
        >>> trained_on("huatuo_ifd", Path("data")).sources[0].name
        'huatuo.json'
    """
    rows = read(_data_file(name, folder, sha256))
    manifest = read_manifest(folder / f"{name}.manifest.json") or {}
    hashes = frozenset(rows.hashes.tolist())
    return TrainedOn(name, folder, hashes, _prompts_in(rows), _sources(manifest))


def _prompts_in(rows: Iterable[Row]) -> frozenset[bytes]:
    return frozenset(digest for row in rows for digest in prompt_digests(row))


def _sources(manifest: dict[str, Any]) -> tuple[SourceFile, ...]:
    """Return the files that a manifest names; none if one of them cannot be read as such."""
    try:
        return tuple(
            SourceFile(
                name=str(source["name"]),
                sha256=str(source["sha256"]),
                format=str(source.get("format", "")),
                fill=dict(source.get("fill") or {}),
            )
            for source in manifest.get("sources") or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _data_file(name: str, folder: Path, sha256: str | None) -> Path:
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


def validation_places(rows: int, share: float, seed: int) -> NDArray[np.int64]:
    """Return where the rows of a run's validation part stand, in the order of the file.

    LLaMA-Factory draws it with `train_test_split` of the library datasets, which takes the first
    places of a permutation that NumPy draws from the run's seed.

    Example:
        >>> validation_places(10, 0.2, 0)
        array([4, 6])
    """
    count = int(share) if share > 1 else math.ceil(share * rows)
    drawn: NDArray[np.int64] = np.random.default_rng(seed).permutation(rows)[:count]
    return np.sort(drawn)


def training_part(folder: Path, run: dict[str, Any], dataset_dir: Path) -> tuple[Rows, TrainedOn]:
    """Return a run's data set, and which of its rows were trained on and are no validation part."""
    config = _config(folder, run)
    dataset = run["dataset"]
    name = str(dataset["name"])
    rows = read(_data_file(name, dataset_dir, str(dataset["data_sha256"])))
    used = min(len(rows), int(config.get("max_samples") or len(rows)))
    seed = int(config.get("seed", _SEED))
    held = set(validation_places(used, float(config["val_size"]), seed).tolist())
    training = [row for row in rows if row.position < used and row.position not in held]
    hashes = frozenset(int(rows.hashes[row.position]) for row in training)
    return rows, TrainedOn(name, dataset_dir, hashes, _prompts_in(training))


def _config(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    path = folder / CONFIG
    unproven = f"the validation part of {folder} cannot be proven: "
    if not path.is_file() or sha256_of(path) != run.get("config_sha256"):
        raise DataError(f"{unproven}{CONFIG} is not the one that the run was started with")
    if not (run.get("dataset") or {}).get("data_sha256"):
        raise DataError(f"{unproven}run.json does not say what the data file was")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or not float(config.get("val_size") or 0) > 0:
        raise DataError(f"{folder} has no validation part: its config has no val_size")
    if others := [key for key in _OTHERWISE if config.get(key)]:
        raise DataError(f"{unproven}its config has {', '.join(others)}")
    return config
