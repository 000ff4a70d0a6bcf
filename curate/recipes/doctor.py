"""What LLaMA-Factory will do with a data set, with a model's own tokenizer where one is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from curate.data.rows import Rows
from curate.errors import UsageError
from curate.llamafactory.doctor.data_set import Subject, of_entry, of_file
from curate.llamafactory.doctor.diagnosis import Diagnosis
from curate.llamafactory.doctor.repair import RECIPE, Repaired, fixed_name, repair
from curate.llamafactory.doctor.truncation import Cutoff, cutoff_in
from curate.llamafactory.doctor.visit import as_json, check_stage, diagnose, diagnose_rows
from curate.models.resolve import resolve

__all__ = [
    "as_json",
    "check_stage",
    "cutoff_of",
    "diagnose",
    "doctor",
    "fixed_name",
    "repair",
    "subjects",
]
NAME = RECIPE
Given = str | os.PathLike[str] | Rows


def subjects(
    input: list[Path] | None,  # noqa: A002 - the option's name
    dataset_dir: Path | None,
    dataset: list[str] | None,
    fill: Mapping[str, str] | None = None,
) -> list[Subject]:
    """Return what is to be judged.

    Args:
        input: Files.
        dataset_dir: Folder of dataset_info.json.
        dataset: Names in it.
        fill: Placeholder to text, for --fix.

    Raises:
        UsageError: Both were given, or neither.
        DataError: Something is not there.
    """
    if input and (dataset_dir is not None or dataset):
        raise UsageError("give --input FILE, or --dataset-dir FOLDER and --dataset NAME, not both")
    if input:
        return [of_file(path, fill or {}) for path in input]
    if not dataset:
        raise UsageError(
            "nothing to judge: give --input FILE, or --dataset-dir FOLDER --dataset NAME"
        )
    return [of_entry(dataset_dir or Path("data"), name, fill or {}) for name in dataset]


def cutoff_of(
    model: str | None,
    cutoff_len: int | None,
    template: str = "auto",
    unpacked: bool = False,
    trust_remote_code: bool = False,
) -> Cutoff | None:
    """Return what looks at the tokens of rows, None where no model was given.

    Args:
        model: Whose tokenizer counts: a name, a directory or a hub id.
        cutoff_len: Tokens of a row, LLaMA-Factory's `cutoff_len`.
        template: LLaMA-Factory's, `own` for the tokenizer's, or `auto`.
        unpacked: In stage pt, cut rows instead of packing them.
        trust_remote_code: Run Python files that come with the model.

    Raises:
        UsageError: One was given without the other, or a value is not allowed.
        ModelError: There is no such model, or its tokenizer does not go with the template.
    """
    if model is None or cutoff_len is None:
        if model is None and cutoff_len is None and template == "auto":
            return None
        raise UsageError("--model, --cutoff-len and --template go together: give model and length")
    folder = resolve(model, trust_remote_code).folder
    return cutoff_in(folder, cutoff_len, template, unpacked, trust_remote_code)


def doctor(
    given: Given | None = None,
    stage: str | None = None,
    dataset_dir: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    fix: bool = False,
    output: str | os.PathLike[str] | None = None,
    model: str | None = None,
    cutoff_len: int | None = None,
    template: str = "auto",
) -> Diagnosis:
    """Return what LLaMA-Factory will do with a file, with rows, or with a registered data set.

    Args:
        given: A file, or rows, which are judged as they would be emitted.
        stage: pt, sft, rm, dpo or kto; None for the one that the data is meant for.
        dataset_dir: Folder of dataset_info.json.
        dataset: Name in it.
        fix: Write the data set anew, and return what LLaMA-Factory will do with that.
        output: Folder to write to; that of dataset_info.json, else `data`.
        model: Whose tokenizer counts what a cutoff leaves.
        cutoff_len: Tokens of a row, as in the training's `cutoff_len`.
        template: LLaMA-Factory's, as in the training; `own` for the tokenizer's.

    Raises:
        ModelError: There is no such model.
        UsageError: Arguments that do not go together.
        DataError: Something is not there, or cannot be repaired.

    Example:
        >>> curate.doctor("dpo_zh.jsonl").findings[["rule", "count"]]
                     rule  count
        0  bare_responses    350
    """
    check_stage(stage)
    measure = cutoff_of(model, cutoff_len, template)
    if isinstance(given, Rows):
        if fix:
            raise UsageError(
                "rows are written by curate.emit(); fix=True takes a file or a data set"
            )
        return diagnose_rows(given, stage, measure)
    paths = [Path(given)] if given is not None else None
    folder = Path(dataset_dir) if dataset_dir is not None else None
    subject = subjects(paths, folder, [dataset] if dataset else None)[0]
    if fix:
        subject = fixed(subject, folder, Path(output) if output else None).subject
    return diagnose(subject, stage, measure)


def fixed(
    subject: Subject, dataset_dir: Path | None, output: Path | None, overwrite: bool = False
) -> Repaired:
    """Write a data set anew, beside the old one if that is registered, else into `data`.

    Args:
        subject: What is repaired.
        dataset_dir: Folder in which it is registered.
        output: Folder to write to instead.
        overwrite: Replace a data set of that name that something else made.

    Raises:
        DataError: It cannot be repaired.
        OutputError: It cannot be written.
    """
    beside = Path("data") if subject.assumed else dataset_dir or Path("data")
    return repair(subject, output or beside, fixed_name(subject), overwrite)
