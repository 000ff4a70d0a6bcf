"""Exam questions as they are asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from curate.data.read import read
from curate.data.row_keys import in_small_letters
from curate.data.rows import Row, Rows
from curate.errors import DataError, UsageError
from curate.scorers.overlap import HAN
from deploy.compare.asking import writable

LETTERS = "ABCDEFGHIJ"
_SUBJECTS = (
    *("subject", "exam_subject", "subject_name", "medical_discipline", "discipline", "科目"),
    *("clinical_department", "department", "exam_class", "category", "topic", "meta_info", "学科"),
)
_OPTION = re.compile(r"(\w{1,2})\. ?(.*)", re.DOTALL)
_LEADS = {
    True: ("以下是单项选择题，请选出正确答案，只回答选项的字母。\n\n", "答案："),
    False: (
        "The following are multiple choice questions. Answer with the letter of the right option "
        "alone.\n\n",
        "Answer:",
    ),
}


@dataclass(frozen=True)
class Question:
    id: str  # of its row
    source: str  # name of its file
    file: int  # number of that among the exam's
    text: str
    options: tuple[str, ...]
    answer: str  # letter of the right one
    subject: str  # '' if the row names none

    @property
    def letters(self) -> str:
        return LETTERS[: len(self.options)]

    @cached_property
    def asked(self) -> str:
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, self.options, strict=False)]
        return "\n".join([self.text, *lines, self._words[1]])

    @property
    def _words(self) -> tuple[str, str]:
        return _LEADS[bool(re.search(f"[{HAN}]", self.text))]

    def conversation(self, shots: Sequence[Question] = ()) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = []
        for shot in shots:
            messages.append({"role": "user", "content": shot.asked})
            messages.append({"role": "assistant", "content": shot.answer})
        messages.append({"role": "user", "content": self.asked})
        messages[0]["content"] = self._words[0] + messages[0]["content"]
        return messages


@dataclass(frozen=True)
class Exam:
    """What is asked, what is shown with its answer before, and what could not be asked."""

    questions: tuple[Question, ...]
    shots: tuple[Question, ...]
    files: tuple[Rows, ...]
    left_out: dict[str, int]  # by reason: a flaw, no_answer, several_answers, shown_before, …

    @property
    def sources(self) -> list[dict[str, str]]:
        sources = (source for rows in self.files for source in rows.sources)
        return [{"name": source.name, "sha256": source.sha256} for source in sources]

    @property
    def chance(self) -> float:
        return float(np.mean([1 / len(question.options) for question in self.questions]))

    @property
    def most_frequent(self) -> tuple[str, int]:
        """The letter that is right most often, and how often."""
        return Counter(sorted(q.answer for q in self.questions)).most_common(1)[0]


def read_exam(
    paths: Sequence[Path],
    shots: int = 0,
    limit: int | None = None,
    seed: int = 0,
    subject: str = "",
) -> Exam:
    """Read files of questions; so many are drawn to be shown, of the rest `limit` to be asked."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"--exam {' '.join(map(str, paths))}: a file is given twice; give it once")
    reasons: Counter[str] = Counter()
    questions: list[Question] = []
    files = tuple(read(path, questions=True) for path in paths)
    for number, rows in enumerate(files):
        if not rows.shape.format.startswith("exam"):
            raise DataError(
                f"{paths[number]} holds no exam: its rows are read as {rows.shape.format}, and "
                "have to have a question, options (or A, B, C, D) and an answer"
            )
        for row in rows:
            question = _question(row, rows, number, subject)
            if isinstance(question, str):
                reasons[question] += 1
            else:
                questions.append(question)
    if subject and questions and not any(question.subject for question in questions):
        raise UsageError(f"--subject {subject}: no question has this key")
    if len(questions) <= shots:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
        raise DataError(
            f"{', '.join(map(str, paths))}: {len(questions):,} questions can be asked"
            f"{f' ({why})' if why else ''}; give more than the {shots} that are shown"
        )
    if len(files) > 1 and not any(question.subject for question in questions):
        questions = [replace(each, subject=Path(each.source).stem) for each in questions]
    order = np.random.default_rng(seed).permutation(len(questions)).tolist()
    most = len(questions) - shots if limit is None else limit
    asked = sorted(order[shots : shots + most])
    reasons["shown_before"] += shots
    reasons["beyond_limit"] += len(questions) - shots - len(asked)
    return Exam(
        questions=tuple(questions[place] for place in asked),
        shots=tuple(questions[place] for place in order[:shots]),
        files=files,
        left_out={reason: count for reason, count in sorted(reasons.items()) if count},
    )


def _question(row: Row, rows: Rows, number: int, subject: str) -> Question | str:
    if row.flaw not in ("", "empty_response"):
        return row.flaw
    columns = rows.shape.columns
    text, options, answer = (
        writable(str(row.value.get(columns[part]) or "")).strip()
        for part in ("prompt", "query", "response")
    )
    labelled, right = _labelled(options), _labelled(answer)
    if not 2 <= len(labelled) <= len(LETTERS):
        return "no_options"
    if not right or not right.keys() <= labelled.keys():
        return "no_answer"
    if len(right) > 1:
        return "several_answers"
    keys = in_small_letters(row.value)
    names = (subject.lower(),) if subject else _SUBJECTS
    named = (row.value[keys[name]] for name in names if name in keys)
    return Question(
        id=row.id,
        source=row.source,
        file=number,
        text=text,
        options=tuple(labelled.values()),
        answer=LETTERS[list(labelled).index(next(iter(right)))],
        subject=str(next(filter(None, named), "")).strip(),
    )


def _labelled(text: str) -> dict[str, str]:
    """Return label to text of lines such as `A. aspirin`; a line without one goes on."""
    options: dict[str, str] = {}
    for line in text.split("\n"):
        match, last = _OPTION.fullmatch(line), next(reversed(options), "")
        if match and (not last or _follows(match[1], last)):
            options[match[1]] = match[2].strip()
        elif options:
            options[last] += f"\n{line}"
    return options


def _follows(label: str, last: str) -> bool:
    """Tell whether labels may stand so, as C behind A and 10 behind 9; `Dr. Who` is no option."""
    number, size = label.isdigit(), len(label)
    alike = number == last.isdigit() and (number or size == len(last))
    return alike and (size, label) > (len(last), last)
