"""A choice as curate wrote it: its rows, where they are found again, and what made it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.describe import counted, how_read, notes_on
from curate.data.encoding import sniff
from curate.data.inputs import InputFile, input_files
from curate.data.layout import Reading
from curate.data.naming import naming
from curate.data.public_sets import public_sets
from curate.data.read import read
from curate.data.row_cache import Stored, read_before, stored
from curate.data.rows import Rows
from curate.data.schema import Shape, Source
from curate.emission.emit import made_file, paths
from curate.errors import CuratrainError, DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import read_registry
from curate.parameters.car import CarParams
from curate.parameters.dedup import DedupParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.option import options_of
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams, recipes
from curate.parameters.split import DecontaminateParams, SplitParams
from curate.recipes.controls import ENDINGS
from curate.reports.chosen import Chosen, Mask, Places, decoded
from curate.system.files import content_sha256
from curate.system.manifest import read_manifest


def named(name: str, folder: Path, inputs: Sequence[Path] = ()) -> Chosen:
    """Return a data set, or scores alone, as curate wrote it.

    `inputs` are the files that it was made of, where they are not in the cache any more.
    """
    _, scores, last = paths(folder, name)
    manifest = read_manifest(last) if Path(name).name == name else None
    entries = read_registry(folder)
    if manifest is None:
        if name in entries:
            raise DataError(
                f"'{name}' in {folder} was not made by curate and has no scores; `curate score "
                f"--dataset-dir {folder} --dataset {name} --scorer length` gives it some"
            )
        raise DataError(
            f"no data set '{name}' in {folder}.{did_you_mean(name, entries)} `curate ls "
            f"--dataset-dir {folder}` lists what is there"
        )
    recipe = manifest.get("recipe")
    others = f"'{name}' in {folder} was made by {recipe}, which chooses among no rows; "
    if name in entries:
        typed = shlex.join(["--dataset-dir", str(folder), "--dataset", name])
        others += f"`curate score {typed} --scorer length` gives it scores to show"
    else:
        others += "give the name of a choice, of a mixture or of `curate score`"
    table = _table(scores, others)
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


def _table(path: Path, others: str) -> pa.Table:
    again = (
        "the command that made it writes them again, from the cache; where it gives no scores, "
        "`curate score --scorer length` does"
    )
    try:
        schema = pq.read_schema(path)
        flat = [each.name for each in schema if not pa.types.is_nested(each.type)]
        if not {"id", "row", "source", "status"} <= set(flat):
            raise DataError(others)
        return pq.read_table(path, columns=flat)
    except FileNotFoundError as error:
        raise DataError(f"no scores: there is no '{path}'; {again}") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"'{path}' is no parquet file that can be read; {again}") from error


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
            for known in _found(source, files.get(source["sha256"])):
                at = _aligned(hashes[lines], known.table.column("hash").to_numpy())
                if (at >= 0).all():
                    parts.append(Rows(known.shape, (known.source,), known.table))
                    place[lines], base = base + at, base + len(known.table)
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


def _found(source: dict[str, Any], file: InputFile | None) -> Iterator[Stored]:
    """Yield rows that may be those of a source: of a file that was given, or read before."""
    if file:
        named_keys = naming(source.get("columns"), source.get("roles"))
        for form in ("", source["format"]):
            how = Reading(form, source.get("fill", {}), named_keys)
            yield stored(file.path, source["name"], how, file.part)
    yield from read_before(Source(**source_fields(source)))


def source_fields(source: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of a file, without what a mixture says of it besides."""
    return {key: source[key] for key in Source.__dataclass_fields__ if key in source}


def _aligned(wanted: NDArray[np.uint64], known: NDArray[np.uint64]) -> Places:
    """Return the place of each hash among those that are known, -1 for none."""
    if len(wanted) == len(known) and (wanted == known).all():
        return np.arange(len(wanted))
    found = pc.index_in(pa.array(wanted), value_set=pa.array(known))
    places: Places = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return places


# Where it comes from: the command to type again, sources, models, versions, files

