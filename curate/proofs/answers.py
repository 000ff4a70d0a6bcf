"""What models answer: as much of the references as they have, who is better, an exam's letters."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import OutputError
from curate.models.generate import MOST_TOKENS, asked_of_judge, letter
from curate.models.openai_client import check_reachable, is_address
from curate.models.recipe import ModelRecipe
from curate.proofs.statistics import Floats
from curate.scorers.necessity import AnswerParams, answers, ask
from curate.scorers.overlap import overlap
from curate.scorers.reward import score_texts, texts_of

Texts = NDArray[np.object_]
WINS, EVEN = "wins", 50.0
EXAM = "exam"


def answered(rows: Rows, model: str, most: int, trust_remote_code: bool = False) -> Texts:
    """Return (n,) the most likely answer to each row; None where the model was not asked."""
    engine = open_engine()
    recipe = ModelRecipe(kind="generator", name=model, trust_remote_code=trust_remote_code)
    generator = engine.load(recipe)
    return answers(rows, np.arange(len(rows)), AnswerParams(most), generator, engine).texts


def of_references(measure: str, rows: Rows, texts: Texts) -> tuple[Floats, float]:
    """Return (n,) how much of its reference each answer has, and all as one set; NaN for none."""
    places = [place for place, text in enumerate(texts) if text is not None]
    references = [rows[place].response for place in places]
    values, whole = overlap(measure, [texts[place] for place in places], references)
    numbers = np.full(len(rows), np.nan)
    numbers[places] = values
    return numbers, whole


def preferred(rows: Rows, ours: Texts, theirs: Texts, judge: str) -> Floats:
    """Return (n,) 100 where our answer is better, 0 where theirs is, 50 for a tie.

    Answers that do not differ are a tie, and any is better than none. A ranker scores each answer
    by itself; a server is asked in both orders, and what it does not say in both is a tie.
    """
    wins = np.full(len(rows), EVEN)
    open_places = []
    for place, pair in enumerate(zip(ours, theirs, strict=True)):
        first, second = ((text or "").strip() for text in pair)
        if None in pair:
            wins[place] = np.nan
        elif first != second and first and second:
            open_places.append(place)
        elif first != second:
            wins[place] = 100.0 if first else 0.0
    if not open_places:
        return wins
    asked = [texts_of(rows[place])[0] for place in open_places]
    sides = [(str(ours[place]), str(theirs[place])) for place in open_places]
    model, engine, both = load_judge(judge), open_engine(), list(zip(asked, sides, strict=True))
    if is_address(judge):
        talks = [asked_of_judge(asked, *pair[::step]) for asked, pair in both for step in (1, -1)]
        said = [letter(reply.text) for reply in ask(talks, MOST_TOKENS, model, engine)]
        pairs = zip(said[::2], said[1::2], strict=True)
        wins[open_places] = [{"AB": 100.0, "BA": 0.0}.get("".join(pair), EVEN) for pair in pairs]
    else:
        texts = [(prompt, side) for prompt, pair in both for side in pair]
        rewards = score_texts(texts, model, engine).reshape(-1, 2)
        wins[open_places] = EVEN + EVEN * np.sign(rewards[:, 0] - rewards[:, 1])
    return wins


def right_letters(models: Sequence[str], exam: Sequence[str]) -> list[Floats]:
    """Return of each model (questions,) 100 where its likeliest letter is right, else 0.

    NaN for what it was trained on. Letters are kept, so that a second call is quick.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "deploy", "eval", *models, "--output", folder]
        command += ["--name", EXAM, "--max-tokens", "1", *(w for f in exam for w in ("--exam", f))]
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OutputError(f"--exam: {last.removeprefix('error:').strip()}")
        told = [json.loads(line) for line in (Path(folder) / f"{EXAM}.jsonl").open("rb")]
    points = [
        [
            np.nan if one["trained_on"] else 100.0 * (one["letter"] == each["answer"])
            for one in each["models"].values()
        ]
        for each in told
    ]
    return [*np.array(points).T]


def load_judge(name: str) -> Any:
    """Return the server, or the ranker, that says which answer is better."""
    check_reachable(name)
    kind = "generator" if is_address(name) else "reward"
    return open_engine().load(ModelRecipe(kind=kind, name=name))
