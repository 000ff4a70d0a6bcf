"""Mixture files: YAML in which every key is known, and every value checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import yaml

from curate.data.bundled import bundled_folder, find_bundled
from curate.errors import DataError, UsageError, did_you_mean
from curate.mixture.ratio import parse_ratios
from curate.mixture.spec import ALLOWED, SIDES, MixSource, Mixture

DEFAULT = "default"
_KEYS = ("domain", "general", "ratio", "by", "model", "stage", "shortage", "seed", "name")
_SOURCE_KEYS = ("path", "weight", "limit", "format", "fill")
_LARGEST = 1 << 20
_DEPTH = 5
_Made = TypeVar("_Made")


def find_mixture(given: str | Path) -> Path:
    """Return the mixture file that is meant: a path, or the name of one that comes with curate.

    Args:
        given: `my.yaml`, `mixtures/mip.yaml`, or `mip`.

    Raises:
        DataError: There is none; the message lists those that come with curate.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return path
    known = {each.stem: each for each in bundled_folder().glob("*.yaml")}
    found = find_bundled(path) or known.get(str(given))
    if found is None:
        raise DataError(
            f"no mixture file '{given}'.{did_you_mean(path.stem, known)} Give a .yaml file, or one "
            f"of those that come with curate: {', '.join(sorted(known))}"
        )
    return found


def read_mixture(path: Path, changes: Mapping[str, Any] | None = None) -> Mixture:
    """Return what a mixture file says; paths in it are relative to its own folder.

    Args:
        path: The file.
        changes: Fields of Mixture that replace what the file says.

    Raises:
        DataError: It is no YAML, or says something that a mixture has not.
        UsageError: A value that is not allowed.
    """
    name = path.name
    given = _parsed(path, name)
    _refuse_unknown(given, _KEYS, name)
    said: dict[str, Any] = {}
    for side in SIDES:
        listed = given.get(side) or []
        items = listed if isinstance(listed, list) else [listed]
        said[side] = tuple(_source(each, path.parent, f"{name}, {side}") for each in items)
    if "ratio" in given:
        said["ratios"] = _told(name, lambda: parse_ratios(given["ratio"]))
    for key in (*ALLOWED, "model", "name"):
        if key in given:
            said[key] = _text(given[key], f"{name}, {key}")
    if "seed" in given:
        said["seed"] = _whole(given["seed"], f"{name}, seed")
    return _told(name, lambda: Mixture(**{**said, **(changes or {})}))


def _told(name: str, make: Callable[[], _Made]) -> _Made:
    """Make something, naming the file if that is refused."""
    try:
        return make()
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _parsed(path: Path, name: str) -> dict[str, Any]:
    """Return the file as lists, dicts and texts: YAML would make the number 65 of a bare 1:5."""
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{name} is larger than any mixture file; give the .yaml file")
        text = path.read_text(encoding="utf-8-sig")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise DataError(f"{name} uses aliases (*name), which are not read; write it out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{name} is no YAML: {_one_line(error)}; put it right there") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{name} is no mixture file ({error}); save it as UTF-8 YAML") from error
    found = _plain(node, name, _DEPTH) if node else {}
    if not isinstance(found, dict):
        raise DataError(f"{name} has no keys; allowed are {', '.join(_KEYS)}")
    return found


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1} column {mark.column + 1}, " if mark else ""
    return f"{where}{getattr(error, 'problem', None) or str(error).splitlines()[0]}"


def _plain(node: yaml.Node, name: str, depth: int) -> Any:
    if not depth:
        raise DataError(f"{name}, line {node.start_mark.line + 1}: nested deeper than a mixture is")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            word = str(key.value)
            if word in found:
                line = key.start_mark.line + 1
                raise DataError(f"{name}, line {line}: {word} is given twice; give it once")
            found[word] = _plain(value, name, depth - 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, name, depth - 1) for each in node.value]
    return node.value


def _refuse_unknown(given: Iterable[str], allowed: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in allowed:
            raise DataError(
                f"{where}: unknown key {key!r}.{did_you_mean(key, allowed)} "
                f"Allowed are {', '.join(allowed)}"
            )


def _source(given: Any, folder: Path, where: str) -> MixSource:
    """Return a source: a path alone, or a path and what belongs to it."""
    told = given if isinstance(given, dict) else {"path": given}
    _refuse_unknown(told, _SOURCE_KEYS, where)
    if "path" not in told:
        raise DataError(f"{where}: a source without path; give it one")
    weight = told.get("weight")
    fill = told.get("fill") or {}
    if not isinstance(fill, dict):
        raise DataError(f"{where}: fill is no list of NAME: TEXT pairs; write fill: {{name: …}}")
    return _told(
        where,
        lambda: MixSource(
            folder / Path(_text(told["path"], f"{where}, path")).expanduser(),
            None if weight is None else _number(weight, f"{where}, weight"),
            _whole(told["limit"], f"{where}, limit") if "limit" in told else None,
            _text(told["format"], f"{where}, format") if "format" in told else None,
            {str(key): _text(text, f"{where}, fill") for key, text in fill.items()},
        ),
    )


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given:
        raise DataError(f"{where}: {given!r} is no text; give one word or path")
    return given


def _whole(given: Any, where: str) -> int:
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,15}", given):
        raise DataError(f"{where}: {given!r} is no whole number; give one")
    return int(given)


def _number(given: Any, where: str) -> Fraction:
    if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", given):
        raise DataError(f"{where}: {given!r} is no number above 0; give one such as 2 or 0.5")
    return Fraction(given)
