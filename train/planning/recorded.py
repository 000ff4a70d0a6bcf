"""What LLaMA-Factory 0.9.5 takes, written down: a plan can be made where it is not installed."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).parent / "llamafactory.json"


@dataclass(frozen=True)
class Key:
    """A key of LLaMA-Factory's YAML.

    Attributes:
        kind: Of its value.
        many: Whether it takes a list.
        choices: What is allowed, () for anything of its kind.
        empty: Whether it may be left without a value.
    """

    kind: Literal["bool", "int", "float", "str", "json"]
    many: bool = False
    choices: tuple[str, ...] = ()
    empty: bool = False


@functools.cache
def keys() -> Mapping[str, Key]:
    """Return every key that a training may be given."""
    told = _read()["keys"]
    return {
        name: Key(**{**each, "choices": tuple(each.get("choices", ()))})
        for name, each in told.items()
    }


@functools.cache
def templates() -> Mapping[str, tuple[str, ...]]:
    """Return the templates, each with the words that it makes tokens of if they are none yet."""
    return {name: tuple(words) for name, words in _read()["templates"].items()}


@functools.cache
def template_of() -> Mapping[str, str]:
    """Return the last part of a model's name, in small letters, to the template meant for it."""
    return {name: template for template, names in _read()["models"].items() for name in names}


@functools.cache
def absent(release: str) -> frozenset[str]:
    """Return the keys that an older release has not."""
    return frozenset(_read()["absent"].get(release, ()))


@functools.cache
def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found
