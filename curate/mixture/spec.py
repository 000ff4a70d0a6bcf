"""What a mixture is made of, and the YAML files that say so: every key known, every value checked.

A mixture file is read as lists, dicts and texts, as YAML would make the number 65 of a bare 1:5.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import yaml

from curate.data.samples import bundled_folder, find_bundled
from curate.errors import DataError, UsageError, did_you_mean
from curate.mixture.ratio import Ratio, parse_ratio, parse_ratios

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection

Side = Literal["domain", "general"]
SIDES: tuple[Side, Side] = ("domain", "general")
DEFAULT = "default"
_ALLOWED = {
    "by": ("rows", "tokens"),
    "stage": ("sft", "pt"),
    "shortage": ("error", "shrink", "repeat"),
}
_KEYS = (
    "domain",
    "general",
    "ratio",
    "by",
    "model",
    "stage",
    "shortage",
    "seed",
    "name",
    "good_only",
)
_SOURCE_KEYS = ("path", "weight", "limit", "format", "fill")
_LARGEST = 1 << 20  # bytes of a mixture file
_DEPTH = 5
_WHOLE = r"[0-9]{1,15}"
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,6})?"
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class MixSource:
    """One source of a side.

    Attributes:
        rows: A file, a folder, rows that were read, or what a recipe chose: its kept rows.
        weight: Its part of the side among the side's sources; without weights all rows of a side
            are one heap.
        limit: Rows to take at most, drawn by the seed.
        format: Of the file; told from its content if not given.
        fill: Placeholder to text.
    """

    rows: str | os.PathLike[str] | Rows | Selection
    weight: Fraction | float | None = None
    limit: int | None = None
    format: str | None = None
    fill: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what takes no rows."""
        if self.weight is not None and not 0 < self.weight < math.inf:
            raise UsageError(f"weight {self.weight}: allowed are numbers above 0")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit}: allowed are whole numbers from 1")

    @property
    def label(self) -> str:
        """The source for people, without its folder."""
        if isinstance(self.rows, str | os.PathLike):
            return Path(self.rows).name
        selection: Any = self.rows
        rows: Rows = getattr(selection, "rows", selection)
        return ", ".join(source.name for source in rows.sources)

    def as_dict(self) -> dict[str, Any]:
        """Return the source as a manifest has it."""
        weight = {} if self.weight is None else {"weight": str(self.weight)}
        limit = {} if self.limit is None else {"limit": self.limit}
        format_ = {} if self.format is None else {"format": self.format}
        fill = {"fill": dict(self.fill)} if self.fill else {}
        return {"source": self.label, **weight, **limit, **format_, **fill}


@dataclass(frozen=True)
class Mixture:
    """Domain data and general data at a ratio.

    Attributes:
        domain: Sources of domain data.
        general: Sources of general data.
        ratios: One, or several for a sweep.
        by: What the ratio counts: `rows`, or `tokens` of what is trained on.
        model: Whose tokenizer counts the tokens.
        stage: `sft`, or `pt`: texts for pre-training.
        shortage: What to do when general data does not suffice: `error`, `shrink` (less domain
            data), `repeat` (general rows more than once).
        seed: For what is drawn, and for the order of the output.
        name: Of the data set; '' makes one from the first domain file.
        good_only: Of rows with verdicts, leave out those with a bad one.
    """

    domain: tuple[MixSource, ...]
    general: tuple[MixSource, ...]
    ratios: tuple[Ratio, ...] = (parse_ratio("1:5"),)
    by: str = "rows"
    model: str = "smollm2"
    stage: str = "sft"
    shortage: str = "error"
    seed: int = 0
    name: str = ""
    good_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        for option, allowed in _ALLOWED.items():
            value = str(getattr(self, option))
            if value not in allowed:
                raise UsageError(
                    f"--{option} {value}: allowed are {', '.join(allowed)}."
                    f"{did_you_mean(value, allowed)}"
                )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are whole numbers from 0")
        for side in SIDES:
            asking = [ratio for ratio in self.ratios if getattr(ratio, side)]
            if asking and not self.sources(side):
                raise UsageError(
                    f"ratio {asking[0]} needs {side} data and none is given: give --{side} FILE"
                )

    def sources(self, side: Side) -> tuple[MixSource, ...]:
        """Return the sources of a side."""
        return self.domain if side == "domain" else self.general

    def as_dict(self) -> dict[str, Any]:
        """Return the mixture as a manifest has it: files by their names alone."""
        whole: dict[str, Any] = {"ratios": [str(ratio) for ratio in self.ratios]}
        whole |= {option: getattr(self, option) for option in ("by", "stage", "shortage", "seed")}
        if self.good_only:
            whole["good_only"] = True
        if self.by == "tokens":
            whole["model"] = self.model if not Path(self.model).exists() else Path(self.model).name
        return whole | {side: [each.as_dict() for each in self.sources(side)] for side in SIDES}


