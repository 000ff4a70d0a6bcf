"""The rows that a model is quantised with, and others to measure it on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import DataError, UsageError
from curate.llamafactory.dataset_info import data_file, read_registry
from curate.system.files import sha256_of
from curate.system.run_record import read_run
from deploy.output import noted

if TYPE_CHECKING:
    from curate.data.rows import Rows

LEAST = 8
_LONGEST, _BEGINNING = 1024, 32  # tokens, of rows and of what is asked of documents
_HELD_OUT, _HELD_OUT_SHARE = 64, 0.25  # rows at most, of the usable ones


@dataclass(frozen=True)
class Encoded:
    """A row as token ids, where its response starts, and the last question, '' for a document."""

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
    """Rows for quantising, and rows for measuring, none of which is in both; others by reason."""

    calibration: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    rows: int
    left_out: dict[str, int]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps([row.id for row in self.calibration]).encode()).hexdigest()


def calibration_set(
    model: Path, name: str | None, folder: Path | None
) -> tuple[str, list[Path], str]:
    """Return name and files of the set to quantise with, and why that: given, or trained on."""
    run = read_run(model)
    trained = noted(model).get("dataset") or (run.dataset if run else {})
    named = trained.get("dataset_dir")
    where = folder or Path(named if named and not name else "data")
    why, digest = "as given", None
    if not name:
        name, digest = trained.get("name"), trained.get("data_sha256")
        why = "which it was trained on"
    if not name:
        known = ", ".join(list(read_registry(where))[:8]) or "none yet; `curate` makes them"
        unsaid = "nothing says what this model was trained on"
        raise UsageError(f"{unsaid}; give --dataset NAME ({where} has {known})")
    files = [data_file(where, part.strip()) for part in name.split(",")]
    # Of several data sets, or a folder of files, no sha256 of one file can be noted.
    if digest and len(files) == 1 and files[0].is_file() and digest != sha256_of(files[0]):
        why += " (changed since then)"
    return name, files, f"in {where}, {why}"


def draw(rows: Rows, tokenizer: Any, name: str, count: int, seed: int) -> Drawn:
    """Return at most `count` rows for quantising and others for measuring; equal ones are one."""
    import numpy as np

    reasons: Counter[str] = Counter()
    distinct: dict[tuple[int, ...], Encoded] = {}
    encode = _documents if rows.shape.kind == "pretraining" else _conversations
    for row in encode(rows, tokenizer, name, reasons):
        if len(row.ids) > _LONGEST:
            reasons["too_long"] += 1
        elif row.ids in distinct:
            reasons["repeats"] += 1
        else:
            distinct[row.ids] = row
    usable = list(distinct.values())
    if len(usable) < 2 * LEAST:
        why = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
        good = f"{len(usable)} of {len(rows):,} rows are good for calibration ({why or 'all'})"
        raise DataError(f"{good}, and at least {2 * LEAST} are needed; give a larger --dataset")
    order = np.random.default_rng(seed).permutation(len(usable)).tolist()
    held = min(_HELD_OUT, int(_HELD_OUT_SHARE * len(usable)))
    reasons["not_drawn"] += max(0, len(usable) - held - count)
    return Drawn(
        calibration=tuple(usable[place] for place in order[held : held + count]),
        held_out=tuple(usable[place] for place in order[:held]),
        rows=len(rows),
        left_out={reason: number for reason, number in sorted(reasons.items()) if number},
    )


def _conversations(
    rows: Rows, tokenizer: Any, name: str, reasons: Counter[str]
) -> Iterator[Encoded]:
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
        [lead] = prompt_ids(encoder, [prompt.messages])
        [response] = encoder.encode([prompt.reference])
        yield Encoded(prompt.id, (*lead, *response, *tail), len(lead), prompt.turns[-1].content)


def _documents(rows: Rows, tokenizer: Any, name: str, reasons: Counter[str]) -> Iterator[Encoded]:
    """Yield the beginnings of documents: all but the first token is what has to be foretold."""
    for row in rows:
        ids = [] if row.flaw else tokenizer(row.turns[0].content)["input_ids"]
        if len(ids) < 2:
            reasons[row.flaw or "too_short"] += 1
        else:
            yield Encoded(row.id, tuple(ids[:_LONGEST]), 1)
