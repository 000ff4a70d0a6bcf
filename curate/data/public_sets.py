"""The public data sets that curate knows: where they are, what they become, what to watch for."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curate.errors import UsageError, did_you_mean

_FILE = Path(__file__).with_name("catalogue.toml")
# What is at hand for each kind without further options.
_COMMANDS = {"sft": "ifd", "preference": "dedup", "kto": "dedup", "pretraining": "dedup"}


@dataclass(frozen=True)
class PublicSet:
    name: str  # word for the command line
    about: str
    address: str  # page to look at
    input: str  # what --input takes
    becomes: str  # sft, preference, kto or pretraining
    format: str
    languages: tuple[str, ...]
    rows: int | None = None
    size: str = "unknown"
    licence: str = "unknown"
    fetch: str = ""  # what to do first, where it is not on the hub
    options: str = ""  # what the command needs beside --input
    hazards: tuple[str, ...] = ()  # what to watch for, a sentence each

    @property
    def command(self) -> str:
        return f"curate {_COMMANDS[self.becomes]} --input {self.input} {self.options}".rstrip()

    @property
    def where(self) -> str:
        return self.address.removeprefix("huggingface.co/datasets/")


@cache
def public_sets() -> dict[str, PublicSet]:
    """Return the sets by name, in the order of the table."""
    entries: list[dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))["dataset"]
    for entry in entries:
        entry |= {key: tuple(entry.get(key, ())) for key in ("languages", "hazards")}
    return {entry["name"]: PublicSet(**entry) for entry in entries}


def public_set(name: str) -> PublicSet:
    """Return one set; its hub id or the end of it will do as well."""
    wanted = name.lower().replace("_", "-").removeprefix("hf://")
    for known in public_sets().values():
        address = f"/{known.where}".lower().replace("_", "-")
        if wanted == known.name or address.endswith(f"/{wanted}"):
            return known
    raise UsageError(
        f"no data set '{name}' in the list.{did_you_mean(wanted, public_sets())} `curate datasets` "
        "shows all of it; any other file in a known format is read all the same"
    )
