"""All rows of a data set against the rules: what is usable, and what was found."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from curate.errors import did_you_mean
from curate.llamafactory.doctor.attributes import COLUMNS, KEYS, TAGS, Attributes
from curate.llamafactory.doctor.diagnosis import SHOWN, Found
from curate.llamafactory.doctor.loading import BATCH, files_of, loaded
from curate.llamafactory.doctor.rules import Ends, rule_named
from curate.llamafactory.doctor.stages import STAGES, Verdict, judge


class Measure(Protocol):
    """Looks at every usable row further, for example at its tokens."""

    @property
    def about(self) -> str:
        """What it assumes, for people."""

    def begins(self) -> None:
        """Hear that a file begins."""

    def row(self, stage: str, verdict: Verdict) -> Iterable[str]:
        """Return the rules that a row falls under."""

    def batch_ends(self) -> None:
        """Hear that 1,000 rows have passed by, or the last ones."""

    def whole(self) -> Iterable[tuple[str, str]]:
        """Return rules that hold for the file."""


# The column that pandas makes of fields beyond the header.
_SHIFTED = "__index_level_"


@dataclass
class Tally:
    """What is counted while rows pass by.

    Attributes:
        rows: Seen.
        usable: Neither dropped nor the end of the run.
        ended: Rule that ends the run, '' if none does.
        found: Rule to what was found, in order.
    """

    rows: int = 0
    usable: int = 0
    ended: str = ""
    found: dict[str, Found] = field(default_factory=dict)

    def note(self, rule: str, position: int | None, said: str = "") -> None:
        """Count a finding; without a position it is about the whole file."""
        if rule_named(rule).effect == "stops":
            self.ended = self.ended or rule
        each = self.found.setdefault(rule, Found(rule, said=said))
        if position is not None:
            each.count += 1
            if len(each.positions) < SHOWN:
                each.positions.append(position)


def examine(path: Path, attr: Attributes, stage: str, measure: Measure | None = None) -> Tally:
    """Judge every row of a data file or folder.

    Args:
        path: What `file_name` leads to.
        attr: The entry.
        stage: pt, sft, rm, dpo or kto.
        measure: Looks at usable rows further, for example at their tokens.
    """
    tally = Tally()
    if measure:
        measure.begins()
    for rule, said in entry_ends(attr, stage):
        tally.note(rule, None, said)
    try:
        files = files_of(path)
        for batch in _batches(loaded(files)):
            _count(tally, batch, attr, stage, files[0].suffix, measure)
        for rule, said in measure.whole() if measure else ():
            tally.note(rule, None, said)
    except Ends as end:
        tally.note(end.rule, None, end.said)
    return tally


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _count(
    tally: Tally,
    batch: list[dict[str, Any]],
    attr: Attributes,
    stage: str,
    ending: str,
    measure: Measure | None,
) -> None:
    first = tally.rows
    verdicts = [judge(row, attr, stage) for row in batch]
    for place, row in enumerate(batch):
        for rule in _loaded_wrong(row, ending):
            tally.note(rule, first + place)
    for place, verdict in enumerate(verdicts):
        tally.rows += 1
        if verdict.kind != "usable":
            tally.note(verdict.rule, first + place, verdict.said)
            continue
        if STAGES[stage] == "kto" and _unpaired(verdicts[place - 1]):
            tally.note("kto_neighbour", first + place, "IndexError: list index out of range")
        tally.usable += 1
        for rule in dict.fromkeys(verdict.losses):
            tally.note(rule, first + place)
        for rule in measure.row(stage, verdict) if measure else ():
            tally.note(rule, first + place)
    if measure:
        measure.batch_ends()


def _loaded_wrong(row: dict[str, Any], ending: str) -> Iterator[str]:
    """Yield what the loader makes of a row that nobody has meant."""
    if ending == ".csv" and any(str(key).startswith(_SHIFTED) for key in row):
        yield "csv_shifted"
    text = row.get("text") or ""
    if ending == ".txt" and text.startswith("{") and text.rstrip().endswith("}"):
        yield "json_in_txt"


def _unpaired(before: Verdict) -> bool:
    """Tell whether a row's answer cannot be compared with in stage kto.

    LLaMA-Factory takes the first of two answers if it is no empty text, else the second, and does
    not look whether they are there. A batch's first row is compared with its last.
    """
    answers = before.made.response if before.made else []
    return not answers or (not answers[0]["content"] and len(answers) < 2)


def entry_ends(attr: Attributes, stage: str) -> Iterator[tuple[str, str]]:
    """Yield what of an entry ends LLaMA-Factory whatever the rows say.

    Args:
        attr: The entry.
        stage: pt, sft, rm, dpo or kto.
    """
    pairs = STAGES[stage] == "rm"
    if (pairs and attr.ranking is False) or (not pairs and attr.ranking is True):
        yield (
            "wrong_stage",
            f"stage {stage} with `ranking`: {str(attr.ranking).lower()}: ValueError: The dataset "
            "is not applicable in the current training stage.",
        )
    if attr.split != "train" and not _is_slice(attr.split):
        yield "unknown_split", f"ValueError: Unknown split {attr.split!r}"


def _is_slice(split: Any) -> bool:
    return isinstance(split, str) and split.startswith("train[")


def entry_notes(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what may be a mistake in an entry, or changes what it means.

    Args:
        entry: Of dataset_info.json.
    """
    for key in entry:
        if key not in KEYS:
            yield "unknown_key", f"`{key}`.{did_you_mean(key, KEYS)}"
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        for key in entry.get(part, {}):
            if key not in names:
                yield "unknown_key", f"`{key}` in `{part}`.{did_you_mean(key, names)}"
    # Columns that the file lacks need not be named; the rows tell which are missed.
    missing = [tag for tag in TAGS if tag not in entry.get("tags", TAGS)]
    if missing:
        yield "partial_tags", f"without {', '.join(missing)}"
    if _is_slice(entry.get("split")):
        yield "split_slice", str(entry["split"])
    if entry.get("num_samples") is not None:
        yield "num_samples", str(entry["num_samples"])
