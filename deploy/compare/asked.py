"""From --prompts, --dataset and the tuned model's run to what both models are asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.errors import CuratrainError, UsageError
from deploy.compare.held_out import held_out, marked, read_sources
from deploy.compare.prompts import Prompts, limited, prompts_of, read_rows
from deploy.compare.trained import TrainedOn, read_run, trained_before, trained_on
from deploy.compare.validation import validation_part


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

    Args:
        prompts: Given with --prompts.
        dataset: Given with --dataset; without it and without prompts, the run's.
        dataset_dir: Given with --dataset-dir.
        models: Given with --base and --tuned; where the latter is a run's folder, its run.json
            is read.
        limit: The most prompts.
        seed: Draws them.

    Raises:
        UsageError: There is nothing to ask, or it cannot be proven that it is held out.
        DataError: A file cannot be read, or all rows were trained on.
    """
    run = read_run(Path(models[1]).expanduser())
    if prompts is None and dataset is None:
        _refuse_without_proof(run, models[1])
    found, notes = _chosen(prompts, dataset, dataset_dir, Path(models[1]).expanduser(), run)
    notes = [*_notes_of(run, *models), *notes]
    if doubt := _doubt(run, dataset):
        # Nothing is proven then of what is not in the data set: only what is in it is known.
        found = replace(
            found,
            prompts=tuple(
                replace(each, trained_on=each.trained_on or None) for each in found.prompts
            ),
        )
        notes.append(doubt)
    return limited(found, limit, seed), notes


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
    tuned: Path,
    run: dict[str, Any] | None,
) -> tuple[Prompts, list[str]]:
    """Return the prompts, each with whether the run's own data set has it, and notes."""
    if prompts is not None and dataset is None:
        rows = read_rows(prompts)
        known, why = _of_run(run, dataset_dir)
        return marked(rows, prompts_of(rows), known), why
    trained = _data_set(dataset, dataset_dir, run)
    if prompts is not None:
        return held_out([read_rows(prompts)], trained), []
    return _without_prompts(trained, tuned, run)


def _without_prompts(
    trained: TrainedOn, folder: Path, run: dict[str, Any] | None
) -> tuple[Prompts, list[str]]:
    """Return rows that the data set left out; if there are none, the run's validation part."""
    try:
        return held_out(read_sources(trained), trained), []
    except CuratrainError as error:
        if run is None or run.get("dataset", {}).get("name") != trained.name:
            raise
        try:
            found = validation_part(folder, run, trained.folder)
        except CuratrainError as other:
            raise type(error)(f"{error}. Nor is there a validation part: {other}") from other
    return found, [
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
    told = (run or {}).get("dataset") or {}
    name = dataset or str(told.get("name", ""))
    if not name:
        raise UsageError(
            "the run does not say what it was trained on; give --prompts FILE or --dataset NAME"
        )
    if run is not None and dataset and told.get("name") not in (None, dataset):
        raise UsageError(
            f"--dataset {dataset}: the tuned model was trained on '{told['name']}'; rows that "
            f"{dataset} left out may be in it. Give --dataset {told['name']}, or leave it away"
        )
    where = folder or Path(str(told.get("dataset_dir") or "data"))
    return trained_on(name, where, told.get("data_sha256") if told.get("name") == name else None)


def _of_run(run: dict[str, Any] | None, folder: Path | None) -> tuple[TrainedOn | None, list[str]]:
    """Return the run's data set if it is there and unchanged, else why it is not known."""
    if run is None:
        return None, []
    try:
        return _data_set(None, folder, run), []
    except CuratrainError as error:
        return None, [
            "whether the tuned model was trained on these prompts cannot be told: " + str(error)
        ]