def find_mixture(name: str | Path) -> Path:
    """Return the mixture file that is meant: a path, or the name of one that comes with curate."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = {each.stem: each for each in bundled_folder().glob("*.yaml")}
    bundled = find_bundled(path) or known.get(str(name))
    if bundled is None:
        raise DataError(
            f"no mixture file '{name}'.{did_you_mean(path.stem, known)} Give a .yaml file, or one "
            f"of those that come with curate: {', '.join(sorted(known))}"
        )
    return bundled


def read_mixture(path: Path, changes: Mapping[str, Any] | None = None) -> Mixture:
    """Return what a mixture file says; paths in it are relative to its own folder."""
    name = path.name
    values = _parsed(path, name)
    _refuse_unknown(values, _KEYS, name)
    fields: dict[str, Any] = {}
    for side in SIDES:
        listed = values.get(side) or []
        items = listed if isinstance(listed, list) else [listed]
        fields[side] = tuple(_source(item, path.parent, f"{name}, {side}") for item in items)
    if "ratio" in values:
        fields["ratios"] = _in_file(name, lambda: parse_ratios(values["ratio"]))
    for key in (*_ALLOWED, "model", "name"):
        if key in values:
            fields[key] = _text(values[key], f"{name}, {key}")
    if "good_only" in values:
        if not isinstance(values["good_only"], bool):
            raise DataError(f"{name}, good_only: allowed are true and false")
        fields["good_only"] = values["good_only"]
    if "seed" in values:
        fields["seed"] = int(_number(values["seed"], f"{name}, seed", _WHOLE))
    return _in_file(name, lambda: Mixture(**{**fields, **(changes or {})}))


def _in_file(name: str, make: Callable[[], _Made]) -> _Made:
    """Make something, naming the file if that is refused."""
    try:
        return make()
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _parsed(path: Path, name: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{name} is larger than any mixture file; give the .yaml file")
        text = path.read_text(encoding="utf-8-sig")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise DataError(f"{name} uses aliases (*name), which are not read; write it out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} column {mark.column + 1}, " if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{name} is no YAML: {where}{problem}; put it right there") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{name} is no mixture file ({error}); save it as UTF-8 YAML") from error
    values = _plain(node, name, _DEPTH) if node else {}
    if not isinstance(values, dict):
        raise DataError(f"{name} has no keys; allowed are {', '.join(_KEYS)}")
    return values


def _plain(node: yaml.Node, name: str, depth: int) -> Any:
    """Return a part of the file as lists, dicts and texts."""
    if not depth:
        raise DataError(f"{name}, line {node.start_mark.line + 1}: nested deeper than a mixture is")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, name, depth - 1) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    values: dict[str, Any] = {}
    for key, value in node.value:
        if (word := str(key.value)) in values:
            line = key.start_mark.line + 1
            raise DataError(f"{name}, line {line}: {word} is given twice; give it once")
        values[word] = _plain(value, name, depth - 1)
    return values


def _refuse_unknown(keys: Iterable[str], allowed: tuple[str, ...], where: str) -> None:
    for key in keys:
        if key not in allowed:
            raise DataError(
                f"{where}: unknown key {key!r}.{did_you_mean(key, allowed)} "
                f"Allowed are {', '.join(allowed)}"
            )


def _source(item: Any, folder: Path, where: str) -> MixSource:
    """Return a source: a path alone, or a path and what belongs to it."""
    values = item if isinstance(item, dict) else {"path": item}
    _refuse_unknown(values, _SOURCE_KEYS, where)
    if "path" not in values:
        raise DataError(f"{where}: a source without path; give it one")
    path = folder / Path(_text(values["path"], f"{where}, path")).expanduser()
    fill = values.get("fill") or {}
    if not isinstance(fill, dict):
        raise DataError(f"{where}: fill is no list of NAME: TEXT pairs; write fill: {{name: …}}")
    options: dict[str, Any] = {
        "fill": {key: _text(text, f"{where}, fill") for key, text in fill.items()}
    }
    if "weight" in values:
        options["weight"] = Fraction(_number(values["weight"], f"{where}, weight", _NUMBER))
    if "limit" in values:
        options["limit"] = int(_number(values["limit"], f"{where}, limit", _WHOLE))
    if "format" in values:
        options["format"] = _text(values["format"], f"{where}, format")
    return _in_file(where, lambda: MixSource(path, **options))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {value!r} is no text; give one word or path")
    return value


def _number(value: Any, where: str, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        wanted = "whole number; give one"
        if pattern == _NUMBER:
            wanted = "number above 0; give one such as 2 or 0.5"
        raise DataError(f"{where}: {value!r} is no {wanted}")
    return value
