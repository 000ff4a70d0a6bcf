"""Write a data set anew, so that LLaMA-Factory uses every row that can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.data.canonical import canonical_row, canonical_shape, parse, read_verdict, tools_of
from curate.data.encoding import sniff
from curate.data.ends_training import wrong_tools
from curate.data.file_kinds import raw_rows
from curate.data.formats import format_named
from curate.data.formats.messages import TAGS as OPENAI_TAGS
from curate.data.lists_in_rows import with_lists
from curate.data.packed import unpacked
from curate.data.read import read
from curate.data.schema import CANONICAL_TAGS as TAGS
from curate.data.schema import MEDIA, Parsed, Shape
from curate.emission.emit import check_target, default_name, write_values
from curate.errors import DataError
from curate.llamafactory.dataset_info import COLUMNS
from curate.llamafactory.doctor.converting import CONVERTERS
from curate.llamafactory.doctor.data_set import DataSet, attributes, of_entry
from curate.llamafactory.doctor.findings import Ends
from curate.llamafactory.doctor.stages import ANYTHING, Takes
from curate.system.manifest import versions

RECIPE = "doctor"
_PAIR = ("chosen", "rejected")


@dataclass(frozen=True)
class Repaired:
    data_set: DataSet
    files: tuple[str, ...]
    written: int
    dropped: dict[str, int]


def repair(
    data_set: DataSet,
    output: str | Path | None = None,
    overwrite: bool = False,
    fill: Mapping[str, str] | None = None,
    takes: Takes = ANYTHING,
) -> Repaired:
    """Write a data set and its entry as NAME_fixed, beside the old one, which stays as it is.

    Rows are left out whose pictures or tools the template does not take, if one is known.
    """
    folder = Path(output or data_set.folder)
    stem = Path(data_set.name if data_set.assumed else f"{data_set.name}.")
    name = default_name(stem, "fixed")
    check_target(folder, name, RECIPE, overwrite)
    meant = None if fill else _meant_shape(data_set)
    if fill:
        data_set = replace(data_set, rows=read(**{**data_set.how, "fill": fill}))
    shape = meant or (data_set.rows.shape if data_set.rows is not None else None)
    if shape is None:
        raise DataError(f"{data_set.name} cannot be repaired: {data_set.why}")
    dropped: Counter[str] = Counter()
    media: set[str] = set()
    written = 0
    for view, value, row_shape in _views(data_set, meant):
        flaw = _flaw(view, shape.kind) or _refused(value, row_shape, takes)
        dropped.update([flaw] if flaw else [])
        written += not flaw
        media.update(set(MEDIA) & set(row_shape.columns))
    if not written:
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in dropped.items())
        raise DataError(
            f"{data_set.name}: no row can be repaired ({reasons}); nothing was written"
            + ("; fill them in with --fill" if "unfilled_placeholder" in dropped else "")
        )
    target = canonical_shape(shape.kind, media)

    def values() -> Iterator[dict[str, Any]]:
        for view, value, row_shape in _views(data_set, meant):
            if not (_flaw(view, shape.kind) or _refused(value, row_shape, takes)):
                yield canonical_row(view, value, target, row_shape)

    counts = {"read": written + sum(dropped.values()), "scored": 0, "kept": written}
    manifest = {
        "recipe": RECIPE,
        "params": {"entry": data_set.entry},
        "sources": [{"name": data_set.name}],
        "counts": {**counts, "dropped": dict(sorted(dropped.items()))},
        "versions": versions(),
    }
    files = write_values(folder, name, values, target, manifest)
    return Repaired(of_entry(folder, name), tuple(files), written, dict(dropped))


def _flaw(view: Parsed, kind: str) -> str:
    if view.flaw:
        return view.flaw
    return "no_verdict" if kind == "kto" and view.verdict is None else ""


def _refused(value: dict[str, Any], shape: Shape, takes: Takes) -> str:
    refused = [] if takes.media is None else [name for name in MEDIA if name not in takes.media]
    if any(shape.value(value, column) for column in refused):
        return "media_not_taken"
    tools = tools_of(shape.value(value, "tools"))
    wrong = tools and takes.tools and wrong_tools(tools, takes.tools)
    return "tools_not_described" if wrong else ""


def _views(
    data_set: DataSet, meant: Shape | None
) -> Iterator[tuple[Parsed, dict[str, Any], Shape]]:
    """Yield what every row says, with the row and its shape."""
    if meant is None:
        assert data_set.rows is not None
        for row in data_set.rows:
            yield row.parsed, row.value, data_set.rows.shape
        return
    keys = _keys(data_set)
    form = format_named(meant.format)
    for value in _values(data_set.path):
        if not isinstance(value, dict):
            yield Parsed(flaw="not_an_object"), {}, meant
            continue
        renamed, _ = with_lists({new: value.get(keys[c]) for c, new in meant.columns.items()})
        verdict = renamed.get("kto_tag")
        if "kto_tag" in meant.columns and not isinstance(verdict, bool):
            renamed["kto_tag"] = read_verdict(verdict)
        made = form.convert(renamed, meant)
        view = Parsed(flaw=made.flaw) if made.flaw else parse(made.row, meant)
        yield view, made.row, meant


def _values(path: Path | Sequence[Path]) -> Iterator[Any]:
    if isinstance(path, Path):
        path = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in path:
        with unpacked(file, sniff(file)) as whole:
            _, records = raw_rows(whole.path, whole.sniffed)
            yield from (record.value for record in records)


def _keys(data_set: DataSet) -> dict[str, str]:
    """Return column to key: those of the entry, and of what it does not name the usual ones."""
    try:
        columns = attributes(data_set.entry).columns
    except Ends:
        columns = {}
    there = set(next((row for row in _values(data_set.path) if isinstance(row, dict)), {}))
    keys = {column: key for column, key in columns.items() if key and key in there}
    for column, default in COLUMNS.items():
        key = default or column
        if column not in keys and key in there and key not in keys.values():
            keys[column] = key
    return keys


def _meant_shape(data_set: DataSet) -> Shape | None:
    """Return the shape that an entry means, under LLaMA-Factory's own names.

    None where curate's own reading of the file is the better one: the entry was only assumed, or
    does not fit the rows.
    """
    entry = data_set.entry
    strict = data_set.rows is not None and data_set.rows.shape.kind == "kto"
    if data_set.assumed and (strict or "kto_tag" not in entry.get("columns", {})):
        return None
    try:
        keys = _keys(data_set)
        attr = attributes(entry)
    except (DataError, Ends):
        return None
    formattings = [entry.get("formatting"), entry.get("format")]
    formatting = next((name for name in map(str, formattings) if name in CONVERTERS), "alpaca")
    ranking = bool(attr.ranking) and all(column in keys for column in _PAIR)
    tags: dict[str, str] = {}
    if "messages" in keys:
        answers = ["kto_tag"]
        columns = ["messages", "system", "tools", *MEDIA]
        usual = OPENAI_TAGS if attr.tags.get("role_tag") == "role" else TAGS
        tags = {tag: attr.tags.get(tag) or usual[tag] for tag in TAGS}
    elif formatting == "alpaca":
        answers = ["response", "kto_tag"] if attr.columns["response"] is not None else []
        columns = ["prompt", "query", "system", "history", "tools", *MEDIA]
        if "prompt" not in keys or (answers and not ranking and "response" not in keys):
            return None
    else:
        return None
    columns += _PAIR if ranking else answers
    named = {column: COLUMNS[column] or column for column in columns if column in keys}
    if tags:
        return Shape("sharegpt", "sharegpt", named, tags, ranking)
    return Shape("alpaca", "alpaca", named, ranking=ranking)
