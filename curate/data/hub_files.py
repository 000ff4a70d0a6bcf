"""Data sets of the Hugging Face hub as files of this machine: what an address means, and fetching.

    hf://OWNER/NAME               all data files; refused where they are of several splits
    hf://OWNER/NAME:train         those of one split
    hf://OWNER/NAME/PATH          one file, or all below a folder, of a split or of none
    hf://OWNER/NAME@REVISION…     of a branch, a tag or a commit (`/` in its name as %2F)

Only files of rows are fetched. A data set that needs its Python script to be read is refused:
nothing that comes from the hub is run.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from curate.errors import DataError, UsageError, did_you_mean

SYNTAX = "hf://OWNER/NAME[@REVISION][:SPLIT] or hf://OWNER/NAME[@REVISION]/PATH"
# A path of the file system has one slash where the address had two.
_ADDRESS = re.compile(
    r"hf:/+(?:datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/:]+))?"
    r"(?:/(?P<path>.+)|:(?P<split>[\w.-]+))?/?"
)
_ROWS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
_NOT_ROWS = (
    "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json",
    "requirements.txt", "license.txt", "config.json",
)  # fmt: skip
# The words by which `datasets` tells splits from names, too.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\..*)")
_SECONDS = 5.0  # to find out whether the hub can be reached at all


@dataclass(frozen=True)
class Address:
    """What a user typed; '' is the newest revision, the whole of it, all splits."""

    repo: str
    revision: str = ""
    path: str = ""
    split: str = ""

    def __str__(self) -> str:
        return (
            f"hf://{self.repo}"
            + (f"@{self.revision}" if self.revision else "")
            + (f"/{self.path}" if self.path else "")
            + (f":{self.split}" if self.split else "")
        )


def is_hub(given: object) -> bool:
    """Tell whether a path is an address of the hub; a Path has lost one of the two slashes."""
    return str(given).startswith("hf:/")


def address(given: object) -> Address:
    """Return an address in its parts; UsageError if it is none."""
    found = _ADDRESS.fullmatch(str(given))
    if not found or ".." in str(given):
        raise UsageError(f"{str(given).replace('hf:/', 'hf://', 1)}: allowed is {SYNTAX}")
    parts = {name: part or "" for name, part in found.groupdict().items()}
    return Address(**{**parts, "revision": unquote(parts["revision"])})


def chosen(wanted: Address, names: Sequence[str]) -> list[str]:
    """Return the files that an address means, of all that a data set has."""
    if wanted.path:
        path = wanted.path.rstrip("/")
        inside = [path] if path in names else _rows(n for n in names if n.startswith(f"{path}/"))
        if not inside:
            hint = did_you_mean(path, names)
            raise DataError(
                f"{wanted}: no such file.{hint} It has {_some(_rows(names)) or 'no files of rows'}"
            )
        return inside
    files = _rows(names)
    if not files:
        script = " but a script, and what comes from the hub is not run"
        has = script if any(name.endswith(".py") for name in names) else ""
        raise DataError(
            f"{wanted} has no files of rows{has}; look on its page where the rows are, fetch them "
            "and give the file"
        )
    splits: dict[str, list[str]] = {}
    for name in files:
        splits.setdefault(split_of(name), []).append(name)
    if wanted.split:
        return _of_split(wanted, splits)
    if len(splits) > 1:
        named = [split for split in splits if split]
        raise UsageError(
            f"{wanted} has files of several splits ({_some(files)}); say which, "
            f"hf://{wanted.repo}:{named[0]}, or name a file, hf://{wanted.repo}/{files[0]}"
        )
    return files


def _of_split(wanted: Address, splits: dict[str, list[str]]) -> list[str]:
    split = next((name for name, words in _WORDS.items() if wanted.split in words), wanted.split)
    if split in splits:
        return splits[split]
    # `datasets` calls files whose names say nothing train; other splits are a word of the name.
    if split == "train" and "" in splits:
        return splits[""]
    files = [name for each in splits.values() for name in each]
    named = [name for name in files if wanted.split in re.split(r"[^0-9A-Za-z]+", name)]
    if not named:
        have = ", ".join(split or "train" for split in splits)
        raise UsageError(
            f"{wanted}: no split '{wanted.split}'.{did_you_mean(wanted.split, splits)} "
            f"It has {have} ({_some(files)})"
        )
    return named


def split_of(name: str) -> str:
    """Return the split that a file's path names, '' if it names none: 'train' of train_zh.json."""
    # The name of the file says more than those of its folders.
    for word in reversed(re.split(r"[^a-z]+", name.lower())):
        for split, known in _WORDS.items():
            if word in known:
                return split
    return ""


