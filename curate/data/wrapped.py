"""Files in which a value is no row: objects that wrap rows or columns, messages of trees.

What is no row is opened, a layer at a time, until a format knows what is in it: a list under a
key, an object of columns, of splits or of rows under their ids, rows under a key of each row, lists
of rows in rows, JSON in a text. What stands beside goes with the rows where it belongs to them,
and is told otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from curate.data.formats import ONE_TEXT, best_fits, mostly, names_questions
from curate.data.formats.several_answers import RANKED, listed_answers
from curate.data.json_values import Record, read_text
from curate.data.lists_in_rows import with_lists
from curate.data.packed import listed
from curate.data.row_keys import CONTEXTS, SYSTEMS, TEXTS, WHO, folded, holds_text, is_about

_DIALOGUES = (
    *("conversation", "conversations", "dialog", "dialogs", "dialogue", "dialogues", "messages"),
    *("chat", "turns", "qa_pairs"),
)
_NODE = ("message_id", "parent_id", "text", "role")
_DEPTH = 4  # layers that are opened; SQuAD has three
_TRIED = 200  # values by which it is found out what is in them
_TABLE = "rows of a table read"
_OPENED = ("row", "rows", "data", "json", "body", "record", "item", "_source", "example", "sample")


# Keys of lists that are parts of one row.
_OF_A_ROW = re.compile("messages|conversation|dialog|chosen|reject|prompt|complet|prefer")
_PARTS = frozenset({*WHO, *TEXTS})  # keys of messages, which are no index


class Layer(NamedTuple):
    """How to get from values to what is in each of them, and what is told of it."""

    open: Callable[[Any], list[Any]]
    change: str


def laid_out(
    values: list[Any], every: Iterator[Record], changes: dict[str, int]
) -> Iterator[Record] | None:
    """Return the rows in a file of which the first values are given, None where they are rows."""
    if mostly([value for value in values if isinstance(value, dict)], *_NODE):
        return _trees(every)
    if _are_named_by_the_first(values):
        changes[_TABLE] = 0
        names = next(every).value
        return (record._replace(value=_as_row(names, record.value)) for record in every)
    layers, is_one = _layers(values, _DEPTH), len(values) == 1
    for layer in layers or ():
        every = _opened(every, layer, is_one)
    whole = list(every) if layers and is_one else []
    changes |= {layer.change: len(whole) for layer in layers or ()}
    return (iter(whole) if is_one else every) if layers else None


def _opened(records: Iterable[Record], layer: Layer, is_one: bool) -> Iterator[Record]:
    number = 0
    for record in records:
        inside = layer.open(record.value)
        for place, value in enumerate(inside, 1):
            number += 1
            several = f"{record.where}, item {place}" if len(inside) > 1 else record.where
            where = f"row {number}" if is_one else several
            yield Record(value, where, record.changes if place == 1 else ())
        if not inside:
            yield record


def _fits(values: list[Any], least: int = ONE_TEXT) -> list[str]:
    if 2 * sum(isinstance(v, dict) and listed_answers(v) is not None for v in values) >= len(
        values
    ):
        return ["ranked"]
    fits = best_fits([with_lists(value)[0] for value in values])
    return [form.name for form, _ in fits if form.rank >= least]


def _layers(values: list[Any], depth: int, least: int = ONE_TEXT) -> list[Layer] | None:
    """Return the layers to open, from the outermost; None if no format is in them."""
    several = [v for v in values[:_TRIED] if v not in (None, "", [], {})]
    if not several:
        return None
    alone = several[0] if len(several) == 1 and isinstance(several[0], dict) else None
    names = _fits(several, least)
    if names and not (alone and _wraps(alone, names)):
        return []
    for layer in _ways(several, alone, depth) if depth else ():
        inside = [inner for value in several for inner in layer.open(value)]
        plain = any(f"'{name}'" in layer.change for name in _OPENED) or alone is not None
        within = _layers(inside, depth - 1, ONE_TEXT if plain else ONE_TEXT + 1)
        if within is not None:
            return [layer, *within]
    return [] if names else None


def _wraps(whole: dict[str, Any], names: list[str]) -> bool:
    """Tell whether one object that a format would take for a row holds rows all the same."""
    if _columns(whole):
        return True
    lists = {k: v for k, v in whole.items() if _is_list(v) and v and isinstance(v[0], dict | list)}
    named = len(lists) > 1 and len(lists) == len(whole) and names in (["sharegpt"], ["exchanges"])
    named = named and not any(_OF_A_ROW.search(key.lower()) for key in lists)
    if named and all(_fits([value]) for value in lists.values()):
        return True  # a dialogue under each name
    # A list of questions and answers may be one dialogue, under a name of its own.
    return names == ["exchanges"] and any(key.lower() not in _DIALOGUES for key in lists)


def _columns(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one object whose keys are columns, none if they are not.

    A column is a list, all of one length, or has a cell of every index under it.
    """
    columns = list(whole.values())
    if all(map(_is_list, columns)):
        plain = all(isinstance(cell, str | int | float | None) for c in columns for cell in c)
        even = plain and len({*map(len, columns)}) == 1
    elif even := all(isinstance(column, dict) and column for column in columns):
        index = columns[0].keys()
        even = not _PARTS & index and all(column.keys() == index for column in columns)
        columns = [[column[key] for key in index] for column in columns] if even else []
    if len(whole) < 2 or not even:
        return []
    return [dict(zip(whole, row, strict=True)) for row in zip(*columns, strict=True)]


