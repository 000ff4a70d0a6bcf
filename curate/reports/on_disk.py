"""A choice as curate wrote it: its lines, and its rows, found again in the cache or in files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.encoding import sniff
from curate.data.inputs import InputFile, input_files
from curate.data.layout import Reading
from curate.data.naming import naming
from curate.data.read import read
from curate.data.row_cache import Stored, read_before, stored
from curate.data.rows import Rows
from curate.data.schema import Shape, Source
from curate.emission.emit import made_file, paths
from curate.errors import CuratrainError, DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import read_registry
from curate.parameters.controls import ENDINGS
from curate.reports.chosen import Chosen, Mask, Places, decoded
from curate.reports.provenance import source_fields
from curate.system.files import content_sha256
from curate.system.manifest import read_manifest


def read_choice(name: str, folder: Path, inputs: Sequence[Path] = ()) -> Chosen:
    """Return a data set, or scores alone, as curate wrote it.

    `inputs` are the files that it was made of, where they are not in the cache any more.
    """
    _, scores, last = paths(folder, name)
    manifest = read_manifest(last) if Path(name).name == name else None
    entries = read_registry(folder)
    there = shlex.join(["--dataset-dir", str(folder)])
    if manifest is None and name not in entries:
        raise DataError(
            f"no data set '{name}' in {folder}.{did_you_mean(name, entries)} `curate ls {there}` "
            "lists what is there"
        )
    table = _table(scores)
    if manifest is None or table is None:
        raise DataError(
            f"'{name}' in {folder} has no scores that can be read; what chose it writes them again "
            f"from the cache, and `curate score {there} --dataset {shlex.quote(name)} --scorer "
            "length` gives any data set some"
        )
    parts, place, not_here = _rows(name, folder, manifest, table, inputs)
    data, output = folder / made_file(last), manifest.get("output") or {}
    controls: dict[str, Mask] = {}  # that are registered beside it, and are of the same rows
    for control in (name + ending for ending in ENDINGS.values()):
        file = paths(folder, control)[1]
        if control in entries and file.is_file():
            kept = pq.read_table(file, columns=["id"], filters=[("kept", "=", True)])["id"]
            same = pc.is_in(table.column("id"), value_set=kept.combine_chunks())
            mask = same.to_numpy(zero_copy_only=False)
            if int(mask.sum()) == len(kept):
                controls[control] = mask
    return Chosen(
        name=name,
        table=table,
        manifest=manifest,
        parts=parts,
        place=place,
        beside=controls,
        folder=folder,
        not_here=not_here,
        changed=not data.exists() or content_sha256(data) != output.get("sha256"),
    )


def _table(path: Path) -> pa.Table | None:
    """Return scores but for nested columns; None where there are none, or the file is damaged."""
    try:
        schema = pq.read_schema(path)
        flat = [each.name for each in schema if not pa.types.is_nested(each.type)]
        whole = {"id", "row", "source", "status"} <= set(flat)
        return pq.read_table(path, columns=flat) if whole else None
    except (OSError, pa.ArrowException):
        return None


def _rows(
    name: str, folder: Path, manifest: dict[str, Any], table: pa.Table, inputs: Sequence[Path]
) -> tuple[tuple[Rows, ...], Places, tuple[str, ...]]:
    """Return the rows that are found again, each line's place among them, and whose are not."""
    # Equal ids are equal texts, wherever they stand: so are the first 16 digits.
    hashes = np.array([int(each[:16], 16) for each in table.column("id").to_pylist()], np.uint64)
    sources, names = manifest.get("sources", []), decoded(table.column("source"))
    named_all = all({"name", "sha256", "format", "rows"} <= set(source) for source in sources)
    if sources and not (named_all and sum(each["rows"] for each in sources) == len(table)):
        raise DataError(
            f"{name}.manifest.json does not say what the rows of {name}.scores.parquet are of; the "
            "command that made them writes both anew"
        )
    place, parts, not_here, start, base = np.full(len(table), -1), [], [], 0, 0
    with ExitStack() as opened:
        files = _checked(name, sources, inputs, opened)
        for source in sources:
            # Rows that were taken one by one may stand file by file, or not.
            lines = np.flatnonzero(names == source["name"])
            if len(lines) != source["rows"]:
                lines = np.arange(start, start + source["rows"])
            start += source["rows"]
            for stored_rows in _candidates(source, files.get(source["sha256"])):
                at = _aligned(hashes[lines], stored_rows.table.column("hash").to_numpy())
                if (at >= 0).all():
                    parts.append(Rows(stored_rows.shape, (stored_rows.source,), stored_rows.table))
                    place[lines], base = base + at, base + len(stored_rows.table)
                    break
            else:
                not_here.append(source["name"])
    if not_here:
        try:
            emitted = read(dataset=name, dataset_dir=folder)
        except CuratrainError:
            return tuple(parts), place, tuple(not_here)
        at = _aligned(hashes[place < 0], emitted.hashes)
        parts.append(emitted)
        place[place < 0] = np.where(at >= 0, base + at, -1)
    elif manifest.get("recipe") != "mix" and parts and "shape" in manifest:
        own = tuple(part.sources[0] for part in parts)
        whole = pa.concat_tables([part.table for part in parts])
        parts = [Rows(Shape(**manifest["shape"]), own, whole)]
    return tuple(parts), place, tuple(not_here)


def _checked(
    name: str, sources: list[dict[str, Any]], inputs: Sequence[Path], opened: ExitStack
) -> dict[str, InputFile]:
    """Return files by their sha256, and refuse what the data set was not made of."""
    signed = {source["sha256"]: source["name"] for source in sources}
    files = (file for path in inputs for file in input_files(path, opened))
    by_sum = {sniff(file.path).sha256: file for file in files}
    for sha256, file in by_sum.items():
        if sha256 not in signed:
            made_of = ", ".join(f"{name} (sha256 {sum_[:12]}…)" for sum_, name in signed.items())
            raise UsageError(
                f"--input {file.name}: its sha256 is {sha256[:12]}…, and '{name}' was made of "
                f"{made_of}; give that file as it was then"
            )
    return by_sum


def _candidates(source: dict[str, Any], file: InputFile | None) -> Iterator[Stored]:
    """Yield rows that may be those of a source: of a file that was given, or read before."""
    if file:
        named_keys = naming(source.get("columns"), source.get("roles"))
        for form in ("", source["format"]):
            how = Reading(form, source.get("fill", {}), named_keys)
            yield stored(file.path, source["name"], how, file.part)
    yield from read_before(Source(**source_fields(source)))


def _aligned(wanted: NDArray[np.uint64], known: NDArray[np.uint64]) -> Places:
    """Return the place of each hash among those that are known, -1 for none."""
    if len(wanted) == len(known) and (wanted == known).all():
        return np.arange(len(wanted))
    places = pc.fill_null(pc.index_in(pa.array(wanted), value_set=pa.array(known)), -1)
    aligned: Places = places.to_numpy(zero_copy_only=False).astype(np.int64)
    return aligned
