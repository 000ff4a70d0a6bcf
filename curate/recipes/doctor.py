"""What LLaMA-Factory will do with a data set, with a model's own tokenizer where one is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.data.rows import Rows
from curate.errors import ModelError, UsageError, did_you_mean
from curate.llamafactory.doctor.data_set import Subject, of_entry, of_file
from curate.llamafactory.doctor.diagnosis import Diagnosis
from curate.llamafactory.doctor.own_template import own_template
from curate.llamafactory.doctor.repair import RECIPE, Repaired, fixed_name, repair
from curate.llamafactory.doctor.truncation import TEMPLATES, Cutoff, Template, check_cutoff
from curate.llamafactory.doctor.visit import as_json, check_stage, diagnose, diagnose_rows
from curate.models.resolve import resolve
from curate.models.text_tokenizer import HFEncoder, load_tokenizer

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
    check_cutoff(cutoff_len)
    allowed = ("auto", "own", *TEMPLATES)
    if template not in allowed:
        raise UsageError(
            f"--template {template}: allowed are {', '.join(allowed)}; LLaMA-Factory's others are "
            f"not measured.{did_you_mean(template, allowed)}"
        )
    files = resolve(model, trust_remote_code)
    tokenizer = load_tokenizer(files, trust_remote_code)
    chosen, end = _template(tokenizer, template, files.name)
    return Cutoff(chosen, Tokens(tokenizer, end), cutoff_len, unpacked)


class Tokens:
    """A Hugging Face tokenizer as the rules of cutting want it.

    Args:
        tokenizer: A loaded tokenizer.
        end: Id of the token that ends a response.
    """

    def __init__(self, tokenizer: Any, end: int) -> None:
        self._tokenizer = tokenizer
        self._end = end

    @property
    def end(self) -> int:
        """The id of the token that ends a response."""
        return self._end

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, nothing added."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids


def _template(tokenizer: Any, name: str, model: str) -> tuple[Template, int]:
    """Return a template and the id of its end token."""
    encoder = HFEncoder(tokenizer, model)
    if name == "auto":
        chats = encoder.has_chat_template and "<|im_start|>" in str(tokenizer.chat_template)
        name = "chatml" if chats else "own" if encoder.has_chat_template else "default"
    if name == "own":
        prefix = tokenizer.decode(tokenizer.encode(""))
        template = own_template(encoder.render, prefix)
    else:
        template = TEMPLATES[name]
    words = ("<|im_start|>", "<|im_end|>") if name == "chatml" else ()
    known = tokenizer.get_vocab()
    missing = [word for word in words if word not in known]
    if missing:
        raise ModelError(
            f"template chatml wants the tokens {' and '.join(missing)}, and the tokenizer of "
            f"{model} has not; LLaMA-Factory would add them. Give another --template"
        )
    end = known["<|im_end|>"] if name == "chatml" else tokenizer.eos_token_id
    if end is None:
        raise ModelError(f"the tokenizer of {model} has no end token; give --template chatml")
    return replace(template, name=name), int(end)


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
