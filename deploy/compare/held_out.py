"""Rows that a model was not trained on, by proof: what cannot be proven is never called held out.

A row is held out if neither its content nor its prompt is in the data set that the model was
trained on. Rows that say nearly the same are not found: `curate dedup --against` finds those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curate.data.bundled import bundled_folder
from curate.data.manifest import sha256_of
from curate.data.read import read
from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from deploy.compare.prompts import Prompts, prompts_of
from deploy.compare.trained import SourceFile, TrainedOn


def held_out(files: Sequence[Rows], trained: TrainedOn) -> Prompts:
    """Return the prompts of the rows that are not in the data set; the others are counted.

    Args:
        files: Rows that the data set was chosen from, or any others.
        trained: The data set.

    Raises:
        DataError: All rows are in it.
    """
    found = [_of_one(rows, trained) for rows in files]
    read, prompts = sum(each.read for each in found), [p for each in found for p in each.prompts]
    left_out = sum((Counter(each.left_out) for each in found), Counter[str]())
    sources = {name: sha256 for each in found for name, sha256 in each.sources.items()}
    if left_out["trained_on"] == read:
        raise DataError(
            f"all {read:,} rows of {', '.join(sources)} are in the data set '{trained.name}': none "
            "is held out. Give other prompts with --prompts"
        )
    return Prompts(tuple(prompts), read, dict(sorted(left_out.items())), sources)


def _of_one(rows: Rows, trained: TrainedOn) -> Prompts:
    keep = [row.position for row in rows if not trained.has(row, int(rows.hashes[row.position]))]
    found = prompts_of(rows, keep)
    return replace(found, prompts=tuple(replace(each, trained_on=False) for each in found.prompts))


def marked(rows: Rows, prompts: Prompts, trained: TrainedOn | None) -> Prompts:
    """Return the prompts, each with whether the model was trained on it.

    Args:
        rows: That the prompts came from.
        prompts: Of these rows.
        trained: The data set, None if it is not known.
    """
    if trained is None:
        return prompts
    wanted = {each.id for each in prompts.prompts}
    seen = {
        row.id: trained.has(row, int(rows.hashes[row.position])) for row in rows if row.id in wanted
    }
    asked = tuple(replace(each, trained_on=seen[each.id]) for each in prompts.prompts)
    return replace(prompts, prompts=asked)


def read_sources(trained: TrainedOn) -> list[Rows]:
    """Read the files that a data set was chosen from, each known again by its sha256.

    They are looked for here, beside the data set, and among the samples.

    Args:
        trained: The data set.

    Raises:
        UsageError: Its manifest names none, or one is not to be found.
    """
    if not trained.sources:
        raise UsageError(
            f"--dataset {trained.name}: its manifest does not say what its rows were chosen from, "
            "so no row can be proven to be held out; give prompts with --prompts F"
        )
    found = [(_found(each, trained), each) for each in trained.sources]
    return [read(path, each.format or None, each.fill) for path, each in found]


def _found(source: SourceFile, trained: TrainedOn) -> Path:
    folders = (Path(), trained.folder, trained.folder.parent, bundled_folder() / "samples")
    for folder in folders:
        path = folder / source.name
        if path.is_file() and sha256_of(path) == source.sha256:
            return path
    raise UsageError(
        f"--dataset {trained.name}: its rows were chosen from {source.name} (sha256 "
        f"{source.sha256[:12]}…), which is neither here nor in {trained.folder}; give it with "
        "--prompts, and the rows of it that are not in the data set are asked"
    )