def _rows(names: Iterable[str]) -> list[str]:
    """Return the files that may hold rows, in the order of their names."""
    paths = (PurePosixPath(name) for name in names)
    return sorted(
        str(path)
        for path in paths
        if path.suffix.lower() in _ROWS
        and path.name.lower() not in _NOT_ROWS
        and not any(part.startswith(".") for part in path.parts)
        and not path.name.upper().startswith(("README", "LICENSE"))
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def hub_files(given: object) -> list[tuple[str, Path]]:
    """Return the files of an address, fetched, each with the name to call it by.

    The hub is asked for the newest revision first; where it cannot be reached, what an earlier
    run or another program has left in the hub's cache is taken. Files go there unchanged, so
    memory does not grow with their size.

    Example:
        >>> hub_files("hf://owner/name:train")
        [('owner/name/train.json', PosixPath('.../snapshots/6c1b…/train.json'))]
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    wanted = address(given)
    asked: dict[str, Any] = {"revision": wanted.revision or None}
    try:
        api = HfApi()
        info = _within(
            _SECONDS, lambda: api.dataset_info(wanted.repo, timeout=_SECONDS / 2, **asked)
        )
    except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
        return _cached(wanted, error)
    names = chosen(wanted, [each.rfilename for each in info.siblings or ()])
    found = []
    for name in names:
        try:
            # By its name and not by its commit: so that it is found by that name without a network.
            local = hf_hub_download(wanted.repo, name, repo_type="dataset", **asked)
        except EntryNotFoundError as error:
            raise DataError(f"{wanted}: the hub lists '{name}' and does not have it") from error
        except Exception as error:  # noqa: BLE001 - as above
            raise DataError(
                f"{wanted}: '{name}' could not be fetched: {_why(wanted, error)}"
            ) from error
        found.append((f"{wanted.repo}/{name}", Path(local)))
    return found


def _cached(wanted: Address, error: Exception) -> list[tuple[str, Path]]:
    """Return what lies in the hub's cache; say why there is nothing better."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                wanted.repo,
                repo_type="dataset",
                revision=wanted.revision or None,
                local_files_only=True,
            )
        )
    except Exception as missing:  # noqa: BLE001 - hub errors or ValueError, by hub version
        raise DataError(f"{wanted} could not be fetched: {_why(wanted, error)}") from missing
    inside = (path for path in folder.rglob("*") if path.is_file())
    names = chosen(wanted, sorted(path.relative_to(folder).as_posix() for path in inside))
    _refuse_holes(wanted, names)
    return [(f"{wanted.repo}/{name}", folder / name) for name in names]


def _refuse_holes(wanted: Address, names: Sequence[str]) -> None:
    """Refuse a set of which some shards were never fetched: rows would be missing unseen."""
    shards: dict[tuple[str, str, str], set[str]] = {}
    for name in names:
        if found := _SHARD.fullmatch(name):
            start, number, count, end = found.groups()
            shards.setdefault((start, count, end), set()).add(number)
    for (start, count, end), there in shards.items():
        if len(there) < int(count):
            raise DataError(
                f"{wanted}: the hub cannot be reached, and of {start}-…-of-{count}{end} only "
                f"{len(there)} of {int(count)} are in its cache; give the command again with a "
                "network"
            )


def _within(seconds: float, ask: Callable[[], Any]) -> Any:
    """Return ask(); TimeoutError if it takes longer, whatever its own time limits add up to."""
    given: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(ask())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise TimeoutError
    return given[0]


def _why(wanted: Address, error: BaseException) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its owner wants terms accepted on its page first; then `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; leave @… out for the newest"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such data set, or it is private (`hf auth login`)"
    if isinstance(error, HFValidationError):
        return f"that is no valid hub id; allowed is {SYNTAX}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status:
        return f"the hub answered {status}; try again later"
    if isinstance(error, OSError) and error.errno == 28:
        return "the disk is full (HF_HOME names the folder it goes to)"
    return (
        "the hub cannot be reached; fetch the files on a machine that reaches it, from "
        f"huggingface.co/datasets/{wanted.repo}, and give them, or set HF_ENDPOINT to a mirror"
    )
