"""From files to rows: each file is parsed once into a memory-mapped table in the cache folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from curate.data.formats import format_named
from curate.data.frames import frame_name, is_frame, save_frame
from curate.data.hub_files import hub_files, is_hub
from curate.data.ingest import Reading
from curate.data.placeholders import checked
from curate.data.row_cache import Stored, stored
from curate.data.rows import Rows
from curate.data.samples import find_bundled
from curate.data.schema import Shape
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.cache import cache_dir

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset

    Given: TypeAlias = str | os.PathLike[str] | pandas.DataFrame | Dataset

# What curate and LLaMA-Factory write beside the data; never rows.
_NOT_ROWS = ("dataset_info.json", ".manifest.json", ".scores.parquet", ".lock")
_AGREE = ("format", "formatting", "ranking", "tags")


def read(
    paths: Given | Iterable[Given],
    format: str | None = None,  # noqa: A002 - the option's name
    fill: Mapping[str, str] | None = None,
) -> Rows:
    """Read instruction data: one file, several, or folders of them.

    What a file holds is told from its content, never from its name. The second time, a file is
    not parsed again.

    Args:
        paths: Files and folders; a folder stands for all files in and below it, and
            `hf://OWNER/NAME[:SPLIT]` for those of a data set of the hub (curate.data.hub_files).
            Instead of a path, a pandas DataFrame or a `datasets.Dataset`: a row has the same id
            as in a file of the same rows.
        format: Name of a format of `curate.data.formats`, where the rows fit more than one.
        fill: Placeholder to text: {"name": "小医"} puts 小医 where rows say {{name}}.

    Raises:
        DataError: Missing, empty, broken, in no known format, or files that do not go together.
        UsageError: No such format; nothing given, or given twice; a placeholder that no row has.

    Example:
        >>> rows = curate.read("huatuo.json")
        >>> len(rows), rows[0].prompt
        (5000, '高血压患者能吃党参吗？')
    """
    if format is not None:
        format_named(format)
    given = [paths] if isinstance(paths, str | os.PathLike) or is_frame(paths) else list(paths)
    if not given:
        raise UsageError("no input: give at least one file or folder")
    reading = Reading(format or "", checked(fill or {}))
    with ExitStack() as frames:
        files = [file for item in given for file in _files(item, frames)]
        _refuse_repeats(files)
        parts = [stored(path, name, reading) for name, path in files]
    _check_filled(parts, reading.fill)
    shape = _common(parts)
    table = pa.concat_tables([part.table for part in parts])
    return Rows(shape, tuple(part.source for part in parts), table)


def _files(given: Given, frames: ExitStack) -> list[tuple[str, Path]]:
    """Return the files that something given stands for, each with the name to call it by."""
    if is_frame(given):
        cache_dir().mkdir(parents=True, exist_ok=True)
        folder = frames.enter_context(TemporaryDirectory(dir=cache_dir()))
        file = Path(folder) / frame_name(given)
        save_frame(given, file)
        return [(file.name, file)]
    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            f"{type(given).__name__} is nothing that holds rows; give a path, a DataFrame or a "
            "datasets.Dataset, or several of them in a list"
        )
    path = Path(given).expanduser()
    if is_hub(path):
        return hub_files(path)
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file())
        names = [(_called(each.relative_to(path)), each) for each in inside]
        found = [(name, each) for name, each in names if _may_hold_rows(Path(name))]
        if not found:
            raise DataError(f"folder '{path}' holds no data files; give a file, or another folder")
        return found
    real = path if path.exists() else find_bundled(path)
    if real is None:
        here = f"; the folder '{path.parent}' is there" if path.parent.is_dir() else ""
        raise DataError(f"no file '{path}'{here}{_similar(path)}; give an existing file or folder")
    if not real.is_file():
        raise DataError(f"'{path}' is neither a file nor a folder; save what it holds to a file")
    return [(_called(Path(path.name)), real)]


def _called(path: Path) -> str:
    """Return a name that can be written: archives from Windows leave names that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _may_hold_rows(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    plain = name.name.upper().startswith(("README", "LICENSE"))
    return not (hidden or plain or name.name.endswith(_NOT_ROWS))


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    return did_you_mean(path.name, (each.name for each in path.parent.iterdir()))


def _refuse_repeats(files: list[tuple[str, Path]]) -> None:
    seen: set[Path] = set()
    for name, path in files:
        real = path.resolve()
        if real in seen:
            raise UsageError(
                f"'{name}' is given twice; give it once (`curate mix --shortage repeat` is what "
                "repeats rows on purpose)"
            )
        seen.add(real)


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
        clash += ["kto_tag"] if ("kto_tag" in mine) != ("kto_tag" in theirs) else []
        if clash:
            raise DataError(
                f"{first.source.name} and {part.source.name} have different shapes: "
                f"{shape} and {part.shape}. One emitted file has one shape; "
                "give files of one shape together and the others in a run of their own, or join "
                "them with `curate mix`"
            )
        shape = replace(shape, columns={**theirs, **mine})
    return shape


def sources_as_dicts(rows: Rows) -> list[dict[str, object]]:
    """Return the sources as a manifest has them.

    Args:
        rows: Any rows.
    """
    return [asdict(source) for source in rows.sources]
