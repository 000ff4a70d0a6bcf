"""Placeholders in rows, `{{name}}`, and the values that a user puts there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from curate.data.row_keys import leaves
from curate.errors import UsageError

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_KEY = re.compile(r"[A-Za-z_]\w*")


def placeholders(value: Any) -> set[str]:
    """Return the names between double braces that stand in any text of a value."""
    return {n for text in leaves(value) if "{{" in text for n in _PLACEHOLDER.findall(text)}


def filled(value: Any, fill: Mapping[str, str]) -> Any:
    """Return a value with a text for each placeholder that is named; the others stay."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        return _PLACEHOLDER.sub(lambda match: fill.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {key: filled(inner, fill) for key, inner in value.items()}
    return [filled(item, fill) for item in value] if isinstance(value, list) else value


def pairs(texts: Sequence[str]) -> dict[str, str]:
    allowed = (
        "NAME=TEXT with the NAME that stands between double braces in the rows; give for example "
        "--fill name=小医 author=我们"
    )
    return checked(words_named("--fill", texts, allowed, _KEY))


def words_named(
    option: str, texts: Sequence[str], allowed: str, name: re.Pattern[str] = re.compile("(?s).+")
) -> dict[str, str]:
    """Return the NAME=TEXT texts of an option as a mapping."""
    named: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not name.fullmatch(key):
            raise UsageError(f"{option} {text!r}: allowed is {allowed}")
        if named.setdefault(key, value) != value:
            raise UsageError(
                f"{option} gives {key!r} twice, two values, {named[key]!r} and {value!r}; give one"
            )
    return named


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
