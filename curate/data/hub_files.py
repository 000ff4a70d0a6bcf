"""Data sets of the hubs as files of this machine: which files an address means, and fetching.

    hf://OWNER/NAME               all data files; refused where they are of several splits
    hf://OWNER/NAME:train         those of one split
    hf://OWNER/NAME/PATH          one file, or all below a folder, of a split or of none
    hf://OWNER/NAME@REVISION…     of a branch, a tag or a commit (`/` in its name as %2F)

ms:// in the place of hf:// is ModelScope. Only files of rows are fetched. A data set that needs its
Python script to be read is refused: nothing that comes from a hub is run.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from curate.data.packed import ROWS, listed
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.hub import DATASET, HUBS, Address, address, why_not

_PACKED = (".gz", ".zst", ".bz2", ".xz")
_NOT_ROWS = (
    "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json",
    "requirements.txt", "license.txt", "config.json",
)  # fmt: skip
# The words by which `datasets` tells splits from names, too.
_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(\..*)")
# Shards in this folder have the split itself for a name: data/train_sft-00000-of-00003.parquet.
_OF_SPLIT = re.compile(r"data/(\w+)-\d{5}-of-\d{5}.*")


def chosen(wanted: Address, names: Sequence[str], subset: Subset | None = None) -> list[str]:
    """Return the files that an address means, of all that a data set has."""
    subset = subset or Subset()
    if subset.splits and not wanted.path:
        return subset.files(wanted, names)
    path, files = (wanted.path or subset.folder).rstrip("/"), _rows(names)
    if path:
        inside = [path] if path in names else [n for n in files if n.startswith(f"{path}/")]
        if not inside:
            raise DataError(
                f"{wanted}: no such file.{did_you_mean(path, names)} "
                f"It has {listed(files) or 'no files of rows'}"
            )
        if not wanted.split:
            return inside
        files = inside
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
        split = _WORDS.get(wanted.split, wanted.split)
        # `datasets` calls files whose names say nothing train; other splits are a word of the name.
        named = splits.get(split) or (splits.get("") if split == "train" else None)
        word = re.compile(rf"(?<![0-9A-Za-z]){re.escape(wanted.split)}(?![0-9A-Za-z])")
        named = named or [name for name in files if word.search(name)]
        if not named:
            raise UsageError(
                f"{wanted}: no split '{wanted.split}'.{did_you_mean(wanted.split, splits)} "
                f"It has {', '.join(split or 'train' for split in splits)} ({listed(files)})"
            )
        return named
    if len(splits) > 1:
        first = next(split for split in splits if split)
        raise UsageError(
            f"{wanted} has files of several splits ({listed(files)}); say which, "
            f"{wanted.hub}://{wanted.repo}:{first}, or name a file, "
            f"{wanted.hub}://{wanted.repo}/{files[0]}"
        )
    return files


def split_of(name: str) -> str:
    """Return the split that a file's path names, '' if it names none: 'train' of train_zh.json."""
    if shard := _OF_SPLIT.fullmatch(name):
        return _WORDS.get(shard[1], shard[1])
    # The name of the file says more than those of its folders.
    words = reversed(re.split(r"[^a-z]+", name.lower()))
    return next((_WORDS[word] for word in words if word in _WORDS), "")


def _rows(names: Iterable[str]) -> list[str]:
    return sorted(
        str(path)
        for path in map(PurePosixPath, names)
        if (path.with_suffix("") if path.suffix in _PACKED else path).suffix.lower() in ROWS
        and path.name.lower() not in _NOT_ROWS
        and not any(part.startswith(".") for part in path.parts)
        and not path.name.upper().startswith(("README", "LICENSE"))
    )


