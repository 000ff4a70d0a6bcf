"""Questions put together: exams with options, and Toyhom's with a title.

CMExam, CMB, MedQA, MedMCQA, MMLU, C-Eval, CMMLU, ARC and their like: the options go below the
question, a line each, and the answer is told by its letter and text. They stay apart as alpaca's
`input`: on another side, as --against, a question is its text alone. Toyhom's Chinese medical
dialogues have department, title, question and answer, in CSV or in text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from curate.data.formats import OWN_KEYS, Format, keys_of, mostly
from curate.data.formats.named import beside, thought_first
from curate.data.json_values import read_text
from curate.data.row_keys import CONTEXTS, folded_row, in_small_letters
from curate.data.schema import Converted, Shape

_QUESTIONS = (
    *("question", "question_stem", "stem", "query", "problem", "题目", "题干", "问题"),
    *("instruction", "prompt"),
)
_OPTIONS = ("option", "options", "choices", "choice", "candidates", "选项")
# What stands before the letters of options that have keys of their own.
_SPREAD = ("", "op", "opt", "option", "option_", "opt_", "choice_", "选项")
_LETTERS = "ABCDEFGHIJ"  # ten, as MMLU-Pro has
# A letter before the text that it stands for, and a text of all of them.
_ANSWER_NAMES = (
    "answer_idx answer_index answerkey answer_key answer_letter correct_option cop answer "
    "correct_answer 答案 正确答案 gold gold_idx correct correct_idx label target output response"
)
_ANSWERS = _ANSWER_NAMES.split()
# A letter that may begin an option: at the beginning of a line, also where tables such as CMExam's
# hold `\n` as two characters, or behind white space.
_MARK = re.compile(
    r"(?:(?P<line>(?:^|\\n)[ \t\u3000]*)|(?<=[\s;；])|(?=[(（][A-J][)）]))"
    r"[(（]?([A-J])([.．。、:：)）\s])\s*",
    re.MULTILINE,
)
_LETTERED = re.compile(r"[A-J](?:[\s,，、;；/和]*[A-J])*")
_BESIDE = {"system": "system"}
_PUT = "options put below the question"
_OPTION_TEXT, _ANSWER_TEXT = "options", "answer"
# What stands where a patient wrote nothing below the title.
_NOTHING = ("", "无")
_TAG = re.compile(
    r"</?(?:a|b|br|div|font|h[1-6]|i|img|li|ol|p|span|strong|table|td|tr|u|ul)\b[^<>]*>"
)
_PUNCTUATION = "？?。.！!，, \t\r\n\u3000"


def _options(row: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return label to text, and the keys that hold them; `row` has keys in small letters."""
    for name in _OPTIONS:
        if len(labelled := _labelled(row.get(name))) > 1:
            return labelled, [name]
    for prefix in _SPREAD:
        names = {letter: prefix + letter.lower() for letter in _LETTERS}
        names = {
            letter: name
            for letter, name in names.items()
            if name in row and (letter < "I" or prefix + "h" in row)  # i and j are counters, too
        }
        texts = {letter: str(row[n]).strip() for letter, n in names.items() if _says(row[n])}
        if {"A", "B"} <= texts.keys():
            return texts, list(names.values())
    return {}, []


def _says(value: Any) -> bool:
    return isinstance(value, str | int | float) and bool(str(value).strip())


def _labelled(value: Any) -> dict[str, str]:
    """Return options as label to text, however they are written."""
    if isinstance(value, str):
        if (inner := read_text(value)) is value:
            return _marked(value)
        return {} if isinstance(inner, str) else _labelled(inner)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list):
            pairs = list(zip(labels, texts, strict=False))
        elif all(len(str(key)) < 3 for key in value):
            pairs = [(label, text) for label, text in value.items() if _says(text)]
    elif isinstance(value, list) and all(isinstance(i, dict) and len(i) > 1 for i in value):
        both = (sorted((str(item[key]) for key in list(item)[:2]), key=len) for item in value)
        pairs = [(label, text) for label, text in both]
        pairs = pairs if all(len(label) < 3 for label, _ in pairs) else []
    elif isinstance(value, list) and len(value) <= len(_LETTERS) and all(map(_says, value)):
        lines = [_MARK.match(str(item)) for item in value]
        if {line[2] for line in lines if line} == {*_LETTERS[: len(value)]}:
            pairs = [(line[2], line.string[line.end() :]) for line in lines if line]
        else:
            pairs = list(zip(_LETTERS, value, strict=False))
    texts_of = {str(label): str(text).strip() for label, text in pairs}
    return dict(sorted(texts_of.items()) if texts_of.keys() <= {*_LETTERS} else texts_of.items())


