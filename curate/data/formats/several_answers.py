"""Rows with several answers: ranked ones as pairs, the best and each one below it, others as rows.

UltraFeedback's binarized set pairs the best answer with one of the others, drawn at random. Here
every answer below the best makes a pair, so that none is lost before it is scored; `curate select`
leaves out what is not wanted. Answers ranked as high as the best make none. oasst's trees are read
as dialogues unless --format asks for pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from curate.data.canonical import canonical_shape
from curate.data.describe import counted
from curate.data.formats import KEYS_ALONE, Format, Row, keys_of, messages, mostly
from curate.data.json_values import Record
from curate.data.row_keys import ASKED, ROLES, WHO, are_messages, folded_row, in_small_letters
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
_DIALOGUES = ("messages", "conversations")
Ranked = list[tuple[str, float | None]]  # texts, and their worth where it is known
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


def as_pairs(
    values: list[Any], every: Iterator[Record], changes: dict[str, int], trees: bool = False
) -> Iterator[Record] | None:
    """Return ranked answers as pairs, None where the first values of a file have none."""
    rows = [value for value in values if isinstance(value, dict)]
    if not trees and 2 * sum(listed_answers(row) is not None for row in rows) < max(1, len(rows)):
        return None
    return _all_pairs(every, changes, trees)


def _all_pairs(records: Iterator[Record], changes: dict[str, int], trees: bool) -> Iterator[Record]:
    tally: Counter[str] = Counter()
    for record in records:
        yield from (_of_tree if trees else _of_list)(record, tally)
    rows = counted(tally["rows"])
    notes = {
        "pairs": f"pairs of the best answer and each one below it, made of {rows}",
        "ties": "answers left out that are ranked as high as the best",
        "unranked": "answers left out that have no rank",
        "alone": "rows without an answer below the best, so without a pair",
    }
    changes |= {text: tally[name] for name, text in notes.items() if tally[name]}


def listed_answers(row: Row) -> tuple[list[str], Ranked] | None:
    """Return the keys of a row's answers and their ranks, and the answers; None without."""
    keys = in_small_letters(row)
    chosen, rejected = (row.get(keys.get(name, "")) for name in _PAIR)
    if isinstance(chosen, str) and rejected and _are_texts(rejected):
        return [keys[name] for name in _PAIR], [(chosen, 1.0), *((text, 0.0) for text in rejected)]
    if not keys.keys().isdisjoint(_PAIR) or any(
        _is_whole(row.get(keys.get(name, ""))) for name in _DIALOGUES
    ):
        return None
    for name in RANKED:
        items = row.get(keys[name]) if name in keys else None
        if not isinstance(items, list) or not items:
            continue
        used = [keys[name]]
        if _are_texts(items):
            beside = [key for key in (*_RANKS, *_SCORES) if key in keys]
            beside = [key for key in beside if len(_list(row[keys[key]])) == len(items)]
            used += [keys[key] for key in beside]
            items = [
                {"text": text, **{key: row[keys[key]][at] for key in beside}}
                for at, text in enumerate(items)
            ]
        if not all(isinstance(item, dict) for item in items):
            continue
        items = [folded_row(item) for item in items]
        places = range(len(items)) if len(items) > 1 else ()
        best = [keys[n] for n in _BEST if n in keys and type(row[keys[n]]) is int]
        if best := [key for key in best if row[key] in places]:
            ranked = [(_text(item), float(at == row[best[0]])) for at, item in enumerate(items)]
            return [*used, best[0]], [*ranked]
        for key in (*_RANKS, *_SCORES):
            worth = [number_of(item.get(key), -1 if key in _RANKS else 1) for item in items]
            if len(worth) - worth.count(None) > 1:
                return used, list(zip(map(_text, items), worth, strict=True))
    return None


def _is_whole(value: Any) -> bool:
    """Tell whether a value is a dialogue that ends with its answer: what is to be learned."""
    last = value[-1] if are_messages(value) else {}
    who = next((last[key] for key in WHO if key in last), "")
    return ROLES.get(str(who).lower()) == "assistant"