def hub_files(source: object, subset: str = "") -> list[tuple[str, Path]]:
    """Return the files of an address, fetched, each with the name to call it by.

    The hub is asked for the newest revision first; where it cannot be reached, what an earlier
    run or another program has left in the hub's cache is taken. Files go there unchanged, so
    memory does not grow with their size. An Address is read as `datasets` reads it, by the data
    set's card; what a user typed names files.
    """
    wanted, by_card = (source, True) if isinstance(source, Address) else (address(source), False)
    hub = HUBS[wanted.hub]

    def described(folder: Path | None) -> Subset | None:
        path = folder / CARD if folder else None
        card = path.read_text("utf-8", "replace") if path and path.is_file() else ""
        return subset_of(wanted, card, subset) if by_card else None

    def unreachable(error: Exception) -> DataError:
        elsewhere = (
            "or fetch the files on a machine that reaches it, from "
            f"{hub.site}/datasets/{wanted.repo}, and give them"
        )
        why = why_not(error, DATASET, wanted, elsewhere)
        return DataError(f"{wanted} could not be fetched: {why}")

    try:
        listing = hub.files(DATASET, wanted)
    except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub and version
        folder = hub.cached(DATASET, wanted)
        if folder is None:
            raise unreachable(error) from error
        names = _cached(wanted, folder, described(folder))
    else:
        try:
            card = {CARD: listing[CARD]} if by_card and CARD in listing else {}
            described_in = hub.fetch(DATASET, wanted, card) if card else None
            names = chosen(wanted, list(listing), described(described_in))
            folder = hub.fetch(DATASET, wanted, {name: listing[name] for name in names})
        except (DataError, UsageError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise unreachable(error) from error
        for name in names:
            if not (folder / name).is_file():
                raise DataError(f"{wanted}: the hub lists '{name}' and does not have it")
    return [(f"{wanted.repo}/{name}", folder / name) for name in names]


def _cached(wanted: Address, folder: Path, subset: Subset | None) -> list[str]:
    inside = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    names = chosen(wanted, sorted(path.as_posix() for path in inside), subset)
    # A set of which some shards were never fetched would miss rows unseen.
    shards = [match.groups() for name in names if (match := _SHARD.fullmatch(name))]
    for start, count, end in shards:
        if shards.count((start, count, end)) < int(count):
            raise DataError(
                f"{wanted}: the hub cannot be reached, and of {start}-…-of-{count}{end} only "
                f"{shards.count((start, count, end))} of {int(count)} are in its cache; give the "
                "command again with a network"
            )
    return names


CARD = "README.md"
_HEAD = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
_SIGNS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])")
# What stands for more than itself; of the rest `fnmatch` makes (?s:…)\Z.
_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Subset:
    """What a card says of one subset: the folder of its files, and each split's patterns."""

    folder: str = ""
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def files(self, wanted: Address, names: Sequence[str]) -> list[str]:
        """Return the files of an address's split, of all that the data set has."""
        if wanted.split not in self.splits:
            raise DataError(
                f"{wanted}: no split '{wanted.split}'.{did_you_mean(wanted.split, self.splits)} "
                f"Its page names {', '.join(self.splits)}; correct `split` in the entry"
            )
        patterns = self.splits[wanted.split]
        paths = [_SIGNS.split(str(PurePosixPath(self.folder) / pattern)) for pattern in patterns]
        # `*` stays in a folder, `**` does not.
        signs = [
            re.compile("".join(_WILD.get(p, fnmatch.translate(p)[4:-3]) for p in parts))
            for parts in paths
        ]
        files = [name for sign in signs for name in sorted(names) if sign.fullmatch(name)]
        if not files:
            raise DataError(
                f"{wanted}: its page names {', '.join(patterns)} as the files of this split, and "
                "there are no such files; look there, fetch the right ones and give them"
            )
        return list(dict.fromkeys(files))


def subset_of(wanted: Address, card: str, name: str) -> Subset:
    """Return a subset by its name, '' for the one that is read unasked, from README.md's text."""
    match = _HEAD.match(card)
    try:
        head = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError):
        head = None
    every = head.get("configs") if isinstance(head, dict) else None
    every = every if isinstance(every, list) else []
    configs = {str(c.get("config_name")): c for c in every if isinstance(c, dict)}
    if name and name not in configs:
        raise DataError(
            f"{wanted} has no subset '{name}'.{did_you_mean(name, configs)} Its page names "
            f"{', '.join(configs) or 'none'}; correct `subset` in the entry, or leave it out"
        )
    alone = [key for key in configs if len(configs) == 1 or key == "default"]
    alone = alone or [key for key, config in configs.items() if config.get("default")]
    if configs and not name and not alone:
        raise DataError(
            f"{wanted} has the subsets {', '.join(configs)}; name one as `subset` in the entry"
        )
    config = configs[name or alone[0]] if configs else {}
    # A card has one text, several, or objects of split and path.
    files, splits = config.get("data_files"), dict[str, list[str]]()
    for item in files if isinstance(files, list) else [files] if files else ():
        part = item if isinstance(item, dict) else {"split": "train", "path": item}
        paths = part.get("path") or []
        patterns = paths if isinstance(paths, list) else [paths]
        splits.setdefault(str(part.get("split")), []).extend(map(str, patterns))
    return Subset(str(config.get("data_dir") or ""), splits)
