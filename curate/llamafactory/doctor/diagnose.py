"""All rows of a data set against the rules: what is usable, and what was found."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.data.rows import CHUNK, Rows
from curate.errors import UsageError, did_you_mean
from curate.llamafactory.dataset_info import entry_for
from curate.llamafactory.doctor.data_set import DataSet
from curate.llamafactory.doctor.diagnosis import EFFECTS, Diagnosis, Finding
from curate.llamafactory.doctor.entry import (
    STAGES,
    Attributes,
    attributes,
    entry_ends,
    entry_notes,
    stage_of,
)
from curate.llamafactory.doctor.loading import BATCH, files_of, loaded
from curate.llamafactory.doctor.rules import Ends, rule_named
from curate.llamafactory.doctor.stages import Verdict, judge
from curate.llamafactory.doctor.truncation import Cutoff

# Rows that are named of each finding.
_SHOWN = 5
# The column that pandas makes of fields beyond the header.
_SHIFTED = "__index_level_"


@dataclass
class Found:
    """A finding while it is counted: rows, and the places of the first of them."""

    rule: str
    said: str = ""
    count: int = 0
    positions: list[int] = field(default_factory=list)


@dataclass
class Tally:
    """What is counted while rows pass by."""

    rows: int = 0
    usable: int = 0
    ended: str = ""
    found: dict[str, Found] = field(default_factory=dict)

    def note(self, rule: str, position: int | None, said: str = "") -> None:
        """Count a finding; without a position it is about the whole file."""
        if rule_named(rule).effect == "stops":
            self.ended = self.ended or rule
        finding = self.found.setdefault(rule, Found(rule, said))
        if position is not None:
            finding.count += 1
            if len(finding.positions) < _SHOWN:
                finding.positions.append(position)


def check_stage(stage: str | None) -> None:
    """Refuse a stage that there is not."""
    if stage is not None and stage not in STAGES:
        raise UsageError(
            f"--stage {stage}: allowed are {', '.join(STAGES)}.{did_you_mean(stage, STAGES)} "
            "Without --stage it is told from the entry"
        )


def diagnose(
    data_set: DataSet, stage: str | None = None, measure: Cutoff | None = None
) -> Diagnosis:
    """Return what LLaMA-Factory will do with a data set."""
    check_stage(stage)
    tally = Tally()
    try:
        attr = attributes(data_set.entry)
    except Ends as end:
        attr = Attributes()
        tally.note(end.rule, None, end.said)
    stage = stage or stage_of(attr)
    if not tally.ended:
        tally = examine(data_set.path, attr, stage, measure)
    notes = [] if data_set.assumed else [*data_set.notes, *entry_notes(data_set.entry)]
    for rule, said in notes:
        tally.note(rule, None, said)
    rows = data_set.rows
    if rows is not None and any(source.unfilled for source in rows.sources):
        for position, flaw in enumerate(rows.table.column("flaw").to_pylist()):
            if flaw == "unfilled_placeholder":
                tally.note(flaw, position)
    known = len(rows) if rows is not None else 0
    findings = [_finding(found, rows, tally.rows) for found in tally.found.values()]
    order = list(EFFECTS)
    return Diagnosis(
        name=data_set.name,
        stage=stage,
        entry=data_set.entry,
        assumed=data_set.assumed,
        better=data_set.better if data_set.better != data_set.entry else None,
        rows=max(tally.rows, known) if tally.ended else tally.rows,
        usable=0 if tally.ended else tally.usable,
        otherwise=tally.usable,
        found=tuple(sorted(findings, key=lambda each: (order.index(each.effect), -each.count))),
        template=measure.about if measure else "",
    )


def diagnose_rows(rows: Rows, stage: str | None = None, measure: Cutoff | None = None) -> Diagnosis:
    """Return what LLaMA-Factory will do with rows once they are emitted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        with path.open("w", encoding="utf-8", newline="\n") as out:
            raw = rows.table.column("raw")
            for start in range(0, len(rows), CHUNK):
                out.writelines(f"{line}\n" for line in raw.slice(start, CHUNK).to_pylist())
        entry = entry_for(rows.shape, path.name)
        data_set = DataSet(rows.sources[0].name, path, entry, assumed=False, rows=rows)
        return diagnose(data_set, stage, measure)


def examine(path: Path, attr: Attributes, stage: str, measure: Cutoff | None = None) -> Tally:
    """Judge every row of a data file or folder under an entry."""
    tally = Tally()
    if measure:
        measure.begins()
    for rule, said in entry_ends(attr, stage):
        tally.note(rule, None, said)
    try:
        files = files_of(path)
        rows = loaded(files)
        while batch := list(itertools.islice(rows, BATCH)):
            _count(tally, batch, attr, stage, files[0].suffix, measure)
        for rule, said in measure.whole() if measure else ():
            tally.note(rule, None, said)
    except Ends as end:
        tally.note(end.rule, None, end.said)
    return tally


def _count(
    tally: Tally,
    batch: list[dict[str, Any]],
    attr: Attributes,
    stage: str,
    ending: str,
    measure: Cutoff | None,
) -> None:
    verdicts = [judge(row, attr, stage) for row in batch]
    for position, row in enumerate(batch, tally.rows):
        for rule in _loaded_wrong(row, ending):
            tally.note(rule, position)
    for place, (position, verdict) in enumerate(enumerate(verdicts, tally.rows)):
        if verdict.kind != "usable":
            tally.note(verdict.rule, position, verdict.said)
            continue
        if STAGES[stage] == "kto" and _unpaired(verdicts[place - 1]):
            tally.note("kto_neighbour", position, "IndexError: list index out of range")
        tally.usable += 1
        for rule in dict.fromkeys(verdict.losses):
            tally.note(rule, position)
        for rule in measure.row(stage, verdict) if measure else ():
            tally.note(rule, position)
    tally.rows += len(batch)
    if measure:
        measure.batch_ends()


def _loaded_wrong(row: dict[str, Any], ending: str) -> Iterator[str]:
    """Yield what the loader makes of a row that nobody has meant."""
    if ending == ".csv" and any(str(key).startswith(_SHIFTED) for key in row):
        yield "csv_shifted"
    text = (row.get("text") or "") if ending == ".txt" else ""
    if text.startswith("{") and text.rstrip().endswith("}"):
        yield "json_in_txt"


def _unpaired(before: Verdict) -> bool:
    """Tell whether a row's answer cannot be compared with in stage kto.

    LLaMA-Factory takes the first of two answers if it is no empty text, else the second, and does
    not look whether they are there. A batch's first row is compared with its last.
    """
    answers = before.made.response if before.made else []
    return not answers or (not answers[0]["content"] and len(answers) < 2)


def _finding(found: Found, rows: Rows | None, seen: int) -> Finding:
    rule = rule_named(found.rule)
    # Both count the same rows, or nobody can tell which is which.
    same = rows is not None and len(rows) == seen
    shown = [rows[position] for position in found.positions] if rows is not None and same else []
    places = [f"{row.source}, {row.where}" for row in shown]
    return Finding(
        rule=found.rule,
        count=found.count,
        ids=tuple(row.id for row in shown),
        effect=rule.effect,
        places=tuple(places or [f"row {position + 1}" for position in found.positions]),
        says=rule.says,
        do=rule.do,
        said=found.said,
    )