_COMMANDS: dict[str, type] = {
    **{"car": CarParams, "dedup": DedupParams, "ifd": IFDParams, "mods": ModsParams},
    **{"score": ScoreParams, "select": SelectParams, "split": SplitParams},
    **{"decontaminate": DecontaminateParams, "mix": MixParams},
}
# Fields that hold "NAME sha256:…" of files, by which option they were given.
_FILES = ("against", "scores", "like", "marks")


def provenance(chosen: Chosen) -> Iterator[tuple[str, str]]:
    """Yield headings and texts; none of them holds a date, a time or a folder of this machine."""
    manifest = chosen.manifest
    if command := command_of(chosen.name, manifest):
        yield "command", command
    yield "recipe", chosen.recipe
    yield "parameters", _json(chosen.params)
    for entry in manifest.get("sources", ()):
        source = Source(**source_fields(entry))
        told = [f"{how_read(source)}, {counted(source.rows)}, sha256 {source.sha256}"]
        told += [note.removeprefix(f"{source.name}: ") for note in notes_on(source)]
        yield f"source {source.name}", "; ".join(told)
        for known in public_sets().values():
            if Path(known.input).name == source.name:
                yield (
                    f"licence of {source.name}",
                    f"{known.licence}, as {known.name} ({known.where})",
                )
    if output := manifest.get("output"):
        yield "output", f"{output['file']}, {counted(output['rows'])}, sha256 {output['sha256']}"
    if manifest.get("model"):
        yield "model", _json(manifest["model"])
    if tokens := (manifest.get("counts") or {}).get("tokens"):
        yield "tokens are counted by", str(tokens.get("by"))
    yield "versions", _json(manifest.get("versions", {}))
    if chosen.folder:
        names = [file.name for file in paths(chosen.folder, chosen.name)[1:]]
        data = made_file(paths(chosen.folder, chosen.name)[2])
        yield "files", ", ".join(dict.fromkeys([data, *names]))


def command_of(name: str, manifest: Mapping[str, Any]) -> str:
    """Return the command that makes a choice again, '' for one that belongs to another's.

    Example:
        >>> command_of("h_ifd", {"recipe": "ifd", "params": {"keep": "5%"}, "sources": [...]})
        'curate ifd --input huatuo.json --keep 5% --name h_ifd'
    """
    recipe, params = str(manifest.get("recipe")), dict(manifest.get("params") or {})
    if "of" in params:  # a control
        return ""
    command = "select" if recipe in recipes() and recipe not in _COMMANDS else recipe
    if command not in _COMMANDS:
        return ""
    sources = manifest.get("sources", ())
    words = ["curate", command]
    if command == "mix":
        for side in ("domain", "general"):
            names = [source["name"] for source in sources if source.get("side") == side]
            words += [f"--{side}", *names] if names else []
        words += ["--ratio", str(params.pop("ratio", ""))]
    else:
        words += ["--input", *(source["name"] for source in sources)]
        for how in ("fill", "columns", "roles"):
            pairs = {k: v for source in sources for k, v in (source.get(how) or {}).items()}
            words += [f"--{how}", *(f"{k}={v}" for k, v in pairs.items())] if pairs else []
    if command == "select":
        params |= {"recipe": recipe if recipe in recipes() else None}
        # The default is noted also where no model was asked for anything.
        if params.get("model") not in (manifest.get("model") or {}).values():
            params.pop("model", None)
    if command == "split":  # its name and an ending are those of its two sides
        name = name.removesuffix(f"_{manifest.get('side')}")
    for key, (_, default, option) in options_of(_COMMANDS[command]).items():
        value, flag = params.get(key, default), f"--{key.replace('_', '-')}"
        if key in _FILES and value:
            for files in [value] if isinstance(value, str) else value:
                words += [flag, *(each.split(" ")[0] for each in files.split(", "))]
        elif not option.command or value in (None, (), [], option.typed or default):
            continue
        elif isinstance(value, list | tuple):
            words += [word for each in value for word in (flag, str(each))]
        else:
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join([*words, "--name", name])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
