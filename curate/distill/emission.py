"""What was answered as a data set: rows, a line of scores for every question, what failed."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.content import FLAWS, IDENTIFIERS
from curate.content.gate import look
from curate.data.canonical import parse
from curate.data.describe import counted
from curate.data.ids import content_hash, id_of
from curate.data.rows import Row
from curate.data.schema import Shape
from curate.distill.requests import OK, REFUSED_PII, Estimate, Line, Reply, Verb
from curate.distill.run import Run
from curate.emission.emit import FAILED, paths, write_scores, write_values
from curate.emission.remove import Removed, remove
from curate.errors import CuratrainError, DataError
from curate.parameters.distill import DROP, MASK, Asking
from curate.system.cache import scratch_dir
from curate.system.files import whole_files
from curate.system.manifest import read_manifest

_TOKENS = ("prompt_tokens", "response_tokens", "cached_tokens")
_SCORES = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source_id", "source", "status")),
        ("kept", pa.bool_()),
        *((name, pa.string()) for name in ("reason", "verb", "model", "finish_reason")),
        *((name, pa.int64()) for name in _TOKENS),
        ("cost", pa.float64()),
        ("repaired", pa.bool_()),
        ("identifiers", pa.int64()),
    ]
)
_FLAWS = tuple(flaw for flaw in FLAWS if flaw != "cut")  # which the server knows better
_BATCH = 1000
NOTES = (
    "these are answers of a language model, not checked by a physician: they are no advice to "
    "patients",
    "see that the provider's terms let you train on its model's answers",
)


@dataclass
class Made:
    """What was made, and what it took; `curate.read(dataset=made.name)` reads the rows."""

    name: str
    lines: Counter[str] = field(default_factory=Counter)  # reason to questions; '' of a row
    scored: int = 0  # questions with an answer
    models: Counter[str] = field(default_factory=Counter)  # as servers call them, to answers
    tokens: Counter[str] = field(default_factory=Counter)  # of all answers, each once; as `cost`
    cost: float = 0.0
    failed: int = 0  # requests that were sent, and have no answer
    files: list[str] = field(default_factory=list)
    removed: Removed | None = None  # of an earlier run's NAME_test, where nothing is held out now
    asked: int = 0  # requests that this run sent
    lost: int = 0  # attempts of all runs that were sent, and have no outcome
    answers: int = 0  # that are kept, of all settings
    spent: float = 0.0  # by all runs, with what was lost at its most
    stopped: str | CuratrainError = ""  # why not all was asked: '' if it was, `budget`
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)  # settings by server
    ledger: Path = Path()
    estimate: Estimate | None = None  # of a dry run, instead of all this

    @property
    def counts(self) -> dict[str, Any]:
        """The counts as every recipe has them."""
        dropped = {reason: count for reason, count in sorted(self.lines.items()) if reason}
        first = {"read": self.lines.total(), "scored": self.scored, "kept": self.lines[""]}
        return {**first, "dropped": dropped}


def emit(
    run: Run,
    lines: Iterable[Line],
    verb: Verb,
    params: Asking,
    folder: Path,
    made: Made,
    manifest: Callable[[Made], dict[str, Any]],
) -> Made:
    """Write rows, scores, failures, manifest, and count them; what is held out is NAME_test."""
    schema = pa.schema([*_SCORES, *(pa.field(column, pa.float64()) for column in verb.columns)])
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as scratch:
        sides, table = (Path(scratch, "rows"), Path(scratch, "held out")), Path(scratch, "scores")
        with (
            sides[0].open("w", encoding="utf-8") as rows,
            sides[1].open("w", encoding="utf-8") as held_out,
            pq.ParquetWriter(table, schema) as writer,
            whole_files(folder / f"{made.name}{FAILED}") as (part,),
            part.open("w", encoding="utf-8") as failures,
        ):
            batch: list[dict[str, Any]] = []
            paid: set[int] = set()  # requests that are added up, by the beginning of their keys
            seen: Counter[int] = Counter()  # hash of a row to how many are equal
            for line in lines:
                made.failed += sum(_failed(run, line, reply, failures) for reply in line.replies)
                _add_up(run, line, made, paid)
                record = _record(run, line, params)
                value, number = _judged(line, verb.shape, params, record)
                if value is not None and not record["reason"]:
                    record["id"] = id_of(number, seen[number])
                    seen[number] += 1
                    (held_out if line.held_out else rows).write(json.dumps(value) + "\n")
                    record["reason"] = "held_out" if line.held_out else ""
                record |= {"verb": params.verb, "kept": not record["reason"]}
                made.lines[record["reason"]] += 1
                batch.append(record)
                if len(batch) == _BATCH:
                    writer.write_table(pa.Table.from_pylist(batch, schema))
                    batch.clear()
            writer.write_table(pa.Table.from_pylist(batch, schema))
        whole = pq.ParquetFile(table)
        if verb.shape is None:
            made.files = write_scores(folder, made.name, whole.read(), manifest(made))
            return made
        if not made.lines[""]:
            (file,) = write_scores(folder, f"{made.name}_none_kept", whole.read())
            spent = f"; spent in all: {run.ledger.spent:.6g}" if params.price else ""
            raise _no_row(made, f"{folder / file}; answers that are there are kept{spent}")
        about, scores = manifest(made), whole.iter_batches(_BATCH)
        lines_of_rows = pa.RecordBatchReader.from_batches(schema, scores)
        made.files = write_values(
            folder, made.name, partial(_values, sides[0]), verb.shape, about, lines_of_rows
        )
        test = f"{made.name}_test"
        before = read_manifest(paths(folder, test)[-1]) or {}
        if sides[1].stat().st_size:
            about |= {"side": "test"}
            made.files += write_values(folder, test, partial(_values, sides[1]), verb.shape, about)
        elif (before.get("recipe"), before.get("side")) == (about["recipe"], "test"):
            made.removed = remove(folder, test)  # what is trained on now
    return made


def _no_row(made: Made, where: str) -> DataError:
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in made.counts["dropped"].items())
    questions = counted(made.lines.total(), "question")
    return DataError(
        f"no row was made of {questions}: {reasons}. What became of each is in {where}"
    )


def _values(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _judged(
    line: Line, shape: Shape | None, params: Asking, record: dict[str, Any]
) -> tuple[dict[str, Any] | None, int]:
    """Return a row as it is kept, and its hash; note its identifiers, and why it is not kept."""
    if line.status != OK or line.value is None or shape is None:
        return None, 0
    row = Row(line.source_id, 0, line.source, "", line.value, parse(line.value, shape))
    counts, value = look(row, shape, IDENTIFIERS if params.pii == MASK else ())
    parsed = parse(value, shape)
    record["identifiers"] = sum(counts[kind] for kind in IDENTIFIERS)
    reasons = [parsed.flaw]
    if record["identifiers"] and params.pii == DROP:
        reasons.append(REFUSED_PII)
    if params.flawed == DROP:
        reasons += [*(flaw for flaw in _FLAWS if counts[flaw]), line.flaw]
    record["reason"] = next(filter(None, reasons), "")
    return value, content_hash(parsed, value)


def _add_up(run: Run, line: Line, made: Made, paid: set[int]) -> None:
    """Add up what a line took; an answer that several rows share was paid for once."""
    made.scored += line.status == OK
    for reply in line.replies:
        answer, key = reply.completion, int(reply.request.key[:16], 16)
        if answer is None or key in paid:
            continue
        paid.add(key)
        made.tokens.update({name: getattr(answer, name) or 0 for name in _TOKENS})
        made.models.update(filter(None, [answer.model]))
        made.cost += run.price.of(answer) or 0.0


def _record(run: Run, line: Line, params: Asking) -> dict[str, Any]:
    """Return the scores of a line."""
    answers = [reply.completion for reply in line.replies if reply.completion]
    sums: dict[str, int | None] = {}
    for name in _TOKENS:
        known = [number for each in answers if (number := getattr(each, name)) is not None]
        sums[name] = sum(known) if known else None
    return {
        "id": line.source_id,
        "source_id": line.source_id,
        "source": line.source,
        "status": line.status,
        "reason": "" if line.status == OK else line.status,
        "model": answers[-1].model if answers else "",
        "finish_reason": answers[-1].finish_reason if answers else "",
        **sums,
        "cost": sum(run.price.of(each) or 0.0 for each in answers) if params.price else None,
        "repaired": line.repaired,
        "identifiers": 0,
        **line.scores,
    }


def _failed(run: Run, line: Line, reply: Reply, failures: IO[str]) -> bool:
    """Write why a request has no answer, if it was sent and has none."""
    failure = None if reply.completion else run.ledger.failure(reply.request.key)
    if failure is None:
        return False
    outcome, words, attempts = failure
    lost = {"id": line.source_id, "class": outcome, "message": words, "attempts": attempts}
    failures.write(json.dumps(lost, ensure_ascii=False) + "\n")
    return True
