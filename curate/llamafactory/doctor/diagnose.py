"""All rows of a data set against the rules: what is usable, and what was found."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curate.data.rows import CHUNK, Rows
from curate.llamafactory.dataset_info import Attributes
from curate.llamafactory.doctor.data_set import (
    DataSet,
    attributes,
    entry_ends,
    loader_stage,
    of_rows,
    parts_of,
    stage_of,
)
from curate.llamafactory.doctor.findings import EFFECTS, Diagnosis, Ends, Finding, rule_named
from curate.llamafactory.doctor.loading import BATCH, files_of, loaded
from curate.llamafactory.doctor.stages import ANYTHING, Takes, judge
from curate.llamafactory.doctor.truncation import Cutoff

# Rows that are named of each finding.
SHOWN = 5
# The column that pandas makes of fields beyond the header.
_SHIFTED = "__index_level_"


@dataclass
class Count:
    """A finding while rows pass by: how many fall under it, and the places of the first."""

    said: str
    rows: int = 0
    positions: list[int] = field(default_factory=list)


@dataclass
class Tally:
    loaded: int = 0  # rows of the files
    rows: int = 0  # that are taken of them
    usable: int = 0
    ended: str = ""
    counts: dict[str, Count] = field(default_factory=dict)

    def note(self, rule: str, position: int | None, said: str = "") -> None:
        """Count a finding; without a position it is about the whole file."""
        if rule_named(rule).effect == "stops":
            self.ended = self.ended or rule
        count = self.counts.setdefault(rule, Count(said))
        if position is not None:
            count.rows += 1
            if len(count.positions) < SHOWN:
                count.positions.append(position)


def diagnose(
    data_set: DataSet,
    stage: str | None = None,
    measure: Cutoff | None = None,
    takes: Takes | None = None,
    most: int | None = None,
) -> Diagnosis:
    """Judge a data set; of many rows LLaMA-Factory's `max_samples` leaves the first `most`."""
    tally = Tally()
    takes = takes or (measure.takes if measure else ANYTHING)
    try:
        attr = attributes(data_set.entry)
        if isinstance(data_set.path, tuple):  # the files of one split of a hub's data set
            _, bracket, part = str(attr.split).partition("[")
            attr = replace(attr, split=f"train{bracket}{part}")
        stage = stage or stage_of(attr)
        tally = examine(data_set.path, attr, stage, measure, takes, most)
    except Ends as end:
        tally.note(end.rule, None, end.said)
        stage = stage or stage_of(Attributes())
    for rule, said in data_set.notes:
        tally.note(rule, None, said)
    rows = data_set.rows
    if rows is not None and any(source.unfilled for source in rows.sources):
        for position, flaw in enumerate(rows.table.column("flaw").to_pylist()):
            if flaw == "unfilled_placeholder":
                tally.note(flaw, position)
    known = len(rows) if rows is not None else 0
    findings = [finding_of(rule, count, rows, tally.loaded) for rule, count in tally.counts.items()]
    order = list(EFFECTS)
    not_used: Counter[str] = Counter()
    for source in rows.sources if rows is not None else ():
        not_used.update(source.unused)
    return Diagnosis(
        name=data_set.name,
        stage=stage,
        entry=data_set.entry,
        assumed=data_set.assumed,
        better=data_set.better if data_set.better != data_set.entry else None,
        rows=tally.rows + (max(0, known - tally.loaded) if tally.ended else 0),
        left_out=0 if tally.ended else tally.loaded - tally.rows,
        usable=0 if tally.ended else tally.usable,
        otherwise=tally.usable,
        found=tuple(sorted(findings, key=lambda found: (order.index(found.effect), -found.count))),
        template=measure.about if measure else "",
        not_used=dict(not_used.most_common()),
    )


