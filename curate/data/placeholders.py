"""Placeholders in rows, `{{name}}`, and the values that a user puts there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curate.errors import UsageError

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_KEY = re.compile(r"[A-Za-z_]\w*")


def placeholders(value: Any) -> set[str]:
    """Return the names between double braces that stand in any text of a value."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value)) if "{{" in value else set()
    if not isinstance(value, dict | list):
        return set()
    inner = value.values() if isinstance(value, dict) else value
    return {name for item in inner for name in placeholders(item)}


def filled(value: Any, fill: Mapping[str, str]) -> Any:
    """Return a value with a text for each placeholder that is named; the others stay."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        return _PLACEHOLDER.sub(lambda match: fill.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {key: filled(inner, fill) for key, inner in value.items()}
    return [filled(item, fill) for item in value] if isinstance(value, list) else value


def pairs(texts: list[str]) -> dict[str, str]:
    """Return `name=value` texts as a mapping."""
    fill: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise UsageError(
                f"--fill {text!r}: allowed is NAME=TEXT with the NAME that stands between double "
                "braces in the rows; give for example --fill name=小医 author=我们"
            )
        if fill.setdefault(key, value) != value:
            raise UsageError(
                f"--fill gives {key!r} two values, {fill[key]!r} and {value!r}; give one"
            )
    return checked(fill)


def checked(fill: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping whose every name and text can be put into rows."""
    for name, text in fill.items():
        if not isinstance(name, str) or not _KEY.fullmatch(name):
            raise UsageError(f"fill {name!r}: allowed is a name of letters, digits and _")
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise UsageError(f"fill {name}={text!r}: allowed is a text that is not empty; give one")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"fill {name}={text!r} is no UTF-8; give it as UTF-8") from None
    return dict(fill)
