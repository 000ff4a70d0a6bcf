"""From files to rows: each file is parsed once into a memory-mapped table in the cache folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.data.formats import format_named
from curate.data.in_memory import inputs_of
from curate.data.inputs import input_files
from curate.data.layout import Reading
from curate.data.naming import Naming, naming
from curate.data.placeholders import checked
from curate.data.row_cache import Stored, stored
from curate.data.rows import Rows
from curate.data.schema import Shape
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import FILE, named_rows

if TYPE_CHECKING:
    from curate.data.in_memory import Given, Row

_AGREE = ("format", "formatting", "ranking", "tags")
_SHOWN = 12


def read(
    paths: Given | Iterable[Given] | Iterable[Row] = (),
    format: str | None = None,  # noqa: A002 - the option's name
    fill: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    dataset: str | Iterable[str] = (),
    dataset_dir: str | os.PathLike[str] = "data",
    questions: bool = False,
) -> Rows:
    """Read instruction data: one file, several, or folders of them; or registered data sets.

    What a file holds is told from its content, never from its name. The second time, a file is
    not parsed again.

    Args:
        paths: Files and folders; a folder stands for all files in and below it, and
            `hf://OWNER/NAME[:SPLIT]`, or `ms://…` for ModelScope, for those of a data set of a hub
            (curate.data.hub_files).
            What is packed (.gz, .zst, .bz2, .xz, .zip) and spreadsheets (.xlsx, .xls, .ods) are
            read too: `FILE.zip#MEMBER`, `FILE.xlsx#SHEET`, or the only member, the first sheet.
            Instead of a path, a pandas DataFrame, a `datasets.Dataset`, or rows as a list or a
            generator of dicts: a row has the same id as in a file of the same rows.
        format: Name of a format of `curate.data.formats`, where the rows fit more than one.
        fill: Placeholder to text: {"name": "小医"} puts 小医 where rows say {{name}}.
        columns: Column to the rows' own key, where they have keys of their own:
            {"prompt": "ask", "response": "reply"}, or {"messages": "dialog", "role": "speaker",
            "content": "text"}; '' for one that is not to be read.
        roles: Role to the messages' own word: {"user": "患者", "assistant": "医生"}.
        dataset: Instead of paths, names in dataset_info.json, read as LLaMA-Factory reads them.
        dataset_dir: Folder of dataset_info.json.
        questions: Whether rows may be questions without answers, as those to be tested on;
            their flaw is `empty_response`.

    Raises:
        DataError: Missing, empty, broken, in no known format, or files that do not go together.
        UsageError: No such format, column or role; nothing given, or given twice; a placeholder or
            key that no row has.

    Example:
        >>> rows = curate.read("huatuo.json")
        >>> len(rows), rows[0].prompt
        (5000, '高血压患者能吃党参吗？')
    """
    if format is not None:
        format_named(format)
    reading = Reading(format or "", checked(fill or {}), naming(columns, roles), questions)
    names = [dataset] if isinstance(dataset, str) else list(dataset)
    given = not isinstance(paths, tuple | list) or bool(paths)
    if names and (given or reading.format or reading.naming):
        raise UsageError(
            f"dataset {names[0]}: its entry in {FILE} says where its rows are and how they are "
            "read; leave paths, format, columns and roles out"
        )
    with ExitStack() as opened:
        inputs = [] if names else inputs_of(paths)
        files = [(file, reading) for item in inputs for file in input_files(item, opened)]
        for name in names:
            path, named = registered_rows(Path(dataset_dir), name)
            how = replace(reading, naming=named)
            if path.suffix == ".txt":  # a row a line, as LLaMA-Factory loads it
                how = replace(how, format="pretraining")
            files += [(file, how) for file in input_files(path, opened)]
        seen: set[tuple[Path, str]] = set()
        for file, _ in files:
            if (file.path.resolve(), file.part) in seen:
                raise UsageError(
                    f"'{file.name}' is given twice; give it once (`curate mix --shortage repeat` "
                    "is what repeats rows on purpose)"
                )
            seen.add((file.path.resolve(), file.part))
        parts = [_beside(stored(f.path, f.name, how, f.part), f.aside) for f, how in files]
    _check_filled(parts, reading.fill)
    _check_named(parts, [how.naming for _, how in files])
    shape = _common(parts)
    table = pa.concat_tables([part.table for part in parts])
    return Rows(shape, tuple(part.source for part in parts), table)


def _beside(part: Stored, aside: str) -> Stored:
    """Note what was left aside in the folder of a file."""
    if not aside:
        return part
    changes = {f"left aside: {aside}": 0, **part.source.changes}
    return replace(part, source=replace(part.source, changes=changes))


def registered_rows(folder: Path, name: str) -> tuple[Path, Naming]:
    """Return the file or folder of a registered data set, and what its entry names."""
    entry = named_rows(folder, name)
    by = f"{FILE}, entry '{name}', columns:"
    return entry.path, Naming(entry.columns, entry.roles, by=by, expected=entry.given)


def _check_named(parts: list[Stored], namings: list[Naming]) -> None:
    """Refuse a key that no row of the files has for which it is named: it is a slip of the pen."""
    read_from: dict[tuple[str, str], set[str]] = {}
    for part, named in zip(parts, namings, strict=True):
        for column in named.expected:
            read_from.setdefault((named.by, column), set()).update(
                {column} & part.source.columns.keys()
            )
    for part, named in zip(parts, namings, strict=True):
        for column in named.expected:
            key = named.columns[column]
            if not key or read_from[named.by, column]:
                continue
            first = json.loads(part.table.column("raw")[0].as_py())
            keys = list(first) if isinstance(first, dict) else []
            raise DataError(
                f"{part.source.name}, {named.by} {column}={key}: no row has this key."
                f"{did_you_mean(key, keys)} The first has {', '.join(keys[:_SHOWN])}; name one of "
                f"them, or leave {column} out"
            )


def _check_filled(parts: list[Stored], fill: Mapping[str, str]) -> None:
    """Refuse a placeholder that no row has: it is a slip of the pen."""
    left = {name for part in parts for name in part.source.unfilled}
    for name in fill:
        if not any(name in part.source.fill for part in parts):
            has = f"they have {', '.join(sorted(left))}" if left else "they have none to fill"
            raise UsageError(
                f"fill {name!r}: no row has {{{{{name}}}}} in it, {has}."
                f"{did_you_mean(name, left)} Leave it out, or give the name that stands there"
            )


def _common(parts: list[Stored]) -> Shape:
    """Return the one shape that all files have; columns that only some have may be added."""
    first = parts[0]
    shape = first.shape
    for part in parts[1:]:
        clash = [name for name in _AGREE if getattr(shape, name) != getattr(part.shape, name)]
        mine, theirs = shape.columns, part.shape.columns
        clash += [name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]]
        # A row without a verdict among rows with one would be trained on as plain SFT.
        if clash or ("kto_tag" in mine) != ("kto_tag" in theirs):
            raise DataError(
                f"{first.source.name} and {part.source.name} have different shapes: "
                f"{shape} and {part.shape}. One emitted file has one shape; "
                "give files of one shape together and the others in a run of their own, or join "
                "them with `curate mix`"
            )
        shape = replace(shape, columns={**theirs, **mine})
    return shape


def sources_as_dicts(rows: Rows) -> list[dict[str, object]]:
    """Return the sources as a manifest has them."""
    return [asdict(source) for source in rows.sources]
