"""Addresses of data sets of the Hugging Face hub, and which of its files each one means.

    hf://OWNER/NAME               all data files; refused where they are of several splits
    hf://OWNER/NAME:train         those of one split
    hf://OWNER/NAME/PATH          one file, or all below a folder, of a split or of none
    hf://OWNER/NAME@REVISION…     of a branch, a tag or a commit (`/` in its name as %2F)

Only files of rows are fetched. A data set that needs its Python script to be read is refused:
nothing that comes from the hub is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
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


@dataclass(frozen=True)
class Address:
    """What a user typed.

    Attributes:
        repo: Owner and name.
        revision: '' for the newest.
        path: File or folder in it, '' for the whole.
        split: '' for all.
    """

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
    """Tell whether a path is an address of the hub.

    Args:
        given: As typed; a Path has lost one of the two slashes.

    Example:
        >>> is_hub("hf://owner/name"), is_hub(Path("hf://owner/name")), is_hub("data/hf.json")
        (True, True, False)
    """
    return str(given).startswith("hf:/")


def address(given: object) -> Address:
    """Return an address in its parts.

    Args:
        given: As typed.

    Raises:
        UsageError: It is not one.

    Example:
        >>> address("hf://shibing624/medical@main/pretrain/medical_book_zh.json").path
        'pretrain/medical_book_zh.json'
    """
    found = _ADDRESS.fullmatch(str(given))
    if not found or ".." in str(given):
        raise UsageError(f"{str(given).replace('hf:/', 'hf://', 1)}: allowed is {SYNTAX}")
    parts = {name: part or "" for name, part in found.groupdict().items()}
    return Address(**{**parts, "revision": unquote(parts["revision"])})


def chosen(wanted: Address, names: Sequence[str]) -> list[str]:
    """Return the files that an address means, of all that a data set has.

    Args:
        wanted: The address.
        names: Paths in the data set.

    Raises:
        UsageError: Several splits and none was named, or one that is not there.
        DataError: No file of rows.
    """
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
    """Return the split that a file's path names, '' if it names none.

    Args:
        name: Path in the data set.

    Example:
        >>> split_of("data/train-00000-of-00002.parquet"), split_of("dpo_zh.json")
        ('train', '')
    """
    words = [word.lower() for word in re.split(r"[^A-Za-z]+", name)]
    # The name of the file says more than those of its folders.
    for word in reversed(words):
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