def _marked(text: str) -> dict[str, str]:
    """Return the options of a text; the B of `A. Hepatitis B virus` begins none."""
    every = list(_MARK.finditer(text))
    sure = [mark for mark in every if mark["line"] is not None or not mark[3].isspace()]
    if len(sure) < 2:
        sure = every
    enclosed = bool(sure) and sure[0][3] in ")）"
    alike = [mark for mark in sure if (mark[3] in ")）") == enclosed]
    begun: list[re.Match[str]] = []  # where nothing else fits: the first A, the next B …
    for mark in sure:
        if mark[2] == _LETTERS[len(begun) : len(begun) + 1]:
            begun.append(mark)
    lines = [mark for mark in every if mark["line"] is not None]
    ways = (alike, lines, sure) if enclosed else (lines, alike, sure)
    distinct = [way for way in ways if len({mark[2] for mark in way}) == len(way) > 1]
    without_gap = (
        way for way in distinct if max(mark[2] for mark in way) == _LETTERS[len(way) - 1]
    )
    in_order = (way for way in distinct if [mark[2] for mark in way] == sorted(m[2] for m in way))
    marks = next(without_gap, max(next(in_order, []), begun, key=len))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = {m[2]: text[m.end() : end].strip() for m, end in zip(marks, ends, strict=False)}
    return dict(sorted(options.items()))


def _answer(row: Mapping[str, Any], options: Mapping[str, str], first: int) -> str:
    values = [row[name] for name in _ANSWERS if row.get(name) not in (None, "")]
    for value in values:
        if labels := _labels(value, options, first):
            return "\n".join(f"{label}. {options[label]}" for label in labels)
    return max((value for value in values if isinstance(value, str)), key=len, default="")


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
        at = int(bare) - first if bare.isdecimal() else -1
        return list(options)[at : at + 1] if at >= 0 else []
    if _LETTERED.fullmatch(bare.upper()):
        letters = list(dict.fromkeys(re.findall("[A-J]", bare.upper())))
        return letters if options.keys() >= {*letters} else []
    return [label for label, option in options.items() if option == text][:1]


def _detect(first: int, samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a question and options; answers count from `first`."""
    keys = keys_of(samples)
    question = next((keys[name] for name in _QUESTIONS if name in keys), "")
    rows = [folded_row(row) for row in samples if isinstance(row.get(question), str)]
    exams = [(row, options) for row in rows if (options := _options(row)[0])]
    if not exams or 2 * len(exams) < len(samples):
        return None
    numbers: list[int] = []
    last = False  # whether some number is that of the last option, counted from 1
    for row, options in exams:
        answer = str(next((row[name] for name in _ANSWERS if _says(row.get(name))), ""))
        if answer.isdecimal() and not any(label.isdecimal() for label in options):
            numbers.append(int(answer))
            last = last or numbers[-1] == len(options)
    if (last and 0 not in numbers) != bool(first):
        return None
    columns = {"prompt": question, "query": _OPTION_TEXT, "response": _ANSWER_TEXT}
    return Shape("exam", "alpaca", {**beside(_BESIDE, keys), **columns})


def _convert(first: int, value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with its options as text and its answer told by letter and text."""
    small, key = folded_row(value), shape.columns["prompt"]
    question = value.get(key)
    options, option_keys = _options(small)
    if not isinstance(question, str):
        return Converted(value, flaw="not_text")
    if not options:
        return Converted(*thought_first(value, shape))
    keys = in_small_letters(value)
    taken = {keys[name] for name in (*option_keys, "answer") if name in keys}
    row = {name: inner for name, inner in value.items() if name not in taken}
    about = next((small[name] for name in CONTEXTS if isinstance(small.get(name), str)), "")
    if about.strip() and about not in question:
        row[key] = f"{about}\n{question}"
    row[_OPTION_TEXT] = "\n".join(f"{label}. {text}" for label, text in options.items())
    row[_ANSWER_TEXT] = _answer(small, options, first)
    row, changes = thought_first(row, shape)
    return Converted(row, (_PUT, *changes))


def detect_toyhom(samples: list[dict[str, Any]]) -> Shape | None:
    keys = (("title", "ask", "answer"), ("department", "title", "question", "answer"))
    if not any(mostly(samples, *wanted) for wanted in keys):
        return None
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    return Shape("toyhom", "alpaca", columns)


def convert_toyhom(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row in alpaca's keys; department and title stay beside them."""
    asked = "question" if "question" in value and "ask" not in value else "ask"
    texts = [value.get(key) for key in ("title", asked, "answer")]
    if not all(isinstance(text, str | None) for text in texts):
        return Converted(value, flaw="not_text")
    title, question, answer = ((text or "") for text in texts)
    title, question, changes = title.strip(), question.strip(), []
    bare = title.strip(_PUNCTUATION)
    if question in _NOTHING:
        question = title
        changes = ["no question, the title taken for it"] if title else []
    elif bare and bare not in question:
        question = f"{title}\n{question}"
        changes = ["title put before the question"]
    if any(_TAG.search(text or "") for text in texts):
        changes.append("HTML tags in the text left as they are")
    beside = {key: inner for key, inner in value.items() if key not in (asked, "answer")}
    row = {"instruction": question, "input": "", "output": answer, **beside}
    return Converted(row, tuple(changes))


_KEYS = "question, options (or A, B, C, D), answer"
FORMATS = (
    Format("exam", _KEYS, OWN_KEYS, partial(_detect, 0), partial(_convert, 0), _BESIDE,
           "exam questions"),
    Format("exam_from_1", f"{_KEYS} counted from 1", OWN_KEYS, partial(_detect, 1),
           partial(_convert, 1), _BESIDE, "exam questions"),
    Format("toyhom", "department, title, ask (or question), answer", OWN_KEYS, detect_toyhom,
           convert_toyhom, title="Toyhom"),
)  # fmt: skip
