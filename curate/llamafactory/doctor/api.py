"""What LLaMA-Factory will do with files, rows and registered data sets, as Python is asked it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from curate.data.rows import Rows
from curate.errors import UsageError
from curate.llamafactory.doctor.data_set import DataSet, of_entry, of_file
from curate.llamafactory.doctor.diagnose import check_stage, diagnose, diagnose_rows
from curate.llamafactory.doctor.diagnosis import Diagnosis
from curate.llamafactory.doctor.repair import Repaired, repair
from curate.llamafactory.doctor.truncation import Cutoff, cutoff_in

_DATA = Path("data")


def doctor(
    given: str | os.PathLike[str] | Rows | None = None,
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
    data_set = data_sets(paths, folder, [dataset] if dataset else None)[0]
    if fix:
        data_set = fixed(data_set, folder, Path(output) if output else None).data_set
    return diagnose(data_set, stage, measure)


def data_sets(
    paths: list[Path] | None,
    dataset_dir: Path | None,
    names: list[str] | None,
    fill: Mapping[str, str] | None = None,
) -> list[DataSet]:
    """Return what is to be judged: files, or registered data sets."""
    if paths and (dataset_dir is not None or names):
        raise UsageError("give --input FILE, or --dataset-dir FOLDER and --dataset NAME, not both")
    if paths:
        return [of_file(path, fill or {}) for path in paths]
    if not names:
        raise UsageError(
            "nothing to judge: give --input FILE, or --dataset-dir FOLDER --dataset NAME"
        )
    return [of_entry(dataset_dir or _DATA, name, fill or {}) for name in names]


def cutoff_of(
    model: str | None,
    cutoff_len: int | None,
    template: str = "auto",
    unpacked: bool = False,
    trust_remote_code: bool = False,
) -> Cutoff | None:
    """Return what looks at the tokens of rows, None where no model was given."""
    if model is None or cutoff_len is None:
        if model is None and cutoff_len is None and template == "auto":
            return None
        raise UsageError("--model, --cutoff-len and --template go together: give model and length")
    from curate.models.resolve import resolve

    folder = resolve(model, trust_remote_code).folder
    return cutoff_in(folder, cutoff_len, template, unpacked, trust_remote_code)


def fixed(
    data_set: DataSet, dataset_dir: Path | None, output: Path | None, overwrite: bool = False
) -> Repaired:
    """Write a data set anew, beside the old one if that is registered, else into `data`."""
    beside = _DATA if data_set.assumed else dataset_dir or _DATA
    return repair(data_set, output or beside, overwrite)
