"""Rows with ranked answers, read as pairs: the best answer and each one below it.

UltraFeedback's binarized set pairs the best answer with one of the others, drawn at random. Here
every answer below the best makes a pair, so that none is lost before it is scored; `curate select`
leaves out what is not wanted. Answers ranked as high as the best make none. oasst's trees are read
as dialogues unless --format asks for pairs.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from curate.data.canonical import canonical_shape
from curate.data.formats import KEYS_ALONE, Format, Row, messages, mostly
from curate.data.json_values import Record
from curate.data.row_keys import folded
from curate.data.schema import Shape

TREES = "oasst_pairs"
RANKED = (
    *("completions", "answers", "responses", "candidates", "generations", "replies"),
    *("responses_and_scores", "outputs"),
)
_TEXTS = ("response", "answer", "text", "content", "completion", "output", "generation")
_RANKS = ("rank", "ranks", "ranking")  # 1 is the best
_SCORES = (
    *("overall_score", "score", "scores", "pm_score", "rating", "ratings", "reward", "rewards"),
    *("correctness", "correctness_math_verify", "is_correct", "correct"),
)
_BEST = ("chosen_idx", "chosen_index", "best_idx", "best_index", "preferred_idx")
_PAIR = ("chosen", "rejected")
Ranked = list[tuple[str, float | None]]  # texts, and their worth where it is known


def as_pairs(
    head: list[Record], rest: Iterator[Record], trees: bool = False
) -> tuple[list[Record], Iterator[Record], Counter[str]]:
    """Return the first rows and the others, ranked answers as pairs, and the tally for told()."""
    tally: Counter[str] = Counter()
    rows = [record.value for record in head if isinstance(record.value, dict)]
    if not trees and 2 * sum(listed_answers(row) is not None for row in rows) < max(1, len(rows)):
        return head, rest, tally
    pairs = (_of_trees if trees else _of_lists)(itertools.chain(head, rest), tally)
    return list(itertools.islice(pairs, len(head))), pairs, tally


def told(tally: Counter[str]) -> dict[str, int]:
    """Return what was done, for people, to how many pairs, rows or answers."""
    said = {
        "pairs": f"pairs of the best answer and each one below it, made of {tally['rows']:,} rows",
        "ties": "answers left out that are ranked as high as the best",
        "unranked": "answers left out that have no rank",
        "alone": "rows without an answer below the best, so without a pair",
    }
    return {text: tally[name] for name, text in said.items() if tally[name]}


def listed_answers(row: Row) -> tuple[list[str], Ranked] | None:
    """Return the keys of a row's answers and their ranks, and the answers; None without."""
    keys = {folded(key): key for key in row}
    chosen, rejected = (row.get(keys.get(name, "")) for name in _PAIR)
    worse = rejected if isinstance(rejected, list) else []
    if isinstance(chosen, str) and worse and all(isinstance(text, str) for text in worse):
        return [keys[name] for name in _PAIR], [(chosen, 1.0), *((text, 0.0) for text in worse)]
    for name in RANKED if keys.keys().isdisjoint(_PAIR) else ():
        items = row.get(keys[name]) if name in keys else None
        if not isinstance(items, list) or not items:
            continue
        used = [keys[name]]
        if all(isinstance(item, str) for item in items):
            beside = [key for key in (*_RANKS, *_SCORES) if key in keys]
            beside = [key for key in beside if len(_list(row[keys[key]])) == len(items)]
            used += [keys[key] for key in beside]
            items = [
                {"text": text, **{key: row[keys[key]][at] for key in beside}}
                for at, text in enumerate(items)
            ]
        if not all(isinstance(item, dict) for item in items):
            continue
        items = [{folded(key): value for key, value in item.items()} for item in items]
        if best := [keys[n] for n in _BEST if n in keys and _is_place(row[keys[n]], items)]:
            told = [(_text(item), float(at == row[best[0]])) for at, item in enumerate(items)]
            return [*used, best[0]], [*told]
        for key in (*_RANKS, *_SCORES):
            worth = [_number(item.get(key), -1 if key in _RANKS else 1) for item in items]
            if len(worth) - worth.count(None) > 1:
                return used, list(zip(map(_text, items), worth, strict=True))
    return None


def _text(item: Row) -> str:
    return next((item[key] for key in _TEXTS if isinstance(item.get(key), str)), "")


def _is_place(value: Any, items: list[Any]) -> bool:
    """Tell whether a value says which of some answers is the best."""
    return type(value) is int and 0 <= value < len(items) and len(items) > 1


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any, sign: int) -> float | None:
    """Return a score or a rank; UltraFeedback has some as text, `N/A` among them."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return sign * number if math.isfinite(number) else None


def _pairs(record: Record, beside: Row, answers: Ranked, tally: Counter[str]) -> Iterator[Record]:
    """Yield a row for each answer below the best; one without `rejected` where there is none."""
    ranked = [(text, worth) for text, worth in answers if worth is not None]
    best, most = max(ranked, key=lambda answer: answer[1])
    worse = [text for text, worth in ranked if worth < most]
    tally["unranked"] += len(answers) - len(ranked)
    tally["ties"] += len(ranked) - len(worse) - 1
    tally["rows" if worse else "alone"] += 1
    tally["pairs"] += len(worse)
    for number, text in enumerate(worse or [""], 1):
        row = {"source_id": record.where, **beside, "chosen": best, "rejected": text}
        yield Record(row, f"{record.where}, pair {number}", record.changes if number == 1 else ())


def _of_lists(records: Iterable[Record], tally: Counter[str]) -> Iterator[Record]:
    for record in records:
        listed = listed_answers(record.value) if isinstance(record.value, dict) else None
        if listed is None:
            yield record
            continue
        beside = {key: value for key, value in record.value.items() if key not in listed[0]}
        yield from _pairs(record, beside, listed[1], tally)


def _of_trees(records: Iterable[Record], tally: Counter[str]) -> Iterator[Record]:
    for record in records:
        root = record.value.get("prompt") if isinstance(record.value, dict) else None
        if not isinstance(root, dict):
            yield record
            continue
        waiting: list[tuple[Row, list[Row]]] = [(root, [])]
        so_far = tally["rows"] + tally["alone"]
        for node, before in waiting:  # grows while it is gone through
            who = "human" if node.get("role") == "prompter" else "gpt"
            talk = [*before, {"from": who, "value": str(node.get("text") or "")}]
            replies = [r for r in _list(node.get("replies")) if isinstance(r, dict)]
            replies = [r for r in replies if r.get("text") and not r.get("deleted")]
            waiting += [(reply, talk) for reply in replies]
            answers = [(str(r["text"]), _number(r.get("rank"), -1)) for r in replies]
            if who == "human" and sum(worth is not None for _, worth in answers) > 1:
                place = record._replace(where=f"{record.where}, message {node.get('message_id')}")
                yield from _pairs(place, {"conversations": talk}, answers, tally)
        if tally["rows"] + tally["alone"] == so_far:
            asked = {"from": "human", "value": str(root.get("text") or "")}
            yield from _pairs(record, {"conversations": [asked]}, [("", 0.0)], tally)


def _detect(samples: list[Row]) -> Shape | None:
    there = mostly(samples, "conversations", *_PAIR, "source_id")
    return replace(canonical_shape("preference"), format=TREES) if there else None


FORMATS = (
    Format(
        name=TREES,
        keys="message_id, parent_id, text, role, rank: pairs out of oasst's trees",
        rank=KEYS_ALONE,
        detect=_detect,
        convert=messages.convert,
        title="pairs out of trees",
    ),
)
