"""Write a data set anew, so that LLaMA-Factory uses every row that can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.data.canonical import canonical_row, canonical_shape, tools_of
from curate.data.ends_training import wrong_tools
from curate.data.naming import PARTS
from curate.data.read import read
from curate.data.rows import Rows
from curate.data.schema import MEDIA, Parsed, Shape
from curate.emission.emit import check_target, default_name, write_values
from curate.errors import DataError, UsageError
from curate.llamafactory.dataset_info import entry_attributes
from curate.llamafactory.doctor.data_set import DataSet, of_entry
from curate.llamafactory.doctor.stages import ANYTHING, Takes
from curate.system.manifest import versions

RECIPE = "doctor"


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
    rows = _rows(data_set, fill)
    shape = rows.shape
    flaws = [_flaw(row.parsed, shape.kind) or _refused(row.value, shape, takes) for row in rows]
    dropped = Counter(flaw for flaw in flaws if flaw)
    written = len(flaws) - dropped.total()
    if not written:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{data_set.name}: no row can be repaired ({reasons}); nothing was written"
            + ("; fill them in with --fill" if "unfilled_placeholder" in dropped else "")
        )
    target = canonical_shape(shape.kind, shape.columns)

    def values() -> Iterator[dict[str, Any]]:
        for row, flaw in zip(rows, flaws, strict=True):
            if not flaw:
                yield canonical_row(row.parsed, row.value, target, shape)

    counts = {"read": len(flaws), "scored": 0, "kept": written}
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


def _rows(data_set: DataSet, fill: Mapping[str, str] | None) -> Rows:
    """Read the rows by what their entry names, though LLaMA-Factory's own reading may end.

    Where the entry is only assumed, or does not fit the rows, as curate reads them without it.
    """
    with suppress(DataError, UsageError):
        entry, attr = data_set.entry, entry_attributes(data_set.entry)
        columns = {name: key for name, key in attr.columns.items() if key and "columns" in entry}
        tags = {tag.removesuffix("_tag"): word for tag, word in attr.tags.items() if word}
        roles = tags if "tags" in entry else {}
        columns |= {part: roles.pop(part) for part in PARTS if part in roles}
        if not data_set.assumed and (columns or roles):
            return read(data_set.path, fill=fill, columns=columns, roles=roles)
    rows = read(**{**data_set.how, "fill": fill}) if fill else data_set.rows
    if rows is None:
        raise DataError(f"{data_set.name} cannot be repaired: {data_set.why}")
    return rows
