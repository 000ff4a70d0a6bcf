"""What LLaMA-Factory 0.9.5 really does with rows: its own parser, loader, converter and processors.

`train_on` takes the way that `llamafactory-cli train` takes, on a file of its own; `converted`
takes a row as it is after loading, thousands a second. Nothing touches the network or a cache
folder of the user's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import logging
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from curate.llamafactory.release import STUB

STAGES = {"pt": "pt", "sft": "sft", "rm": "rm", "dpo": "rm", "kto": "kto"}
NAME = "rows"


@dataclass(frozen=True)
class Became:
    """What a row became.

    Attributes:
        verdict: `usable`, `dropped` or `raises`, which ends the training.
        prompt: Messages with role and content.
        response: One message; two for preference and KTO.
        system: The system prompt.
        tools: Descriptions of tools.
        error: What was raised, as "KeyError: 'input'".
    """

    verdict: str
    prompt: list[dict[str, Any]] = field(default_factory=list)
    response: list[dict[str, Any]] = field(default_factory=list)
    system: Any = ""
    tools: Any = ""
    error: str = ""


@dataclass(frozen=True)
class Training:
    """What became of a whole file.

    Attributes:
        error: What ended it, '' if training would begin.
        usable: Rows that are left to train on, 0 if it ended.
        rows: Each row by itself; empty if the file could not be loaded.
    """

    error: str
    usable: int
    rows: tuple[Became, ...]


class Letters:
    """A tokenizer whose tokens are characters."""

    eos_token, eos_token_id, pad_token_id, bos_token_id = "\x03", 3, 0, None
    add_bos_token = False

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(each) for each in text]

    def __call__(self, texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        ids = [self.encode(text)[: options.get("max_length")] for text in texts]
        return {"input_ids": ids, "attention_mask": [[1] * len(each) for each in ids]}

    def decode(self, ids: list[int], **options: Any) -> str:
        return "".join(map(chr, ids))


@functools.cache
def factory() -> SimpleNamespace:
    """Import LLaMA-Factory, which takes seconds; a stand-in for torchaudio if it is not there."""
    if importlib.util.find_spec("torchaudio") is None:
        sys.path.append(str(STUB))
    import datasets
    from llamafactory.data import converter, loader, parser, template

    # It asks for the trainer too, which is not installed here: no row passes through it.
    with mock.patch.dict(os.environ, DISABLE_VERSION_CHECK="1"):
        from llamafactory.hparams import DataArguments

    datasets.disable_progress_bars()
    for name in ("llamafactory", "datasets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return SimpleNamespace(
        converter=converter,
        loader=loader,
        parser=parser,
        template=template,
        DataArguments=DataArguments,
    )


def train_on(
    values: Any, entry: Any, stage: str = "sft", file_name: str = "rows.jsonl"
) -> Training:
    """Let LLaMA-Factory load, convert and encode a file of rows.

    Args:
        values: Rows, the bytes of a file, or the path of one.
        entry: Of dataset_info.json, without `file_name`.
        stage: pt, sft, rm, dpo or kto.
        file_name: Its ending decides how it is loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, file_name)
        if isinstance(values, Path):
            data.symlink_to(values.resolve())
        elif isinstance(values, bytes):
            data.write_bytes(values)
        else:
            text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in values)
            data.write_text(text, encoding="utf-8")
        info = {NAME: {"file_name": file_name, **entry} if isinstance(entry, dict) else entry}
        Path(folder, "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
        return train_in(folder, NAME, stage)


def train_in(folder: str | Path, name: str, stage: str = "sft") -> Training:
    """Let LLaMA-Factory load, convert and encode a registered data set.

    Args:
        folder: Of dataset_info.json.
        name: Of the data set.
        stage: pt, sft, rm, dpo or kto.
    """
    lf, stage = factory(), STAGES[stage]
    loaded: list[Any] = []
    align = lf.loader.align_dataset

    def watch(dataset: Any, attr: Any, *more: Any) -> Any:
        loaded.extend((dataset, attr))
        return align(dataset, attr, *more)

    with tempfile.TemporaryDirectory() as cache, contextlib.redirect_stdout(io.StringIO()):
        model = SimpleNamespace(cache_dir=cache, hf_hub_token=None, ms_hub_token=None)
        given = _arguments(str(folder), name)
        lf.loader.align_dataset = watch
        try:
            merged = lf.loader._get_merged_dataset([name], model, given, _TRAINING, stage)
            done = lf.loader._get_preprocessed_dataset(
                merged, given, _TRAINING, stage, lf.template.TEMPLATES["chatml"], Letters()
            )
            error, usable = "", len(done)
        except Exception as problem:  # noqa: BLE001 - whatever ends it is the answer
            error, usable = _named(problem), 0
        finally:
            lf.loader.align_dataset = align
        if not loaded:
            return Training(error, usable, ())
        dataset, attr = loaded
        try:
            return Training(
                error, usable, tuple(_became(row, attr, given, stage) for row in dataset)
            )
        except UnicodeDecodeError:  # loading does not look at every text
            return Training(error, usable, ())


def converted(value: dict[str, Any], entry: dict[str, Any], stage: str = "sft") -> Became:
    """Let LLaMA-Factory convert and check one row, as it is after loading.

    Args:
        value: The row.
        entry: Of dataset_info.json.
        stage: pt, sft, rm, dpo or kto; whether it fits `ranking` is not looked at.
    """
    attr = factory().parser.DatasetAttr("file", dataset_name=NAME)
    try:
        attr.join(entry)
    except Exception as problem:  # noqa: BLE001
        return Became("raises", error=_named(problem))
    return _became(value, attr, _arguments(".", NAME), STAGES[stage])


_TRAINING = SimpleNamespace(
    seed=42,
    should_log=True,
    local_process_index=0,
    predict_with_generate=False,
    dataloader_num_workers=0,
)


@functools.cache
def _arguments(folder: str, name: str) -> Any:
    return factory().DataArguments(
        template="chatml",
        dataset=name,
        dataset_dir=folder,
        cutoff_len=1 << 20,
        overwrite_cache=True,
        packing=False,
    )


def _became(value: dict[str, Any], attr: Any, given: Any, stage: str) -> Became:
    lf = factory()
    try:
        row = _stored(lf.converter.get_dataset_converter(attr.formatting, attr, given)(value))
        processor = lf.loader._get_dataset_processor(
            given, stage, lf.template.TEMPLATES["chatml"], Letters(), None
        )
        left = processor.preprocess_dataset({key: [each] for key, each in row.items()})
    except Exception as problem:  # noqa: BLE001
        return Became("raises", error=_named(problem))
    said = (row[key] for key in ("_prompt", "_response", "_system", "_tools"))
    return Became("usable" if any(left.values()) else "dropped", *said)


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row is after it was written to a table, which takes columns of one type."""
    import datasets

    texts = [each["content"] for each in [*row["_prompt"], *row["_response"]]]
    if all(isinstance(each, str) for each in texts):
        return row
    return datasets.Dataset.from_list([row])[0]


def _named(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"
