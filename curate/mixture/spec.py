"""What a mixture is made of, and the YAML files that say so: every key known, every value checked.

A mixture file is read as lists, dicts and texts, as YAML would make the number 65 of a bare 1:5.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from curate.data.inputs import bundled_folder, find_bundled
from curate.emission.emit import default_name
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import is_registered
from curate.mixture.plan import Ratio, parse_ratio, parse_ratios
from curate.parameters.mix import MixParams
from curate.system.files import at_home
from curate.system.hub import is_hub

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.data.rows import Rows

Side = Literal["domain", "general"]
SIDES: tuple[Side, Side] = ("domain", "general")
NAME = "mix"
DEFAULT = "default"
_LARGEST = 1 << 20  # bytes of a mixture file


@dataclass(frozen=True)
class MixSource:
    """One source of a side."""

    # A file, a folder, rows that were read, or what a recipe chose: its kept rows.
    rows: str | os.PathLike[str] | Rows | Selection
    _: KW_ONLY
    limit: int | None = None  # rows to take at most, drawn by the seed
    format: str | None = None  # of the file; told from its content if not given
    fill: Mapping[str, str] = field(default_factory=dict)  # placeholder to text
    # Column to the rows' own key, see curate.read().
    columns: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)  # role to the messages' own word
    # Folder of dataset_info.json, where `rows` is the name of a data set there.
    dataset_dir: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit}: allowed are whole numbers from 1")

    @property
    def label(self) -> str:
        """The source for people, without its folder."""
        if isinstance(self.rows, str | os.PathLike):
            return Path(self.rows).name
        rows: Any = getattr(self.rows, "rows", self.rows)
        return ", ".join(source.name for source in rows.sources)

    def read(self, questions: bool = False) -> Rows:
        """Return the rows of a file, a folder or a registered data set."""
        from curate.data.read import read

        registered = self.dataset_dir is not None
        return read(
            () if registered else self.rows,
            self.format,
            self.fill,
            self.columns,
            self.roles,
            dataset=str(self.rows) if registered else (),
            dataset_dir=self.dataset_dir or "data",
            questions=questions,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the source as a manifest has it."""
        options: dict[str, Any] = {
            "limit": self.limit,
            "format": self.format,
            **{name: dict(getattr(self, name)) or None for name in ("fill", "columns", "roles")},
        }
        return {"source": self.label} | {k: v for k, v in options.items() if v is not None}