def diagnose_rows(rows: Rows, stage: str | None = None, measure: Cutoff | None = None) -> Diagnosis:
    """Return what LLaMA-Factory will do with rows once they are emitted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        with path.open("w", encoding="utf-8", newline="\n") as out:
            raw = rows.table.column("raw")
            for start in range(0, len(rows), CHUNK):
                out.writelines(f"{line}\n" for line in raw.slice(start, CHUNK).to_pylist())
        return diagnose(of_rows(rows, path), stage, measure)


def examine(
    path: Path | Sequence[Path],
    attr: Attributes,
    stage: str,
    measure: Cutoff | None = None,
    takes: Takes = ANYTHING,
    most: int | None = None,
) -> Tally:
    tally = Tally()
    if measure:
        measure.begins()
    for rule, said in entry_ends(attr, stage):
        tally.note(rule, None, said)
    try:
        files = files_of(path)
        rows, ending = _taken(files, attr, most, tally), files[0].suffix
        while batch := list(itertools.islice(rows, BATCH)):
            verdicts = [judge(row, attr, stage, takes) for _, row in batch]
            for position, row in batch:
                if ending == ".csv" and any(str(key).startswith(_SHIFTED) for key in row):
                    tally.note("csv_shifted", position)
                text = (row.get("text") or "") if ending == ".txt" else ""
                if text.startswith("{") and text.rstrip().endswith("}"):
                    tally.note("json_in_txt", position)
            for place, verdict in enumerate(verdicts):
                position = batch[place][0]
                if verdict.rule:
                    tally.note(verdict.rule, position, verdict.said)
                    continue
                # In stage kto a row's answer is compared with the first of two answers of the row
                # before if that is no empty text, else with the second, and LLaMA-Factory does not
                # look whether they are there. A batch's first row is compared with its last.
                if loader_stage(stage) == "kto":
                    before = verdicts[place - 1].example
                    answers = before.response if before else []
                    if not answers or (not answers[0]["content"] and len(answers) < 2):
                        why = "IndexError: list index out of range"
                        tally.note("kto_neighbour", position, why)
                tally.usable += 1
                for rule in dict.fromkeys(verdict.losses):
                    tally.note(rule, position)
                for rule in measure.row(stage, verdict) if measure else ():
                    tally.note(rule, position)
            tally.rows += len(batch)
            if measure:
                measure.batch_ends()
        for rule, said in measure.whole() if measure else ():
            tally.note(rule, None, said)
    except Ends as end:
        tally.note(end.rule, None, end.said)
    return tally


def _taken(
    files: Sequence[Path], attr: Attributes, most: int | None, tally: Tally
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows that `split` and then `max_samples` leave, each with its place in the files.

    All others are loaded, too: LLaMA-Factory ends on a file that breaks off behind them.
    """
    parts, taken = [range(sys.maxsize)], 0
    if attr.split != "train" and not tally.ended:
        parts = parts_of(str(attr.split), sum(1 for _ in loaded(files)))
    for position, row in enumerate(loaded(files)):
        tally.loaded += 1
        if any(position in each for each in parts) and (most is None or taken < most):
            taken += 1
            yield position, row
    if not taken:
        raise Ends("no_rows", f'ValueError: Instruction "{attr.split}" corresponds to no data!')


def finding_of(name: str, count: Count, rows: Rows | None, seen: int) -> Finding:
    """Return a finding as it is told; `seen` is how many rows LLaMA-Factory loads."""
    rule = rule_named(name)
    # Both count the same rows, or nobody can tell which is which.
    same = rows is not None and len(rows) == seen
    shown = [rows[position] for position in count.positions] if rows is not None and same else []
    places = [f"{row.source}, {row.where}" for row in shown]
    return Finding(
        rule=name,
        count=count.rows,
        ids=tuple(row.id for row in shown),
        effect=rule.effect,
        places=tuple(places or [f"row {position + 1}" for position in count.positions]),
        says=rule.says,
        do=rule.do,
        said=count.said,
    )
