"""Rows that list several answers, as a row an answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from curate.data.describe import counted
from curate.data.formats import keys_of
from curate.data.json_values import Record

_ASKS = {"instruction", "prompt", "question", "query", "input", "problem", "问题", "提问"}
# A key of one answer stays what it is; instead of one of several, `response` is written.
_ANSWER = ("output", "response", "completion")
_ANSWERS = ("responses", "answers", "outputs", "candidates", "completions")
# Beside these, what is good and what tells it, a list is no list of answers that are to be learned.
_GOOD = {"output", "response", "completion", "answer", "chosen", "rejected"}
_OPTIONS = {
    *("option", "options", "choices", "answer_idx", "answer_index", "answerkey", "answer_key"),
    *("correct_option", "cop", "correct_answer", "correct_idx", "correct", "gold", "gold_idx"),
    *("label", "best_idx", "chosen_idx"),
}


def spread_out(
    head: list[Record], rest: Iterator[Record], changes: dict[str, int]
) -> tuple[list[Record], Iterator[Record]]:
    """Return the first rows of a file and the others, a row an answer."""
    key = _key([record.value for record in head if isinstance(record.value, dict)])
    if not key:
        return head, rest
    rows = _spread(itertools.chain(head, rest), key, changes)
    return list(itertools.islice(rows, len(head))), rows


def _spread(records: Iterable[Record], key: str, changes: dict[str, int]) -> Iterator[Record]:
    """Yield a record of every answer; `source_id` says where the list stood."""
    name = key if key.lower() in _ANSWER else "response"
    held = answers = 0
    for record in records:
        value = record.value
        if not isinstance(value, dict) or key not in value:
            yield record
            continue
        listed, beside = value[key], {k: v for k, v in value.items() if k != key}
        if not are_answers(listed):
            yield record._replace(value={**beside, name: listed})
            continue
        held, answers = held + 1, answers + len(listed)
        for number, text in enumerate(listed or [""], 1):  # no answer is told as a flaw
            row = {"source_id": record.where, **beside, name: text}
            told = record.changes if number == 1 else ()
            yield Record(row, f"{record.where}, answer {number}", told)
    if held:
        changes[f"{counted(held)} held {answers:,} answers, each of which is a row now"] = 0


def are_answers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _key(rows: list[dict[str, Any]]) -> str:
    """Return the key of the lists of answers, '' where rows have none, or lists of another kind."""
    keys = keys_of(rows)
    texts = {name for name, key in keys.items() if any(isinstance(r.get(key), str) for r in rows)}
    for name in (*_ANSWER, *_ANSWERS) if texts & _ASKS else ():
        key = keys.get(name, "")
        lists = [row[key] for row in rows if key and are_answers(row.get(key))]
        if not lists or 2 * len(lists) < len(rows):
            continue
        # LLaMA-Factory's older preference pairs: the better and the worse.
        pairs = name == "output" and 2 * sum(len(each) == 2 for each in lists) >= len(rows)
        beside = (texts - {name}) & _GOOD or keys.keys() & _OPTIONS
        return "" if pairs or beside or max(map(len, lists)) < 2 else key
    return ""
