"""Subsets and splits of a hub's data set, as the head of its README.md names their files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from curate.errors import DataError, did_you_mean
from curate.system.hub import Address

CARD = "README.md"
_HEAD = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
_SIGNS = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])")
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
        signs = [_matcher(str(PurePosixPath(self.folder) / pattern)) for pattern in patterns]
        files = [name for sign in signs for name in sorted(names) if sign.fullmatch(name)]
        if not files:
            raise DataError(
                f"{wanted}: its page names {', '.join(patterns)} as the files of this split, and "
                "there are no such files; look there, fetch the right ones and give them"
            )
        return list(dict.fromkeys(files))


def subset_of(wanted: Address, card: str, name: str) -> Subset:
    """Return a subset by its name, '' for the one that is read unasked, from README.md's text."""
    configs = {str(config.get("config_name")): config for config in _configs(card)}
    if name and name not in configs:
        raise DataError(
            f"{wanted} has no subset '{name}'.{did_you_mean(name, configs)} Its page names "
            f"{', '.join(configs) or 'none'}; correct `subset` in the entry, or leave it out"
        )
    alone = [each for each in configs if len(configs) == 1 or each == "default"]
    alone = alone or [each for each, config in configs.items() if config.get("default")]
    if configs and not name and not alone:
        raise DataError(
            f"{wanted} has the subsets {', '.join(configs)}; name one as `subset` in the entry"
        )
    config = configs[name or alone[0]] if configs else {}
    return Subset(str(config.get("data_dir") or ""), _splits(config.get("data_files")))


def _configs(card: str) -> list[dict[str, Any]]:
    match = _HEAD.match(card)
    try:
        head = yaml.safe_load(match[1]) if match else None
    except (yaml.YAMLError, ValueError):
        return []
    configs = head.get("configs") if isinstance(head, dict) else None
    return [each for each in configs or () if isinstance(each, dict)]


def _splits(files: Any) -> dict[str, list[str]]:
    """Return split to patterns: a card has one text, several, or objects of split and path."""
    splits: dict[str, list[str]] = {}
    for item in files if isinstance(files, list) else [files] if files else ():
        part = item if isinstance(item, dict) else {"split": "train", "path": item}
        paths = part.get("path") or []
        patterns = paths if isinstance(paths, list) else [paths]
        splits.setdefault(str(part.get("split")), []).extend(map(str, patterns))
    return splits


def _matcher(pattern: str) -> re.Pattern[str]:
    """Return a pattern of file names as an expression; `*` stays in a folder, `**` does not."""
    parts = (_WILD.get(p, p if p[:1] == "[" else re.escape(p)) for p in _SIGNS.split(pattern))
    return re.compile("".join(parts))
