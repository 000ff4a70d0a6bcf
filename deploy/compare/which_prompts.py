"""From --prompts, --dataset and the tuned model's run to what both models are asked.

A row is held out if neither its content nor its prompt is in the data set that the model was
trained on; what cannot be proven is never called held out. Rows that say nearly the same are not
found: `curate dedup --against` finds those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.data.read import read
from curate.data.rows import Rows
from curate.data.samples import bundled_folder
from curate.errors import CuratrainError, DataError, UsageError
from curate.system.files import sha256_of
from deploy.compare.prompts import Prompts, limited, prompts_of, read_rows
from deploy.compare.training_rows import (
    SourceFile,
    TrainedOn,
    read_run,
    trained_before,
    trained_on,
    training_part,
)


def asked(
    prompts: Path | None,
    dataset: str | None,
    dataset_dir: Path | None,
    models: tuple[str, str],
    limit: int,
    seed: int,
) -> tuple[Prompts, list[str]]:
    """Return what is asked, and what the user should be told of it.

    With a data set only rows that are not in it are asked: of the prompts' file, else of the files
    that it was chosen from. Without one, all prompts are, and each is marked as trained on or not
    where the run of the tuned model tells.
    """
    folder = Path(models[1]).expanduser()
    run = read_run(folder)
    if prompts is None and dataset is None:
        _refuse_without_proof(run, models[1])
    chosen, notes = _chosen(prompts, dataset, dataset_dir, folder, run)
    notes = [*_notes_of(run, *models), *notes]
    if doubt := _doubt(run, dataset):
        # Nothing is proven then of what is not in the data set: only what is in it is known.
        doubted = (replace(one, trained_on=one.trained_on or None) for one in chosen.prompts)
        chosen = replace(chosen, prompts=tuple(doubted))
        notes.append(doubt)
    return limited(chosen, limit, seed), notes


def _doubt(run: dict[str, Any] | None, dataset: str | None) -> str:
    """Return why rows that are not in the data set may have been trained on, '' if not."""
    if before := trained_before(run):
        return f"the run went on from {before}: what that was trained on is not looked at"
    if run is None and dataset is not None:
        return (
            f"the prompts are not in the data set '{dataset}'; that the tuned model was trained on "
            "it and on nothing else is not known here: there is no run.json"
        )
    return ""


def _refuse_without_proof(run: dict[str, Any] | None, tuned: str) -> None:
    if run is None:
        raise UsageError(
            "nothing to ask: give --prompts FILE, or --dataset NAME for the rows of its source "
            "that the model was not trained on"
        )
    if before := trained_before(run):
        raise UsageError(
            f"the run {tuned} went on from {before}, and rows that its own data set left out may "
            "have been trained on there: none can be proven to be held out; give --prompts FILE, "
            "or --dataset NAME to leave out the rows of that data set alone"
        )


def _chosen(
    prompts: Path | None,
    dataset: str | None,
    dataset_dir: Path | None,
    folder: Path,
    run: dict[str, Any] | None,
) -> tuple[Prompts, list[str]]:
    """Return the prompts, each with whether the run's own data set has it, and notes."""
    if prompts is not None and dataset is None:
        rows = read_rows(prompts)
        try:
            known = _data_set(None, dataset_dir, run) if run is not None else None
        except CuratrainError as error:
            why = f"whether the tuned model was trained on these prompts cannot be told: {error}"
            return prompts_of(rows), [why]
        return _marked(rows, prompts_of(rows), known), []
    trained = _data_set(dataset, dataset_dir, run)
    if prompts is not None:
        return _held_out([read_rows(prompts)], trained), []
    try:
        return _held_out(_read_sources(trained), trained), []
    except CuratrainError as error:
        if run is None or run.get("dataset", {}).get("name") != trained.name:
            raise
        try:
            rows, training = training_part(folder, run, trained.folder)
            validation = _held_out([rows], training)
        except CuratrainError as other:
            raise type(error)(f"{error}. Nor is there a validation part: {other}") from other
    return validation, [
        f"these are rows of the validation part of {folder}, which were not trained on, but by "
        "whose loss a checkpoint may have been chosen"
    ]


def _notes_of(run: dict[str, Any] | None, base: str, tuned: str) -> list[str]:
    notes = []
    if run is not None and run.get("state") not in (None, "done"):
        notes.append(
            f"the run {tuned} is not done but '{run['state']}': it may not be what you mean"
        )
    if run is not None and run.get("model") not in (None, base):
        notes.append(
            f"the run was trained from '{run['model']}', and --base is '{base}': if they are not "
            "the same model, the difference is not that of the training"
        )
    return notes


def _data_set(dataset: str | None, folder: Path | None, run: dict[str, Any] | None) -> TrainedOn:
    """Return the data set that was named, else the run's; of the run's, its sha256 has to fit."""
    of_run = (run or {}).get("dataset") or {}
    name = dataset or str(of_run.get("name", ""))
    if not name:
        raise UsageError(
            "the run does not say what it was trained on; give --prompts FILE or --dataset NAME"
        )
    if run is not None and dataset and of_run.get("name") not in (None, dataset):
        raise UsageError(
            f"--dataset {dataset}: the tuned model was trained on '{of_run['name']}'; rows that "
            f"{dataset} left out may be in it. Give --dataset {of_run['name']}, or leave it away"
        )
    where = folder or Path(str(of_run.get("dataset_dir") or "data"))
    return trained_on(
        name, where, of_run.get("data_sha256") if of_run.get("name") == name else None
    )


def _held_out(files: Sequence[Rows], trained: TrainedOn) -> Prompts:
    """Return the prompts of the rows that are not in the data set; the others are counted."""
    parts = []
    for rows in files:
        keep = [
            row.position for row in rows if not trained.has(row, int(rows.hashes[row.position]))
        ]
        parts.append(prompts_of(rows, keep))
    count = sum(part.read for part in parts)
    left_out = sum((Counter(part.left_out) for part in parts), Counter[str]())
    sources = {name: sha256 for part in parts for name, sha256 in part.sources.items()}
    if left_out["trained_on"] == count:
        raise DataError(
            f"all {count:,} rows of {', '.join(sources)} are in the data set '{trained.name}': "
            "none is held out. Give other prompts with --prompts"
        )
    prompts = (replace(prompt, trained_on=False) for part in parts for prompt in part.prompts)
    return Prompts(tuple(prompts), count, dict(sorted(left_out.items())), sources)


def _marked(rows: Rows, prompts: Prompts, trained: TrainedOn | None) -> Prompts:
    """Return the prompts, each with whether the model was trained on it."""
    if trained is None:
        return prompts
    wanted = {prompt.id for prompt in prompts.prompts}
    seen = {
        row.id: trained.has(row, int(rows.hashes[row.position])) for row in rows if row.id in wanted
    }
    marked = tuple(replace(prompt, trained_on=seen[prompt.id]) for prompt in prompts.prompts)
    return replace(prompts, prompts=marked)


def _read_sources(trained: TrainedOn) -> list[Rows]:
    """Read the files that a data set was chosen from, each known again by its sha256."""
    if not trained.sources:
        raise UsageError(
            f"--dataset {trained.name}: its manifest does not say what its rows were chosen from, "
            "so no row can be proven to be held out; give prompts with --prompts F"
        )
    paths = [(_source_path(source, trained), source) for source in trained.sources]
    return [read(path, source.format or None, source.fill) for path, source in paths]


def _source_path(source: SourceFile, trained: TrainedOn) -> Path:
    """Return where a source lies: here, beside the data set, or among the samples."""
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