def _text(item: Row) -> str:
    return next((item[key] for key in _TEXTS if isinstance(item.get(key), str)), "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def number_of(value: Any, sign: int) -> float | None:
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


def _of_list(record: Record, tally: Counter[str]) -> Iterator[Record]:
    listed = listed_answers(record.value) if isinstance(record.value, dict) else None
    if listed is None:
        yield record
    else:
        beside = {key: value for key, value in record.value.items() if key not in listed[0]}
        yield from _pairs(record, beside, listed[1], tally)


def replies_of(node: Row) -> list[Row]:
    """Return the replies that a message of a tree has, without those that were taken back."""
    replies = [reply for reply in _list(node.get("replies")) if isinstance(reply, dict)]
    return [reply for reply in replies if reply.get("text") and not reply.get("deleted")]


def _of_tree(record: Record, tally: Counter[str]) -> Iterator[Record]:
    root = record.value.get("prompt") if isinstance(record.value, dict) else None
    if not isinstance(root, dict):
        yield record
        return
    waiting: list[tuple[Row, list[Row]]] = [(root, [])]
    so_far = tally["rows"] + tally["alone"]
    for node, before in waiting:  # grows while it is gone through
        who = "human" if node.get("role") == "prompter" else "gpt"
        talk = [*before, {"from": who, "value": str(node.get("text") or "")}]
        replies = replies_of(node)
        waiting += [(reply, talk) for reply in replies]
        answers = [(str(r["text"]), number_of(r.get("rank"), -1)) for r in replies]
        if who == "human" and sum(worth is not None for _, worth in answers) > 1:
            place = record._replace(where=f"{record.where}, message {node.get('message_id')}")
            yield from _pairs(place, {"conversations": talk}, answers, tally)
    if tally["rows"] + tally["alone"] == so_far:
        asked = {"from": "human", "value": str(root.get("text") or "")}
        yield from _pairs(record, {"conversations": [asked]}, [("", 0.0)], tally)


def spread_out(
    values: list[Any], every: Iterator[Record], changes: dict[str, int]
) -> Iterator[Record] | None:
    """Return a row an answer, None where the first values of a file list no answers."""
    key = _key([value for value in values if isinstance(value, dict)])
    return _spread(every, key, changes) if key else None


def _spread(records: Iterator[Record], key: str, changes: dict[str, int]) -> Iterator[Record]:
    """Yield a record of every answer; `source_id` says where the list stood."""
    name = key if key.lower() in _ANSWER else "response"
    lists = answers = 0
    for record in records:
        value = record.value
        if not isinstance(value, dict) or key not in value:
            yield record
            continue
        listed, beside = value[key], {k: v for k, v in value.items() if k != key}
        if not _are_texts(listed):
            yield record._replace(value={**beside, name: listed})
            continue
        lists, answers = lists + 1, answers + len(listed)
        for number, text in enumerate(listed or [""], 1):  # no answer is told as a flaw
            row = {"source_id": record.where, **beside, name: text}
            record_changes = record.changes if number == 1 else ()
            yield Record(row, f"{record.where}, answer {number}", record_changes)
    if lists:
        changes[f"{counted(lists)} held {answers:,} answers, each of which is a row now"] = 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _key(rows: list[Row]) -> str:
    """Return the key of the lists of answers, '' where rows have none, or lists of another kind."""
    keys = keys_of(rows)
    texts = {name for name, key in keys.items() if any(isinstance(r.get(key), str) for r in rows)}
    for name in (*_ANSWER, *_ANSWERS) if not texts.isdisjoint(ASKED) else ():
        key = keys.get(name, "")
        lists = [row[key] for row in rows if key and _are_texts(row.get(key))]
        if not lists or 2 * len(lists) < len(rows):
            continue
        # LLaMA-Factory's older preference pairs: the better and the worse.
        pairs = name == "output" and 2 * sum(len(answers) == 2 for answers in lists) >= len(rows)
        beside = (texts - {name}) & _GOOD or keys.keys() & _OPTIONS
        return "" if pairs or beside or max(map(len, lists)) < 2 else key
    return ""


def _detect(samples: list[Row]) -> Shape | None:
    are_pairs = mostly(samples, "conversations", *_PAIR, "source_id")
    return replace(canonical_shape("preference"), format=TREES) if are_pairs else None


FORMATS = (
    Format(TREES, "message_id, parent_id, text, role, rank: pairs out of oasst's trees",
           KEYS_ALONE, _detect, messages.convert, title="pairs out of trees"),
)  # fmt: skip
