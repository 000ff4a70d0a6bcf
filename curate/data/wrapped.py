"""Files in which a value is no row: objects that wrap rows or columns, messages of trees."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from curate.data.formats import best_fits, mostly
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