@dataclass(frozen=True, kw_only=True)
class Mixture(MixParams):
    """Sources of domain and of general data, and one ratio, or several for a sweep."""

    domain: tuple[MixSource, ...]
    general: tuple[MixSource, ...]
    ratios: tuple[Ratio, ...] = (parse_ratio("1:5"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        for side in SIDES:
            asking = [ratio for ratio in self.ratios if getattr(ratio, side)]
            if asking and not self.sources(side):
                raise UsageError(
                    f"ratio {asking[0]} needs {side} data and none is given: give --{side} FILE"
                )

    @property
    def output_name(self) -> str:
        """The name of the data set if none is given with the command."""
        first = [*self.domain, *self.general][0]
        return self.name or default_name(Path(first.label.split(", ")[0]), NAME)

    def sources(self, side: Side) -> tuple[MixSource, ...]:
        """Return the sources of a side."""
        return self.domain if side == "domain" else self.general

    def as_dict(self) -> dict[str, Any]:
        """Return the mixture as a manifest has it: files by their names alone."""
        whole: dict[str, Any] = {"ratios": [str(ratio) for ratio in self.ratios]}
        whole |= {name: getattr(self, name) for name in ("by", "stage", "shortage", "seed")}
        if self.good_only:
            whole["good_only"] = True
        if self.by == "tokens":
            model = Path(self.model)
            whole["model"] = model.resolve().name if model.exists() else self.model
        if self.self_answers:
            whole["self_answers"] = self.self_answers
        return whole | {side: [src.as_dict() for src in self.sources(side)] for side in SIDES}


def find_mixture(name: str | Path) -> Path:
    """Return the mixture file that is meant: a path, or the name of one that comes with curate."""
    path = at_home(name)
    if path.is_file():
        return path
    known = {file.stem: file for file in bundled_folder().glob("*.yaml")}
    bundled = find_bundled(path) or known.get(str(name))
    if bundled is None:
        raise DataError(
            f"no mixture file '{name}'.{did_you_mean(path.stem, known)} Give a .yaml file, or one "
            f"of those that come with curate: {', '.join(sorted(known))}"
        )
    return bundled


def read_mixture(path: Path, changes: Mapping[str, Any] | None = None) -> Mixture:
    """Return what a mixture file says; paths in it are relative to its own folder."""
    values = _parsed(path)
    sides: dict[str, Any] = {}
    where = path.name
    try:
        for side in SIDES:
            listed = values.pop(side, None) or []
            sides[side] = []
            for item in listed if isinstance(listed, list) else [listed]:
                where = f"{path.name}, {side}"
                source = _checked(
                    item if isinstance(item, dict) else {"path": item}, _SOURCE, where
                )
                sides[side].append(_source(path.parent, source, where))
            sides[side] = tuple(sides[side])
        where = path.name
        options = _checked(values, _OPTIONS, where, SIDES)
        if "ratio" in options:
            options["ratios"] = options.pop("ratio")
        return Mixture(**{**sides, **options, **(changes or {})})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _source(folder: Path, source: dict[str, Any], where: str) -> MixSource:
    if not source.keys() & {"path", "dataset"}:
        raise DataError(f"{where}: a source without path; give it one, or a dataset")
    if {"path", "dataset"} <= source.keys():
        raise DataError(f"{where}: a source with path and dataset; give it one of them")
    if "path" in source and "dataset_dir" in source:
        raise DataError(f"{where}: dataset_dir goes with dataset, not with path; leave it out")
    if "path" in source:
        rows = Path(source.pop("path"))
        return MixSource(rows if is_hub(rows) else folder / at_home(rows), **source)
    source["dataset_dir"] = folder / at_home(source.pop("dataset_dir", "data"))
    return MixSource(source.pop("dataset"), **source)


def sources_of(given: str | Path, folder: Path, format_name: str | None = None) -> list[MixSource]:
    """Return what a side stands for: a file, a registered data set, a mixture file's sources."""
    if is_registered(given, folder):
        return [MixSource(str(given), dataset_dir=folder)]
    if Path(given).suffix in (".yaml", ".yml"):
        mixture = read_mixture(find_mixture(given))
        return [source for side in SIDES for source in mixture.sources(side)]
    return [MixSource(given, format=format_name)]


class _Texts(yaml.BaseLoader):  # type: ignore[misc]
    """YAML as lists, dicts and texts; a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            word = str(key.value)  # of a key that is a list, its parts: PyYAML refuses that one
            if word in seen:
                problem = f"{word} is given twice; give it once"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(word)
        return super().construct_mapping(node, deep=True)


def _parsed(path: Path) -> dict[str, Any]:
    name = path.name
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{name} is larger than any mixture file; give the .yaml file")
        values = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Texts)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1} column {mark.column + 1}, " if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{name} is no YAML: {place}{problem}; put it right there") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{name} is no mixture file ({error}); save it as UTF-8 YAML") from error
    if not isinstance(values or {}, dict):
        raise DataError(f"{name} has no keys; allowed are {', '.join((*SIDES, *_OPTIONS))}")
    return values or {}


_Reader = Callable[[Any, str], Any]


def _reader(pattern: str, convert: Callable[[str], Any], wanted: str) -> _Reader:
    """Return what reads a value that is written so, or says what it should have been."""

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.DOTALL):
            raise DataError(f"{where}: {value!r} is no {wanted}")
        return convert(value)

    return read


def _pairs(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value or {}, dict):
        key = where.rpartition(", ")[2]
        raise DataError(f"{where} is no list of NAME: TEXT pairs; write {key}: {{name: …}}")
    return {name: _text(text, where) for name, text in (value or {}).items()}


_text = _reader(".+", str, "text; give one word or path")
_whole = _reader("[0-9]{1,15}", int, "whole number; give one")
_OPTIONS: dict[str, _Reader] = {
    "ratio": lambda value, where: parse_ratios(value),
    **dict.fromkeys(("by", "model", "stage", "shortage", "self_answers"), _text),
    "seed": _whole,
    "name": _text,
    "good_only": _reader("true|false", "true".__eq__, "answer; allowed are true and false"),
}
_SOURCE: dict[str, _Reader] = {
    **dict.fromkeys(("path", "dataset", "dataset_dir"), _text),
    "limit": _whole,
    "format": _text,
    **dict.fromkeys(("fill", "columns", "roles"), _pairs),
}


def _checked(
    values: dict[str, Any], known: dict[str, _Reader], where: str, beside: Iterable[str] = ()
) -> dict[str, Any]:
    """Return values of known keys, each read as its key wants it."""
    allowed = (*beside, *known)
    for key in values:
        if key not in known:
            raise DataError(
                f"{where}: unknown key {key!r}.{did_you_mean(key, allowed)} "
                f"Allowed are {', '.join(allowed)}"
            )
    return {key: known[key](value, f"{where}, {key}") for key, value in values.items()}
