"""The model that is quantised, the rows that it is quantised with, and others to measure it on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import FILE, read_registry, registered
from curate.system.files import sha256_of
from deploy.output import made
from deploy.runs import ADAPTER, SAVES, read_run

if TYPE_CHECKING:
    from curate.data.rows import Rows

LONGEST = 1024
_LEAST = 8
_BEGINNING = 32
_HELD_OUT = 64
_HELD_OUT_SHARE = 0.25
_DATA = Path("data")


@dataclass(frozen=True)
class CalibrationSet:
    """An emitted data set.

    Attributes:
        name: In dataset_info.json; of several, separated by commas.
        folder: Of dataset_info.json.
        files: Its rows.
        why: It was chosen, for people.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    why: str


@dataclass(frozen=True)
class Encoded:
    """A row as token ids.

    Attributes:
        id: Of the row.
        ids: Prompt and response in the model's chat template.
        start: Where the response begins.
        asked: The last question; '' for a document.
    """

    id: str
    ids: tuple[int, ...]
    start: int
    asked: str = ""

    @property
    def question(self) -> tuple[int, ...]:
        """What stands before the response; of a document, its beginning."""
        return self.ids[: self.start] if self.asked else self.ids[:_BEGINNING]


@dataclass(frozen=True)
class Drawn:
    """Rows for quantising, and rows for measuring, none of which is in both.

    Attributes:
        calibration: Rows that quantising looks at.
        held_out: Rows that perplexity is computed on.
        rows: How many the data set has.
        left_out: Reason to number of rows that serve for neither.
    """

    calibration: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    rows: int
    left_out: dict[str, int]

    @property
    def sha256(self) -> str:
        """Of the calibration rows' ids, in their order."""
        return hashlib.sha256(json.dumps([row.id for row in self.calibration]).encode()).hexdigest()


def find_model(name: str) -> Path:
    """Return the folder of a whole model: a name, a folder, a run's name, or a hub id."""
    from curate.models.resolve import resolve

    typed = Path(name).expanduser()
    if not typed.is_dir() and not typed.is_absolute() and (SAVES / typed).is_dir():
        typed = SAVES / typed
    if (typed / ADAPTER).is_file():
        raise UsageError(
            f"{typed} is an adapter, and quantised are whole models; first: deploy merge {typed}"
        )
    if (typed / "config.json").is_file() and resolve(str(typed)):
        return typed
    return resolve(name).folder


def calibration_set(model: Path, name: str | None, folder: Path | None) -> CalibrationSet:
    """Return the data set to quantise with: as given, else what the model was trained on."""
    trained = made(model).get("dataset") or read_run(model).get("dataset")
    trained = trained if isinstance(trained, dict) else {}
    noted = trained.get("dataset_dir")
    where = folder or (Path(noted) if noted and not name else _DATA)
    if name:
        return CalibrationSet(name, where, _files(where, name), "as given")
    trained_name = trained.get("name")
    if not isinstance(trained_name, str) or not trained_name:
        known = ", ".join(one.name for one in registered(where)[:8]) if where.is_dir() else ""
        raise UsageError(
            "nothing says what this model was trained on; name rows like those it will be asked: "
            f"--dataset NAME ({where} has {known or 'none yet; `curate` makes them'})"
        )
    files = _files(where, trained_name)
    # Of several data sets no sha256 of one file can be noted.
    same = len(files) > 1 or trained.get("data_sha256") in (None, sha256_of(files[0]))
    changed = "" if same else " (changed since then)"
    return CalibrationSet(trained_name, where, files, f"which it was trained on{changed}")


def _files(folder: Path, names: str) -> tuple[Path, ...]:
    return tuple(_data_file(folder, name.strip()) for name in names.split(","))


