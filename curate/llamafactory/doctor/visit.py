"""From a subject to a diagnosis."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.data.rows import CHUNK, Rows
from curate.errors import UsageError, did_you_mean
from curate.llamafactory.dataset_info import entry_for
from curate.llamafactory.doctor.attributes import Attributes, stage_of
from curate.llamafactory.doctor.data_set import Subject
from curate.llamafactory.doctor.diagnose import Measure, Tally, entry_notes, examine
from curate.llamafactory.doctor.diagnosis import Diagnosis, Finding, Found, in_order
from curate.llamafactory.doctor.rules import Ends, rule_named
from curate.llamafactory.doctor.stages import STAGES


def check_stage(stage: str | None) -> None:
    """Refuse a stage that there is not."""
    if stage is not None and stage not in STAGES:
        raise UsageError(
            f"--stage {stage}: allowed are {', '.join(STAGES)}.{did_you_mean(stage, STAGES)} "
            "Without --stage it is told from the entry"
        )


def diagnose(
    subject: Subject, stage: str | None = None, measure: Measure | None = None
) -> Diagnosis:
    """Return what LLaMA-Factory will do with a data set."""
    check_stage(stage)
    tally = Tally()
    try:
        attr = subject.attributes()
    except Ends as end:
        attr = Attributes()
        tally.note(end.rule, None, end.said)
    looked_at = stage or stage_of(attr)
    if not tally.ended:
        tally = examine(subject.path, attr, looked_at, measure)
    for rule, said in _notes(subject, attr):
        tally.note(rule, None, said)
    _note_unfilled(subject.rows, tally)
    known = len(subject.rows) if subject.rows is not None else 0
    rows = max(tally.rows, known) if tally.ended else tally.rows
    return Diagnosis(
        subject.name,
        looked_at,
        subject.entry,
        subject.assumed,
        subject.better if subject.better != subject.entry else None,
        rows,
        0 if tally.ended else tally.usable,
        tally.usable,
        tuple(_finding(each, subject, tally.rows) for each in in_order(tally.found.values())),
        measure.about if measure else "",
    )


def _notes(subject: Subject, attr: Attributes) -> Iterator[tuple[str, str]]:
    yield from subject.notes
    if isinstance(subject.entry, dict) and not subject.assumed:
        for rule, said in entry_notes(subject.entry):
            if rule != "partial_tags" or attr.formatting != "alpaca":
                yield rule, said


def _note_unfilled(rows: Rows | None, tally: Tally) -> None:
    """Note rows of a template that is still to be filled in."""
    if rows is not None and any(source.unfilled for source in rows.sources):
        flaws = enumerate(rows.table.column("flaw").to_pylist())
        for position in (place for place, flaw in flaws if flaw == "unfilled_placeholder"):
            tally.note("unfilled_placeholder", position)


def _finding(each: Found, subject: Subject, seen: int) -> Finding:
    rule, rows = rule_named(each.rule), subject.rows
    # Both count the same rows, or nobody can tell which is which.
    same = rows is not None and len(rows) == seen
    found = [rows[position] for position in each.positions] if rows is not None and same else []
    places = [f"{row.source}, {row.where}" for row in found]
    return Finding(
        each.rule,
        rule.effect,
        each.count,
        tuple(row.id for row in found),
        tuple(places or [f"row {position + 1}" for position in each.positions]),
        rule.says,
        rule.do,
        each.said,
    )


def diagnose_rows(
    rows: Rows, stage: str | None = None, measure: Measure | None = None
) -> Diagnosis:
    """Return what LLaMA-Factory will do with rows once they are emitted."""
    name = rows.sources[0].name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        with path.open("w", encoding="utf-8", newline="\n") as out:
            raw = rows.table.column("raw")
            for start in range(0, len(rows), CHUNK):
                out.writelines(f"{each}\n" for each in raw.slice(start, CHUNK).to_pylist())
        entry: dict[str, Any] = entry_for(rows.shape, path.name)
        return diagnose(Subject(name, path, entry, False, rows), stage, measure)


def as_json(diagnoses: list[Diagnosis]) -> dict[str, Any]:
    """Return one object for all: what one has, and of several the sums beside each of them."""
    if len(diagnoses) == 1:
        return diagnoses[0].as_dict()
    every = [each.as_dict() for each in diagnoses]
    merged: dict[str, dict[str, Any]] = {}
    for one in every:
        for finding in json.loads(json.dumps(one["findings"])):
            known = merged.setdefault(finding["rule"], {**finding, "count": 0, "ids": []})
            known["count"] += finding["count"]
            known["ids"] = [*known["ids"], *finding["ids"]][:5]
    return {
        "rows": sum(each.rows for each in diagnoses),
        "usable": sum(each.usable for each in diagnoses),
        "ended": any(each.ended for each in diagnoses),
        "findings": list(merged.values()),
        "files": every,
    }
