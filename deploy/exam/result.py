"""What an exam amounts to: shares with intervals, beside chance, and whether two models differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.exam.questions import Exam
from deploy.exam.sitting import ANSWER, HARNESS, LETTER, Sitting
from deploy.output import write_results

_SHORT = {LETTER: "letter", ANSWER: "answer", HARNESS: "harness"}
_SHOWN = 5  # ids of questions that were trained on
Table = tuple[list[str], list[list[str]]]  # header, lines


@dataclass(frozen=True)
class Share:
    """Right answers among some questions, and the 95 % interval of Wilson (1927)."""

    right: int
    questions: int
    unread: int  # of these, those without a letter; they are wrong
    share: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class Result:
    exam: Exam
    sittings: tuple[Sitting, ...]

    @property
    def seen(self) -> frozenset[int]:
        """Places of questions that stand in the training data of any of the models."""
        return frozenset().union(*(each.seen or () for each in self.sittings))

    @property
    def subjects(self) -> dict[str, list[int]]:
        """Subjects to the places of their questions, the largest first."""
        places = defaultdict(list)
        for place, question in enumerate(self.exam.questions):
            places[question.subject or "–"].append(place)
        return dict(sorted(places.items(), key=lambda item: (-len(item[1]), item[0])))

    def share(
        self, letters: Sequence[str] | None, places: Iterable[int] | None = None
    ) -> Share | None:
        """Return what is right of all questions, or of those at some places; None of none."""
        from scipy.stats import binomtest

        asked = range(len(self.exam.questions)) if places is None else [*places]
        if letters is None or not asked:
            return None
        right = sum(letters[place] == self.exam.questions[place].answer for place in asked)
        ends = binomtest(right, len(asked)).proportion_ci(method="wilson")
        unread = sum(not letters[place] for place in asked)
        interval = (float(ends.low), float(ends.high))
        return Share(right, len(asked), unread, right / len(asked), interval)

    def unseen_share(self, letters: Sequence[str] | None) -> Share | None:
        return self.share(letters, {*range(len(self.exam.questions))} - self.seen)

    @property
    def paired(self) -> list[dict[str, Any]]:
        """The first model beside each other one: McNemar's exact test (1947), two-sided."""
        from scipy.stats import binomtest

        first, *others = self.sittings
        tests = []
        for other in others:
            for way in first.letters:
                one, two = first.letters[way], other.letters.get(way)
                if one is None or two is None:
                    continue
                right = [
                    (a == question.answer, b == question.answer)
                    for a, b, question in zip(one, two, self.exam.questions, strict=True)
                ]
                counts = {"only_first": right.count((True, False))}
                counts["only_second"] = right.count((False, True))
                differ = sum(counts.values())
                p = float(binomtest(counts["only_first"], differ).pvalue) if differ else 1.0
                tests.append({"models": [first.name, other.name], "by": way, **counts, "p": p})
        return tests

    @property
    def tables(self) -> list[Table]:
        """The subjects, if there are several, and the models beside chance."""
        ways = [*dict.fromkeys(way for each in self.sittings for way in each.letters)]
        by_subject = [
            [
                *(subject, f"{len(places):,}", each.name),
                *(str(self.share(each.letters.get(way), places) or "–") for way in ways),
            ]
            for subject, places in self.subjects.items()
            for each in self.sittings
        ]
        header = ["model", "by", "right [95 %]", "not read"]
        header += [f"without {len(self.seen):,} trained on"] * bool(self.seen)
        lines = []
        for sitting in self.sittings:
            for way, letters in sitting.letters.items():
                whole, unseen = self.share(letters), self.unseen_share(letters)
                numbers = (whole, whole and f"{whole.unread:,}", unseen)
                line = [sitting.name, way, *(str(number or "–") for number in numbers)]
                lines.append(line[: len(header)])
        letter, times = self.exam.most_frequent
        always = times / len(self.exam.questions)
        for name, value in (("chance", self.exam.chance), (f"always {letter}", always)):
            lines.append([name, "", f"{100 * value:.1f} %", *[""] * (len(header) - 3)])
        subjects = [(["subject", "questions", "model", *ways], by_subject)]
        return [*(subjects if len(self.subjects) > 1 else ()), (header, lines)]

    @property
    def sentences(self) -> list[str]:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self.exam.left_out.items())
        asked = f"questions: {len(self.exam.questions):,}"
        lines = [f"{asked}; left out: {left_out}" if left_out else asked]
        for test in self.paired:
            first, second = test["models"]
            verdict = "not told apart" if test["p"] > 0.05 else "they differ"
            lines.append(
                f"by {test['by']}, {first} alone is right on {test['only_first']:,}, {second} "
                f"alone on {test['only_second']:,}; McNemar p = {test['p']:.3g}: {verdict}"
            )
        for sitting in self.sittings:
            if sitting.seen:
                ids = [self.exam.questions[place].id for place in sorted(sitting.seen)]
                shown = ", ".join(ids[:_SHOWN]) + " …" * (len(ids) > _SHOWN)
                lines.append(f"{sitting.name} was trained on {len(ids):,} of them: {shown}")
            if failed := sum(bool(answer.failure) for answer in sitting.answers):
                lines.append(f"{sitting.name} gave no answer to {failed:,} of them; they are wrong")
            lines += sitting.notes
        return lines

    def as_dict(self) -> dict[str, Any]:
        exam, subjects = self.exam, self.subjects
        letter, times = exam.most_frequent

        def numbers(letters: Sequence[str] | None) -> dict[str, Any] | None:
            if not (whole := self.share(letters)):
                return None
            unseen = self.unseen_share(letters) if self.seen else None
            by = {name: self.share(letters, places) for name, places in subjects.items()}
            return {
                **asdict(whole),
                "not_trained_on": unseen and asdict(unseen),
                "subjects": {name: asdict(share) for name, share in by.items() if share},
            }

        return {
            "questions": len(exam.questions),
            "shots": len(exam.shots),
            "left_out": exam.left_out,
            "chance": exam.chance,
            "most_frequent": {"letter": letter, "share": times / len(exam.questions)},
            "models": [
                {
                    "name": each.name,
                    **{_SHORT[way]: numbers(letters) for way, letters in each.letters.items()},
                    "trained_on": None
                    if each.seen is None
                    else [exam.questions[at].id for at in sorted(each.seen)],
                }
                for each in self.sittings
            ],
            "paired": self.paired,
            "notes": [note for each in self.sittings for note in each.notes],
        }


def write(result: Result, folder: Path, name: str, params: dict[str, Any]) -> list[Path]:
    manifest = {
        "recipe": "eval",
        "params": params,
        "models": [{"name": s.name, "fingerprint": s.fingerprint} for s in result.sittings],
        "sources": result.exam.sources,
        "result": result.as_dict(),
    }
    lines = []
    for place, question in enumerate(result.exam.questions):
        line = {key: value for key, value in asdict(question).items() if key != "file"}
        line["models"] = {
            each.name: {
                **{_SHORT[way]: chosen and chosen[place] for way, chosen in each.letters.items()},
                "said": each.answers[place].text,
                "trained_on": None if each.seen is None else place in each.seen,
            }
            for each in result.sittings
        }
        lines.append(line)
    return write_results(folder, name, lines, manifest)
