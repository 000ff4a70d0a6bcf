"""Files in which a value is no row: objects that wrap rows or columns, messages of trees."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from curate.data.describe import counted
from curate.data.formats import best_fits, keys_of, mostly
from curate.data.json_values import Record

_DIALOGUES = (
    *("conversation", "conversations", "dialog", "dialogs", "dialogue", "dialogues", "messages"),
    *("chat", "turns", "qa_pairs"),
)
_NODE = ("message_id", "parent_id", "text", "role")


def laid_out(
    head: list[Record], rest: Iterator[Record]
) -> tuple[list[Record], Iterator[Record], dict[str, int]]:
    """Return the first rows of a file, the others, and what was done to get at them, to rows."""
    rows = [record.value for record in head if isinstance(record.value, dict)]
    if mostly(rows, *_NODE):
        trees = _trees(itertools.chain(head, rest))
        first = list(itertools.islice(trees, len(head)))
        return first, trees, {}
    if len(head) == 1 and rows:
        inside, change = _inside(rows[0])
        if inside:
            records = [Record(value, f"row {number}") for number, value in enumerate(inside, 1)]
            records[0] = records[0]._replace(changes=head[0].changes)
            return records, iter(()), {change: len(records)}
    return head, rest, {}


def _inside(whole: dict[str, Any]) -> tuple[list[Any], str]:
    """Return the rows that one object holds, and what was done; none if it is a row itself."""
    columns = list(whole.values())
    if len(columns) > 1 and all(isinstance(column, dict) for column in columns):
        if all(column.keys() == columns[0].keys() for column in columns) and columns[0]:
            by_row = [{name: column[key] for name, column in whole.items()} for key in columns[0]]
            if best_fits(by_row):
                return by_row, "columns of one object made rows"
        if best_fits(columns) and not best_fits([whole]):
            return columns, "rows of one object read, without the keys they stand under"
    names, cells = whole.get("columns"), whole.get("data")
    if isinstance(names, list) and isinstance(cells, list) and all(map(_is_list, cells)):
        return [dict(zip(names, row, strict=False)) for row in cells], "rows of a table read"
    if len(columns) > 1 and all(map(_is_list, columns)):
        texts = all(isinstance(cell, str | int | float | None) for c in columns for cell in c)
        if texts and len({len(column) for column in columns}) == 1:
            rows = [dict(zip(whole, row, strict=True)) for row in zip(*columns, strict=True)]
            return rows, "columns of one object made rows"
    lists = {
        name: value
        for name, value in whole.items()
        if isinstance(value, list) and value and isinstance(value[0], dict | list)
    }
    if len(lists) == 1:
        ((name, inner),) = lists.items()
        fits = [form.name for form, _ in best_fits([whole])]
        # A list of questions and answers may be one dialogue, under a name of its own.
        wraps = fits == ["exchanges"] and name.lower() not in _DIALOGUES
        if (wraps or not fits) and best_fits(inner):
            return inner, f"rows read from under '{name}'"
    return [], ""


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _trees(records: Iterable[Record]) -> Iterator[Record]:
    """Yield every tree of messages as one row, at the place of its first message."""
    nodes: dict[Any, dict[str, Any]] = {}
    places: dict[Any, str] = {}
    for record in records:
        value, where, _ = record
        key = value.get("message_id") if isinstance(value, dict) else None
        if not isinstance(key, str | int) or key in nodes:
            yield record
            continue
        nodes[key], places[key] = {**value, "replies": []}, where
    roots = []
    for key, node in nodes.items():
        parent = nodes.get(node.get("parent_id"))
        if parent is None or parent is node:
            roots.append(key)
        else:
            parent["replies"].append(node)
    reached = list(roots)
    for key in reached:  # grows while it is gone through
        reached += [reply["message_id"] for reply in nodes[key]["replies"]]
    for key in roots:
        yield Record({"message_tree_id": key, "prompt": nodes[key]}, places[key])
    everywhere = set(reached)
    for key in [key for key in nodes if key not in everywhere]:  # answers to each other
        yield Record({**nodes[key], "replies": None}, places[key])


_ASKS = {"instruction", "prompt", "question", "query", "input", "problem", "问题", "提问"}
# A key of one answer stays what it is; instead of one of several, `response` is written.
_ANSWER = ("output", "response", "completion")
_ANSWERS = ("responses", "answers", "outputs", "candidates", "completions")
# Beside these a list is no list of answers that are to be learned.
_GOOD = {"output", "response", "completion", "answer", "chosen", "rejected"}
_OPTIONS = {"option", "options", "choices"}


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
