"""Questions with options: CMExam, CMB, MedQA, MedMCQA, MMLU, C-Eval, CMMLU, ARC and their like.

The options go below the question, a line each, and the answer is told by its letter and text. They
stay apart as alpaca's `input`: on another side, as --against, a question is its text alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from curate.data.formats import OWN_KEYS, Format, keys_of
from curate.data.formats.named import beside, thought_first
from curate.data.row_keys import CONTEXTS, folded
from curate.data.schema import Converted, Shape

_QUESTIONS = (
    *("question", "question_stem", "stem", "query", "problem", "题目", "题干", "问题"),
    *("instruction", "prompt"),
)
_OPTIONS = ("option", "options", "choices", "choice", "candidates", "选项")
_SPREAD = ("", "op", "opt", "option", "option_", "opt_", "choice_", "选项")
_LETTERS = "abcdefgh"
# A letter before the text that it stands for, and a text of all of them.
_ANSWERS = (
    *("answer_idx", "answer_index", "answerkey", "answer_key", "answer_letter", "correct_option"),
    *(
        "cop",
        "answer",
        "correct_answer",
        "答案",
        "正确答案",
        "label",
        "target",
        "output",
        "response",
    ),
)
_MARKED = re.compile(r"(?:^|(?<=[\s;；]))\(?([A-H])[.．、:：)\s]\s*", re.MULTILINE)
_LETTERED = re.compile(r"[A-H](?:[\s,，、;；/和]*[A-H])*")
_BESIDE = {"system": "system"}
_PUT = "options put below the question"
_OPTION_TEXT, _ANSWER_TEXT = "options", "answer"


def _options(row: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return label to text, and the keys that hold them; `row` has keys in small letters."""
    for name in _OPTIONS:
        labelled = _labelled(row.get(name))
        if len(labelled) > 1:
            return labelled, [name]
    for prefix in _SPREAD:
        names = [prefix + letter for letter in _LETTERS if prefix + letter in row]
        texts = {name[-1].upper(): str(row[name]).strip() for name in names if _says(row[name])}
        if len(texts) > 1 and {"A", "B"} <= texts.keys():
            return texts, names
    return {}, []


def _says(value: Any) -> bool:
    return isinstance(value, str | int | float) and bool(str(value).strip())


def _labelled(value: Any) -> dict[str, str]:
    """Return options as label to text, however they are written."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            parts = _MARKED.split(value)
            return {label: text.strip() for label, text in zip(parts[1::2], parts[2::2])}  # noqa: B905
        return {} if isinstance(inner, str) else _labelled(inner)
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list):
            return {str(k): str(v).strip() for k, v in zip(labels, texts, strict=False)}
        if all(len(str(key)) < 3 for key in value):
            return {str(k): str(v).strip() for k, v in value.items() if _says(v)}
    if not isinstance(value, list):
        return {}
    if all(isinstance(item, dict) and len(item) >= 2 for item in value):
        pairs = [[item[key] for key in list(item)[:2]] for item in value]
        pairs = [sorted(map(str, pair), key=len) for pair in pairs]
        return dict(pairs) if all(len(pair[0]) < 3 for pair in pairs) else {}
    if not all(map(_says, value)):
        return {}
    marked = [_MARKED.match(str(item)) for item in value]
    return {
        mark[1] if mark and all(marked) else letter.upper(): str(item)[
            mark.end() if mark and all(marked) else 0 :
        ].strip()
        for letter, item, mark in zip(_LETTERS, value, marked, strict=False)
    }


def _answer(row: Mapping[str, Any], options: Mapping[str, str], first: int) -> str:
    """Return the answer as its letters and texts, or as the row has it."""
    there = [row[name] for name in _ANSWERS if row.get(name) not in (None, "")]
    for value in there:
        if labels := _labels(value, options, first):
            return "\n".join(f"{label}. {options[label]}" for label in labels)
    texts = [value for value in there if isinstance(value, str)]
    return max(texts, key=len, default="")


def _labels(value: Any, options: Mapping[str, str], first: int) -> list[str]:
    """Return the labels that an answer names; none if it names none."""
    if isinstance(value, list):
        every = [_labels(item, options, first) for item in value]
        return [label for labels in every for label in labels] if all(every) else []
    text = str(value).strip()
    bare = text.strip("()（）.。 ")
    if bare in options:
        return [bare]
    if isinstance(value, int) or bare.isdecimal():
        labels = list(options)
        at = int(bare) - first if bare.isdecimal() else -1
        return [labels[at]] if 0 <= at < len(labels) else []
    if _LETTERED.fullmatch(bare.upper()):
        letters = re.findall("[A-H]", bare.upper())
        return letters if all(letter in options for letter in letters) else []
    return [label for label, option in options.items() if option == text][:1]


def _detect(first: int, samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a question and options; answers count from `first`."""
    keys = keys_of(samples)
    question = next((keys[name] for name in _QUESTIONS if name in keys), "")
    numbers: list[int] = []
    fitting = from_one = 0
    for row in samples:
        if isinstance(row.get(question), str):
            small = {folded(key): value for key, value in row.items()}
            options = _options(small)[0]
            fitting += bool(options)
            number = next((small[name] for name in _ANSWERS if _says(small.get(name))), "")
            named = any(label.isdecimal() for label in options)
            if options and not named and str(number).isdecimal():
                numbers.append(int(number))
                from_one += int(number) == len(options)
    counts_from_one = bool(numbers) and from_one > 0 and 0 not in numbers
    if not fitting or 2 * fitting < len(samples) or counts_from_one != (first == 1):
        return None
    columns = {"prompt": question, "query": _OPTION_TEXT, "response": _ANSWER_TEXT}
    return Shape("exam", "alpaca", {**beside(_BESIDE, keys), **columns})


def _convert(first: int, value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with its options as text and its answer told by letter and text."""
    small = {folded(key): inner for key, inner in value.items()}
    key = shape.columns["prompt"]
    question = value.get(key)
    options, held = _options(small)
    if not isinstance(question, str):
        return Converted(value, flaw="not_text")
    if not options:
        return thought_first(value, shape)
    named = {*held, *(("answer",) if "answer" in small else ())}
    row = {name: inner for name, inner in value.items() if folded(name) not in named}
    about = next((small[name] for name in CONTEXTS if isinstance(small.get(name), str)), "")
    if about.strip() and about not in question:
        row[key] = f"{about}\n{question}"
    row[_OPTION_TEXT] = "\n".join(f"{label}. {text}" for label, text in options.items())
    row[_ANSWER_TEXT] = _answer(small, options, first)
    thoughtful = thought_first(row, shape)
    return Converted(thoughtful.row, (_PUT, *thoughtful.changes))


FORMATS = tuple(
    Format(
        name=name,
        keys="question, options (or A, B, C, D), answer" + (" counted from 1" if first else ""),
        rank=OWN_KEYS,
        detect=partial(_detect, first),
        convert=partial(_convert, first),
        optional=_BESIDE,
        title="exam questions",
    )
    for first, name in enumerate(("exam", "exam_from_1"))
)
