"""What to choose, said: looks at rows without a model, and names the commands that fit, and why.

The figures are those of the papers that are named, whose models and pools were others: they say
what is worth trying first, and not what will come of it. So every choice comes with a control.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from curate.data.read import rows_of
from curate.data.rows import Rows
from curate.duplicates.twins import NEAR
from curate.emission.emit import default_name
from curate.models.text_tokenizer import token_counter
from curate.notebook.tables import html_table
from curate.parameters.dedup import DedupParams
from curate.recipes.dedup import dedup
from curate.recipes.like import one_by_one, read_sets
from curate.scorers.response_tokens import response_tokens

if TYPE_CHECKING:
    from curate.data.read import Readable

DRAWN = 5000  # rows that are looked at closely, where there are more
FEW = 1000  # rows of which none is to spare
Sets: TypeAlias = str | Path | Sequence[str | Path | Sequence[str | Path]]
STAGES = {"sft": "sft", "preference": "dpo", "kto": "kto", "pretraining": "pt"}

_LIKE = (
    "arXiv 2503.01807, 326,000 of 5.8 million rows, mean of 7 tasks: 50.9 for rows called by "
    "questions of the tasks, 47.5 for balanced random rows, 50.8 for all; 47.8 by other questions"
)
_CLUSTERS = "arXiv 2409.11378: k-means, several rows a cluster, 7 % above random rows"
_LONGEST = (
    "arXiv 2402.04833: the 1,000 longest of Alpaca beat all 52,000, at 5 times the tokens a row; "
    "2503.01807: 43.5 (random 40.9) out of 200,000 rows, 17.8 (40.7) out of 5.8 million"
)
_DEDUP = (
    "arXiv 2107.06499: without duplicates a model repeats training text a tenth as often, and is "
    "as accurate or more after fewer steps"
)
_TRAIN = (
    "Jeong 2024: medical models beat their own base in 26.7 % and lose to it in 56.7 %; arXiv "
    "2503.04807: other learning rates have other winners"
)
_TEXTS = (
    "arXiv 2307.15290, single runs: C-Eval 54.42 with general text at 1:5, 48.17 without any, "
    "56.99 before both"
)
_PAIRS = (
    "arXiv 2511.10985: 20 to 30 % of public pairs contradict a reward model, and 30 % fewer are "
    "better; 2502.09650: pairs that are too hard do harm"
)
_VERDICTS = "arXiv 2402.01306 learns from both verdicts, and weighs them where one is rare"
_TINY = "none of the papers that are named here chooses among so few rows"
_OTHERS = (
    "IFD, MoDS and CaR: with equal rows no better than random ones on average (arXiv 2410.09335; "
    "2503.01807: IFD 38.7, random 40.9), and what they keep is longer; where you try one, add "
    "--with-control tokens length"
)


@dataclass(frozen=True)
class Step:
    """A command as it is typed, one sentence why, and the evidence for it."""

    command: str
    why: str
    evidence: str


@dataclass(frozen=True)
class Advice:
    """What was seen, see look(), and what to do: commands in the order in which they are run."""

    looked: dict[str, Any]
    commands: tuple[Step, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Return what was seen as pairs of what and how much."""
        lines = []
        for name, seen in self.looked.items():
            pairs = ", ".join(f"{k}: {n:,}" for k, n in seen.items()) if type(seen) is dict else ""
            number = f"{seen:,}" if isinstance(seen, int) else str(seen)
            lines.append((name.replace("_", " "), pairs or number))
        return lines

    def script(self) -> str:
        """Return the commands as a shell takes them, with what is said of them as its comments."""
        return "\n\n".join(
            f"# {number}. {step.why}\n#    evidence: {step.evidence}\n{step.command}"
            for number, step in enumerate(self.commands, 1)
        )

    def __repr__(self) -> str:
        seen = [f"# {name}: {what}" for name, what in self.lines()]
        return "\n".join([*seen, "", self.script(), "", *(f"# {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        steps = [(step.command, step.why, step.evidence) for step in self.commands]
        lines = [*self.lines(), *(("note", note) for note in self.notes)]
        return html_table(lines) + html_table(steps, ("command", "why", "evidence"))


def advise(
    given: Readable, like: Sets = (), typed: Sequence[str] = (), folder: str | Path = "data"
) -> Advice:
    """Look at rows, without a model, and return the commands that fit, why, and the evidence.

    Args:
        given: A file, rows from read(), or what it takes.
        like: Files of questions like those that the model will get; several in a list of their own
            are one set.
        typed: What the command line said of where the rows are, `--input FILE` and more.
        folder: Where registered names are looked up.

    Raises:
        DataError: Something cannot be read.

    Example:
        >>> curate.advise("toyhom.csv", like="questions.txt")
    """
    rows = rows_of(given)
    named = isinstance(given, str | Path)
    files = [str(given)] if named else [source.name for source in rows.sources]
    words = list(typed) or ["--input", *files]
    sets = one_by_one(like)
    asked = [each for some in read_sets(sets, Path(folder)) for each in some]
    likes = [word for each in sets for word in ("--like", *map(str, each))]
    seen = look(rows)
    notes = _notes(seen, words, asked)
    return Advice(seen, tuple(_steps(seen, words, likes)), tuple(notes))


def look(rows: Rows) -> dict[str, Any]:
    """Return what is seen of rows without a model, by name.

    All rows are counted but for what is said of `drawn` ones: near duplicates of each other (of
    more rows more would be found), rows with an input or context, rows with a system prompt.
    """
    drawn, description, of_kind = rows, rows.description(), dict[str, Any]()
    if len(rows) > DRAWN:
        drawn = rows.at(np.sort(np.random.default_rng(0).choice(len(rows), DRAWN, replace=False)))
    if rows.shape.kind == "kto":
        words = {True: "good", False: "bad", None: "without"}
        verdicts = Counter(words[row.parsed.verdict] for row in rows)
        of_kind["verdicts"] = dict(verdicts.most_common())
    _, median, most, _, longest = description.response_characters
    lengths = {"median": median, "95 %": most, "longest": longest}
    counted = response_tokens(drawn, token_counter())
    return {
        "rows": len(rows),
        "usable": len(rows) - sum(description.flaws.values()),
        "kind": rows.shape.kind,
        "languages": description.languages,
        "several_answers": sum(n for answers, n in description.turns.items() if answers > 1),
        "response_tokens": round(counted.counts.sum() * len(rows) / max(1, len(drawn))),
        "tokens_by": f"{counted.by}{', of the drawn rows' if len(drawn) < len(rows) else ''}",
        **({"response_characters": lengths} if rows.shape.kind != "pretraining" else {}),
        "exact_duplicates": description.repeats,
        "drawn": len(drawn),
        "drawn_near_duplicates": dedup(drawn, DedupParams()).choice.counts().get(NEAR, 0),
        "drawn_with_input": sum(bool(row.input) for row in drawn),
        "drawn_with_system": sum(bool(row.system) for row in drawn),
        **of_kind,
    }


def _steps(seen: dict[str, Any], typed: Sequence[str], likes: Sequence[str]) -> Iterator[Step]:
    """Yield the commands for rows that are read by the options `typed`, in their order."""
    if not seen["usable"]:
        why = "every row has a flaw and none can be trained on: what is wrong, and what to do"
        yield _step(["curate", "doctor", *typed], why, "the counts above")
        return
    kind, name = seen["kind"], str(typed[1])
    called = Path(f"{name}." if typed[0] == "--dataset" else name)
    repeats, near, drawn = (seen[n] for n in ("exact_duplicates", "drawn_near_duplicates", "drawn"))
    few, alike = seen["rows"] < FEW, max(repeats / max(1, seen["rows"]), near / max(1, drawn))
    if kind != "sft" or few or alike:
        why = (
            f"{repeats:,} rows repeat another, of {drawn:,} {near:,} are nearly like another: of "
            "what is alike one is kept, and registered for training"
        )
        yield _step(["curate", "dedup", *typed], why, _DEDUP)
        name = default_name(called, "dedup")
        typed, called = ["--dataset", name], Path(f"{name}.")
    if alike >= 0.5:
        why = "most rows are duplicates, and what is left without them is another set: look at it"
        yield _step(["curate", "advise", *typed, *likes], why, "the counts above")
    elif few:
        why = f"{seen['rows']:,} rows are too few to leave any out for a score: train on all"
        yield _train(kind, name, why, _TINY)
    elif kind == "pretraining":
        mix = ["curate", "mix", "chathome-pt", "--domain", name, "--shortage", "shrink"]
        why = (
            "domain text alone costs general knowledge; give --general FILE of your own, as the "
            "small sample that stands in takes little of the domain with it"
        )
        yield _step(mix, why, _TEXTS)
        why = "train on the mixture, and compare with the base"
        yield _train(kind, default_name(called, "mix"), why, _TRAIN)
    elif kind == "kto":
        why = "kto learns from good and bad answers as they are: neither are left out"
        yield _train(kind, name, why, _VERDICTS)
    elif kind == "preference":
        yield from _of_pairs(typed, called)
    else:
        yield from _choices(seen, typed, called, likes)


def _of_pairs(typed: Sequence[str], called: Path) -> Iterator[Step]:
    """Yield the commands that leave out the pairs that a ranker contradicts most."""
    why = (
        "how far each chosen answer is ahead, and what is wrong with a pair; the bundled ranker "
        "agrees with two pairs of three, --reward takes a better one"
    )
    yield _step(["curate", "score", *typed, "--scorer", "pairs"], why, _PAIRS)
    scores = ["--scores", f"data/{default_name(called, 'score_pairs')}.scores.parquet"]
    keep = ["--by", "margin", "--keep", "70%", "--with-control"]
    why = "the pairs that the ranker contradicts most, and those that hardly differ, are left out"
    yield _step(["curate", "select", *typed, *scores, *keep], why, _PAIRS)
    name = default_name(called, "select")
    why = f"train on these and, with the same settings, on {name}_random, and compare both"
    yield _train("preference", name, why, _TRAIN)


def _choices(
    seen: dict[str, Any], typed: Sequence[str], called: Path, likes: Sequence[str]
) -> Iterator[Step]:
    """Yield the commands that choose among instructions with answers, and train on a choice."""
    share = next(f"{n}%" for n in (10, 25, 50, 100) if seen["rows"] * n >= 1000 * FEW or n == 50)
    keep = ["--keep", f"{share}-tokens", "--with-control", "tokens"]
    choices = [
        ("like", "rows like the questions that the model will get, each question in turn", _LIKE),
        ("clusters", "some rows of every cluster of embeddings: no topic is lost", _CLUSTERS),
        ("longest", "the longest answers, a baseline that is not always beaten", _LONGEST),
    ]
    for recipe, why, evidence in choices[:2] if likes else choices[1:]:
        asked = likes if recipe == "like" else ()
        yield _step(["curate", "select", *typed, "--recipe", recipe, *asked, *keep], why, evidence)
    name = default_name(called, "like" if likes else "clusters")
    why = (
        f"train on the choice and, with the same settings, on {name}_random_tokens; "
        "`deploy compare` tells what came of both, beside the base model"
    )
    yield _train(seen["kind"], name, why, _TRAIN)


def _step(words: Sequence[str], why: str, evidence: str) -> Step:
    return Step(shlex.join(words), why, evidence)


def _train(kind: str, name: str, why: str, evidence: str) -> Step:
    return _step(["train", STAGES[kind], "--dataset", name], why, evidence)


def _notes(seen: dict[str, Any], typed: Sequence[str], asked: Sequence[Rows]) -> Iterator[str]:
    if flawed := seen["rows"] - seen["usable"]:
        why = shlex.join(["curate", "doctor", *typed])
        yield f"{flawed:,} rows have a flaw and are never chosen; {why} says why"
    if seen["kind"] != "sft" or seen["rows"] < FEW:
        return
    languages = [next(iter(seen["languages"]), "")]
    languages += [next(iter(each.description().languages), "") for each in asked]
    if len(set(languages)) > 1:
        yield f"rows and questions differ in language: most are {', '.join(languages)}"
    if asked:
        yield "questions that you will test on belong to no choice: `curate decontaminate` first"
    else:
        yield (
            "what wins most are rows like the questions that the model will get: give some dozens "
            "with --like FILE, with answers or without"
        )
    yield _OTHERS