def _data_file(folder: Path, name: str) -> Path:
    entries = read_registry(folder)
    entry = entries.get(name)
    if not isinstance(entry, dict):
        known = (
            f"{folder} has {', '.join(sorted(entries))}" if entries else f"no {FILE} in {folder}"
        )
        raise UsageError(
            f"--dataset {name}: there is no such data set, {known}.{did_you_mean(name, entries)} "
            "--dataset-dir names the folder that `curate` wrote it to"
        )
    path = folder / str(entry.get("file_name", ""))
    if not path.is_file():
        raise DataError(f"data set '{name}': its file {path} is gone; give another --dataset")
    return path


def read_drawn(
    model: Path, name: str, chosen: CalibrationSet, count: int, seed: int
) -> tuple[Any, Drawn]:
    """Return the model's tokenizer, and at most `count` rows as its tokens."""
    from curate.data.read import read
    from curate.models.quiet import quiet
    from curate.models.resolve import ModelFiles
    from curate.models.text_tokenizer import load_tokenizer

    with quiet():
        tokenizer = load_tokenizer(ModelFiles(name, model))
    return tokenizer, draw(read(list(chosen.files)), tokenizer, name, count, seed)


def check_count(count: int) -> None:
    """Refuse fewer rows than a model can be quantised with."""
    if count < _LEAST:
        raise UsageError(f"--rows {count}: allowed are {_LEAST} and more; usual are 128 to 512")


def draw(rows: Rows, tokenizer: Any, name: str, count: int, seed: int) -> Drawn:
    """Return rows for quantising and others for measuring.

    A quarter of the usable rows, at most 64, is held out; equal rows count once.
    """
    import numpy as np

    check_count(count)
    reasons: Counter[str] = Counter()
    distinct: dict[tuple[int, ...], Encoded] = {}
    for row in _encoded(rows, tokenizer, name, reasons):
        if len(row.ids) > LONGEST:
            reasons["too_long"] += 1
        elif row.ids in distinct:
            reasons["repeats"] += 1
        else:
            distinct[row.ids] = row
    usable = list(distinct.values())
    if len(usable) < 2 * _LEAST:
        why = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
        raise DataError(
            f"{len(usable)} of {len(rows):,} rows are good for calibration ({why or 'all'}), and "
            f"at least {2 * _LEAST} are needed; give a larger --dataset"
        )
    order = np.random.default_rng(seed).permutation(len(usable)).tolist()
    held = min(_HELD_OUT, int(_HELD_OUT_SHARE * len(usable)))
    rest = order[held:]
    reasons["not_drawn"] += max(0, len(rest) - count)
    return Drawn(
        calibration=tuple(usable[place] for place in rest[:count]),
        held_out=tuple(usable[place] for place in order[:held]),
        rows=len(rows),
        left_out={reason: number for reason, number in sorted(reasons.items()) if number},
    )


def _encoded(rows: Rows, tokenizer: Any, name: str, reasons: Counter[str]) -> Iterator[Encoded]:
    if rows.shape.kind == "pretraining":
        yield from _documents(rows, tokenizer, reasons)
        return
    from curate.models.text_tokenizer import HFEncoder, ends, prompt_ids
    from deploy.compare.prompts import prompts_of

    encoder = HFEncoder(tokenizer, name)
    stops = ends(encoder)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in stops else min(stops, default=None)
    tail = [] if end is None else [end]
    prompts = prompts_of(rows)
    reasons.update(prompts.left_out)
    for prompt in prompts.prompts:
        if not prompt.reference:
            reasons["no_answer"] += 1
            continue
        lead = prompt_ids(encoder, [prompt.messages])[0]
        response = encoder.encode([prompt.reference])[0]
        yield Encoded(prompt.id, (*lead, *response, *tail), len(lead), prompt.turns[-1].content)


def _documents(rows: Rows, tokenizer: Any, reasons: Counter[str]) -> Iterator[Encoded]:
    """Yield the beginnings of documents: all but the first token is what has to be told."""
    for row in rows:
        ids: Sequence[int] = [] if row.flaw else tokenizer(row.turns[0].content)["input_ids"]
        if len(ids) < 2:
            reasons[row.flaw or "too_short"] += 1
        else:
            yield Encoded(row.id, tuple(ids[:LONGEST]), 1)