def _ways(values: list[Any], alone: dict[str, Any] | None, depth: int) -> Iterator[Layer]:
    if all(isinstance(value, str) for value in values):
        yield Layer(lambda text: _listed(_json(text)), "rows read from JSON in a text")
    if all(map(_is_list, values)):
        yield Layer(lambda value: value if _is_list(value) else [], "lists of rows opened")
    rows = [value for value in values if isinstance(value, dict)]
    if len(rows) < len(values):
        return
    if alone is not None:
        yield from _whole(alone)
    keys = Counter(key for row in rows for key in row if _holds_rows(row[key]))
    for key, having in keys.most_common():
        if 2 * having >= len(rows) and folded(key) not in RANKED:
            is_file = alone is not None and depth == _DEPTH and _is_list(alone[key])
            yield _under(key, rows, is_file)


def _holds_rows(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict | list)
    return isinstance(value, dict) or (isinstance(value, str) and _json(value) is not None)


def _json(text: Any) -> Any:
    """Return the object or list that a text is in JSON; None for any other text."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return None
    value = read_text(text)
    return value if isinstance(value, dict | list) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _under(key: str, rows: list[dict[str, Any]], is_file: bool) -> Layer:
    """Return the way to the rows under a key, with what belongs to them of what is beside."""

    def open_one(value: Any) -> list[Any]:
        inner = value.get(key) if isinstance(value, dict) else None
        inside = _listed(_json(inner) if isinstance(inner, str) else inner)
        beside = {name: other for name, other in value.items() if name != key} if inside else {}
        if is_file or len(inside) > 1:
            beside = {k: v for k, v in beside.items() if _is_of_rows(k, v, is_file)}
        return [{**beside, **row} if isinstance(row, dict) else row for row in inside]

    left = {
        name: None
        for row in rows
        for name, inner in row.items()
        if name != key and (is_file or len(_listed(row.get(key))) > 1)
        if holds_text(inner) and not is_about(name) and not _is_of_rows(name, inner, is_file)
    }
    not_read = f", not {listed([*left])}" if left else ""
    return Layer(open_one, f"rows read from under '{key}'{not_read}")


def _is_of_rows(key: str, value: Any, is_file: bool) -> bool:
    """Tell whether what stands beside several rows says something of each of them."""
    says = folded(key) in (*SYSTEMS, *CONTEXTS, "tools") or names_questions(key)
    return says or (not is_file and isinstance(value, str | int | float))


def _whole(whole: dict[str, Any]) -> Iterator[Layer]:
    """Yield the ways to the rows of one object whose keys are all one kind of thing."""
    columns = list(whole.values())
    if rows := _columns(whole):
        yield Layer(lambda _: rows, "columns of one object made rows")
    dicts = len(columns) > 1 and all(isinstance(column, dict) for column in columns)
    if dicts and set.intersection(*map(set, columns)):
        change = "rows of one object read, without the keys they stand under"
        yield Layer(lambda _: columns, change)
    names, cells = whole.get("columns"), whole.get("data")
    if isinstance(names, list) and isinstance(cells, list) and all(map(_is_list, cells)):
        yield Layer(lambda _: [_as_row(names, row) for row in cells], _TABLE)
    parts = {name: part for name, part in whole.items() if _is_list(part) and _holds_rows(part)}
    if len(parts) > 1 and len(parts) == len(whole) and _fits(columns):
        yield Layer(lambda _: columns, "rows of one object read, without their keys")
    if len(parts) > 1 and all(_fits(part[:_TRIED]) for part in parts.values()):
        inside = [row for part in parts.values() for row in part]
        counts = ", ".join(f"'{name}' ({len(part):,})" for name, part in parts.items())
        yield Layer(lambda _: inside, f"rows read from under {counts}")


def _are_named_by_the_first(lists: list[Any]) -> bool:
    """Tell whether values are lists of cells whose first names the columns."""
    if len(lists) < 2 or not all(map(_is_list, lists)):
        return False
    names = lists[0]
    if len(names) < 2 or not all(isinstance(name, str) and len(name) < 40 for name in names):
        return False
    if any(len(cells) != len(names) for cells in lists) or len({*names}) < len(names):
        return False
    return bool(best_fits([_as_row(names, cells) for cells in lists[1:]]))


def _as_row(names: list[Any], cells: Any) -> Any:
    return dict(zip(names, cells, strict=False)) if _is_list(cells) else cells


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
        above = node.get("parent_id")
        parent = nodes.get(above) if isinstance(above, str | int) else None
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
