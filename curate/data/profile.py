"""Kinds of values at every place of a file's rows, found once for each file.

With them, rows can be copied as text: that no value has to be changed is known beforehand.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.data.cache import cache_dir
from curate.data.columns import Place, collect
from curate.data.rows import Rows
from curate.data.store import READER
from curate.data.stretches import stretches

# Part of the key: a changed way of looking never takes an older answer.
_LOOKING = "1"


@dataclass
class Profile:
    """What is known of some rows.

    Attributes:
        rows: How many.
        keys: Key to the rows that have it.
        kinds: Place to the kinds of the values there.
    """

    rows: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    kinds: dict[Place, set[str]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Look at one row.

        Args:
            row: Any.
        """
        self.rows += 1
        self.keys.update(row.keys())
        collect(row, self.kinds)

    def join(self, other: Profile) -> None:
        """Take over what is known of other rows.

        Args:
            other: Of them.
        """
        self.rows += other.rows
        self.keys.update(other.keys)
        for place, kinds in other.kinds.items():
            self.kinds.setdefault(place, set()).update(kinds)

    def same_keys(self) -> bool:
        """Tell whether every row has every key."""
        return all(count == self.rows for count in self.keys.values())


def profile_of(rows: Rows) -> Profile:
    """Return the profile of a file's rows that have no flaw; the second time, nothing is parsed.

    Args:
        rows: Of one file.
    """
    source = rows.sources[0]
    said = [_LOOKING, READER, source.sha256, source.format, source.fill, source.rows, len(rows)]
    mark = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_dir() / "profiles" / f"{mark}.json"
    if (known := _load(path)) is not None:
        return known
    found = Profile()
    for value in _values(rows):
        found.add(value)
    _save(path, found)
    return found


def _values(rows: Rows) -> Iterator[dict[str, Any]]:
    for block in stretches(rows.table.select(["raw", "flaw"])):
        pairs = zip(block.column("raw").to_pylist(), block.column("flaw").to_pylist(), strict=True)
        yield from (json.loads(raw) for raw, flaw in pairs if not flaw)


def _load(path: Path) -> Profile | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        kinds = {tuple(place): set(kinds) for place, kinds in known["kinds"]}
        return Profile(known["rows"], Counter(known["keys"]), kinds)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(path: Path, found: Profile) -> None:
    kinds: Iterable[Any] = ([place, sorted(kinds)] for place, kinds in found.kinds.items())
    text = json.dumps({"rows": found.rows, "keys": found.keys, "kinds": [*kinds]})
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # it can be found again
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
