"""Our rules beside LLaMA-Factory's own program, on the same file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from curate.llamafactory.doctor.data_set import attributes
from curate.llamafactory.doctor.diagnose import examine
from curate.llamafactory.doctor.findings import Ends, rule_named
from curate.llamafactory.doctor.loading import files_of, loaded
from curate.llamafactory.doctor.stages import Takes, Verdict, judge
from tests.converter import Became, train_on

# What it says when it has come to the end and nothing is left to train on.
_NOTHING_LEFT = ("RuntimeError: Cannot find", "StopIteration")


def disagreements(
    values: Any, entry: Any, stage: str, file_name: str = "rows.jsonl"
) -> tuple[int, list[Any]]:
    """Return how many rows were compared one by one, and every difference.

    Args:
        values: Rows, bytes of a file, or the path of one.
        entry: Of dataset_info.json.
        stage: pt, sft, rm, dpo or kto.
        file_name: Its ending decides how it is loaded.
    """
    real = train_on(values, entry, stage, file_name)
    try:
        attr = attributes(entry)
    except Ends:
        return 0, [] if real.error else ["we end, it does not"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file_name)
        _put(path, values)
        tally = examine(path, attr, stage)
        try:
            rows = list(loaded(files_of(path)))
        except Ends as end:
            return 0, [] if real.error and not real.rows else [("loading", end.said, real.error)]
    wrong: list[Any] = []
    nothing_left = real.error.startswith(_NOTHING_LEFT)
    if bool(tally.ended) != (bool(real.error) and not nothing_left):
        wrong.append(("the end", tally.ended, real.error))
    if not real.error and stage != "pt" and tally.usable != real.usable:
        wrong.append(("usable", tally.usable, real.usable))
    if nothing_left and tally.usable:
        wrong.append(("usable", tally.usable, 0))
    if real.rows and len(real.rows) != len(rows):
        wrong.append(("rows", len(rows), len(real.rows)))
    for row, became in zip(rows, real.rows, strict=False):
        wrong += _of_row(row, attr, stage, became)
    return len(real.rows), wrong


def kind_of(verdict: Verdict) -> str:
    """Return what becomes of a row as LLaMA-Factory's own program is told of."""
    if not verdict.rule:
        return "usable"
    return {"stops": "raises", "dropped": "dropped"}[rule_named(verdict.rule).effect]


def _put(path: Path, values: Any) -> None:
    if isinstance(values, Path):
        path.symlink_to(values)
    elif isinstance(values, bytes):
        path.write_bytes(values)
    else:
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in values)
        path.write_text(text, encoding="utf-8")


def _of_row(row: dict[str, Any], attr: Any, stage: str, became: Became) -> list[Any]:
    ours = judge(row, attr, stage, Takes(tools="default"))
    kind = kind_of(ours)
    if kind != became.verdict:
        return [(kind, ours.rule, ours.said, became.verdict, became.error, row)]
    if kind == "raises":
        return []
    assert ours.example
    made = (ours.example.prompt, ours.example.response, ours.example.system, ours.example.tools)
    real = (became.prompt, became.response, became.system, became.tools)
    return [] if made == real else [(made, real)]
