"""From files to rows: each file is parsed once into a memory-mapped table in the cache folder."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from curate.data.formats import format_named
from curate.data.in_memory import inputs_of
from curate.data.inputs import InputFile, input_files
from curate.data.layout import Reading
from curate.data.naming import Naming, naming
from curate.data.packed import listed
from curate.data.pieces import LEAST
from curate.data.placeholders import checked
from curate.data.registered import registered, taken
from curate.data.row_cache import PROCESSES, Stored, stored
from curate.data.rows import Rows
from curate.data.schema import Shape
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import FILE, NamedRows
from curate.system.processes import Pool, cores

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.data.in_memory import Given, Row
    from curate.mixture.mixed import Mixed

    Readable: TypeAlias = Rows | Selection | Mixed | Given | Iterable[Given] | Iterable[Row]

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
    skip_bad_shards: bool = False,
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
        dataset: Instead of paths, names in dataset_info.json, read as LLaMA-Factory reads them,
            from files or a hub; of `split` and `num_samples` the rows that it would take.
        dataset_dir: Folder of dataset_info.json.
        questions: Whether rows may be questions without answers, as those to be tested on;
            their flaw is `empty_response`.
        skip_bad_shards: Whether to go on without the files that cannot be read, where others can;
            they are counted and named.

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
    names = [dataset] if isinstance(dataset, str) else list(() if dataset is None else dataset)
    has_paths = not isinstance(paths, tuple | list) or bool(paths)
    if names and (has_paths or reading.format or reading.naming):
        raise UsageError(
            f"dataset {names[0]}: its entry in {FILE} says where its rows are and how they are "
            "read; leave paths, format, columns and roles out"
        )
    with ExitStack() as opened:
        inputs = [] if names else inputs_of(paths)
        files: list[tuple[InputFile, Reading, NamedRows | None]] = [
            (file, reading, None) for item in inputs for file in input_files(item, opened)
        ]
        for name in names:
            entry, columns_named, own = registered(Path(dataset_dir), name, opened)
            how = replace(reading, naming=columns_named)
            lines = replace(how, format="pretraining")  # a row a line, as LLaMA-Factory loads it
            files += [(f, lines if f.path.suffix == ".txt" else how, entry) for f in own]
        seen: set[tuple[Path, str]] = set()
        for file, _, _ in files:
            if (file.path.resolve(), file.part) in seen:
                raise UsageError(
                    f"'{file.name}' is given twice; give it once (`curate mix --shortage repeat` "
                    "is what repeats rows on purpose)"
                )
            seen.add((file.path.resolve(), file.part))
        every = [(file.path, file.name, how, file.part) for file, how, _ in files]
        outcomes = _all_stored(every, skip_bad_shards)
        bad = [file.name for (file, *_), part in zip(files, outcomes, strict=True) if not part]
        files = [file for file, part in zip(files, outcomes, strict=True) if part]
        read_parts = [
            _told(part, f) for part, (f, *_) in zip(filter(None, outcomes), files, strict=True)
        ]
        if bad:
            note = f"left out: {len(bad):,} of {len(every):,} files that cannot be read"
            source = read_parts[0].source
            changes = {f"{note}: {listed(bad)}": 0, **source.changes}
            read_parts[0] = replace(read_parts[0], source=replace(source, changes=changes))
    _check_filled(read_parts, reading.fill)
    _check_named(read_parts, [how.naming for _, how, _ in files])
    parts: list[Stored] = []
    of_entries = zip((entry for _, _, entry in files), read_parts, strict=True)
    for of_entry, group in itertools.groupby(of_entries, key=itemgetter(0)):
        of_one = [part for _, part in group]
        parts += taken(of_one, of_entry) if of_entry else of_one
    shape = _common(parts)
    table = pa.concat_tables([part.table for part in parts])
    return Rows(shape, tuple(part.source for part in parts), table)


def _attempt(file: tuple[Path, str, Reading, str]) -> Stored | DataError:
    try:
        return stored(*file)
    except DataError as error:
        return error


def _into_cache() -> Callable[[tuple[Path, str, Reading, str]], bool]:
    return lambda file: isinstance(_attempt(file), Stored)


def _all_stored(files: Sequence[tuple[Path, str, Reading, str]], skip: bool) -> list[Stored | None]:
    """Read files, several at once where they are long; tell of all that cannot be read at once."""
    processes = min(cores(), len(files), PROCESSES)
    size = sum(path.stat().st_size for path, *_ in files if path.is_file())
    if processes > 1 and size >= LEAST:
        with Pool(_into_cache, processes) as pool:
            list(pool.map(files))
    outcomes = [_attempt(file) for file in files]
    bad = [outcome for outcome in outcomes if isinstance(outcome, DataError)]
    if bad and len(files) == 1:
        raise bad[0]
    if bad and (not skip or len(bad) == len(files)):
        count = f"{len(bad):,} of {len(files):,} files cannot be read: " if len(bad) > 1 else ""
        others = "; --skip-bad-shards goes on without" if len(bad) < len(files) else ""
        raise DataError(count + "; ".join(map(str, bad)) + others)
    return [None if isinstance(outcome, DataError) else outcome for outcome in outcomes]


def as_rows(source: Any) -> Any:
    """Return the rows of what a recipe chose, a Selection or a Mixed; anything else as it is."""
    kept = getattr(source, "kept", None)
    return kept if isinstance(kept, Rows) else source


def rows_of(source: Readable) -> Rows:
    """Return rows as they are, and those of a choice; anything else that read() takes is read."""
    source = as_rows(source)
    rows = source if isinstance(source, Rows) else read(source)
    if not len(rows):
        raise DataError("there are 0 rows here, none is left to choose from; give others")
    return rows


def sides_of(source: Any) -> Sequence[Any]:
    """Return several sets one by one; a list of dicts or lists is rows, and one set."""
    is_one = not isinstance(source, list | tuple) or isinstance(next(iter(source), 0), dict | list)
    return [source] if is_one else source


def _told(part: Stored, file: InputFile) -> Stored:
    changes = {f"left aside: {file.aside}": 0} if file.aside else {}
    source = part.source
    if changes or file.part:
        source = replace(source, part=file.part, changes={**changes, **source.changes})
    return replace(part, source=source)


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
        # A row without a verdict among rows with one would be trained on as plain SFT.
        own, other = ((s.format, s.ranking, "kto_tag" in s.columns) for s in (shape, part.shape))
        both = shape.joined(part.shape) if own == other else None
        if both is None:
            raise DataError(
                f"{first.source.name} and {part.source.name} have different shapes: "
                f"{shape} and {part.shape}. One emitted file has one shape; "
                "give files of one shape together and the others in a run of their own, or join "
                "them with `curate mix`"
            )
        shape = both
    return shape


def sources_as_dicts(rows: Rows) -> list[dict[str, object]]:
    """Return the sources as a manifest has them."""
    sources = map(asdict, rows.sources)
    return [{k: v for k, v in source.items() if k != "part" or v} for source in sources]
