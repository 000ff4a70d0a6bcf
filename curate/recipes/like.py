"""Choose rows like the questions that the model will be asked.

Source: RDS+ (arXiv 2503.01807). Compared are prompt and response where all questions have answers,
else prompts alone: by an encoder of sentences, a deviation (the bundled one tells Chinese topics
apart where a small language model does not); or, with a model, by its hidden states, as published.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.cards import short
from curate.data.formats import names_questions
from curate.data.read import as_rows, read
from curate.data.rows import Rows
from curate.data.schema import STRUCTURAL
from curate.engine import open_engine
from curate.errors import DataError, UsageError
from curate.mixture.spec import MixSource, sources_of
from curate.models.recipe import ModelRecipe
from curate.parameters.select import LIKE, SelectParams
from curate.recipes import model_scores as models
from curate.recipes.earlier_scores import EarlierScores
from curate.scorers.contract import OK
from curate.scorers.embedding import EmbeddingParams, Embeddings, embed, instruction_text
from curate.selectors import like as selector
from curate.selectors.kept_and_dropped import Candidates, Choice, Ranking

NEAREST = "nearest"
COMPARED = {"row": "prompt and response", "instruction": "prompts"}
# A question finds nothing near if so large a share of rows each has a nearer row than it has.
FAR = 0.95
_SAMPLE = 500  # rows, for that
_SAME = 0.9999  # cosine of equal texts, in 32 bits

Given: TypeAlias = str | os.PathLike[str] | Rows | Selection
QuestionSets: TypeAlias = Given | Sequence[Given | Sequence[Given]]
Floats = NDArray[np.float64]


class _Asked(NamedTuple):
    """The questions of a set: ids, beginnings of their texts, vectors (m, d), NaN without one."""

    files: list[str]
    ids: NDArray[np.object_]
    texts: list[str]
    vectors: NDArray[np.float32]


def check_given(params: SelectParams, sets: QuestionSets) -> None:
    """Refuse the recipe without questions, and questions without the recipe."""
    if params.recipe == LIKE and not one_by_one(sets):
        raise UsageError(f"--recipe {LIKE}: give --like FILE, questions as the model will get them")
    if params.recipe != LIKE and one_by_one(sets):
        raise UsageError(f"--like: only --recipe {LIKE} goes by questions; give both, or neither")


def read_sets(sets: QuestionSets, folder: Path = Path("data")) -> list[list[Rows]]:
    """Return sets of questions: a path, or rows, is a set of its own, several in a list are one.

    Read are all formats, with answers or without, and plain text that ends in .txt, a line each;
    `folder` is where registered names are looked up.
    """
    lists = one_by_one(sets)
    if not all(lists):
        raise UsageError("--like: a set of questions is empty; give it a file or rows")
    return [[rows for each in some for rows in read_beside(each, folder)] for some in lists]


def one_by_one(sets: Any) -> list[list[Any]]:
    """Return every set as a list; one may come without, and a list of dicts is rows."""
    several = sets if _are_several(sets) else [sets]
    return [[*each] if _are_several(each) else [each] for each in several]


def _are_several(given: Any) -> bool:
    return isinstance(given, list | tuple) and not isinstance(next(iter(given), None), dict)


def read_beside(given: Given, folder: Path) -> list[Rows]:
    """Return rows that others are held against: a file, a registered name, or what read() takes."""
    given = as_rows(given)
    if isinstance(given, Rows):
        return [given]
    if not isinstance(given, str | os.PathLike):
        return [read(given, questions=True)]
    return [questions_from(source) for source in sources_of(Path(given), folder)]


def questions_from(source: MixSource) -> Rows:
    """Read rows that others are held against; plain text that ends in .txt is a question a line."""
    lines = not source.format and str(source.rows).lower().endswith(".txt")
    try:
        rows = source.read(questions=True)
    except DataError:
        if not lines:
            raise
    else:
        # The first line of a text is a question, unless it says what stands in the lines below.
        table = rows.sources[0].container == "csv" and rows.shape.format == "questions"
        if not (lines and table) or names_questions(rows.shape.columns["prompt"]):
            return rows
    return replace(source, format="pretraining").read()


def like(
    rows: Rows, params: SelectParams, earlier: EarlierScores, sets: Sequence[Sequence[Rows]]
) -> Selection:
    """Let each question, in turn, take the row most like it that none has taken yet.

    Columns of the scores file: of a row that was called `question` (its id), `question_text`,
    `question_set` (from 1), `similarity` to it and `place` in the order of calling; of every row
    `nearest`, the similarity to the question nearest to it. `details` has every question's rows
    and highest similarity, and whether that is near: not below what 95 of 100 rows have to
    another row. Similarities are cosines.
    """
    models.refuse_pairs_and_texts(rows, LIKE)
    readable = [[_readable(file) for file in some] for some in sets]
    files = [file for some in readable for file in some]
    text = "row" if all(map(_answered, files)) else "instruction"
    (of_rows, *of_files), model, notes = _embedded([rows, *files], params, text)
    coming = iter(of_files)
    asked = [_asked(some, [next(coming).vectors for _ in some]) for some in readable]
    scores, choice = earlier.scores(), earlier.choice()
    status = np.where(scores.status == OK, of_rows.status, scores.status).astype(object)
    for reason in sorted({*status} - {OK}):
        choice = choice.without(status == reason, reason)
    vectors = tuple(each.vectors for each in asked)
    candidates = Candidates(choice, rows.ids, vectors=of_rows.vectors, questions=vectors)
    best, nearest = selector.nearness(candidates)
    between = selector.between_rows(candidates, _SAMPLE)
    near = round(float(np.quantile(between, 1 - FAR)), 4) if len(between) else -1.0

    def told(choice: Choice) -> tuple[dict[str, Any], dict[str, Any]]:
        calls = selector.calls(candidates, choice.order)
        pairs = enumerate(zip(asked, best, strict=True))
        report = [_report(number, *pair, calls, near) for number, pair in pairs]
        details = {"compared": COMPARED[text], "near": near, "like": report}
        return _columns(asked, choice.order, calls, nearest), details

    return Selection(
        recipe=LIKE,
        params=replace(params, like=tuple(map(_signed, sets))),
        rows=rows,
        scored=replace(scores, status=status),
        choice=choice,
        ranked_by=NEAREST,
        model=model,
        notes=(*notes, *_about(rows, files, np.concatenate(best), text)),
        ranking=Ranking(selector, candidates, told=told),
    )


def _readable(rows: Rows) -> Rows:
    """Return rows as questions: what they lack to be trained on is no flaw of theirs."""
    flaws = rows.table.column("flaw").to_numpy()
    return models.leaving_out(rows, (flaws != "") & ~np.isin(flaws.astype(str), [*STRUCTURAL]), "")


def _answered(rows: Rows) -> bool:
    return rows.shape.kind in ("sft", "kto") and all(row.response.strip() for row in rows)


def _embedded(
    sets: Sequence[Rows], params: SelectParams, text: str
) -> tuple[list[Embeddings], dict[str, str], list[str]]:
    """Return the vectors of rows and of questions, what made them, and notes on the rows."""
    engine, framed = open_engine(), None
    how, notes = EmbeddingParams(text), list[str]()
    if params.model is None:
        model = engine.load(ModelRecipe(kind="encoder", name=params.encoder))
        name = models.called(params.encoder)
        made_by = {"encoder": name, "encoder_fingerprint": model.fingerprint}
    else:
        models.say_if_fetched(params.model)
        trusted = params.trust_remote_code
        recipe = ModelRecipe(kind="states", name=params.model, trust_remote_code=trusted)
        model = engine.load(recipe)
        made_by = models.computed_by(model)
        framed = partial(model.text_of, answered=text == "row")
        notes = models.about_language(sets[0], model.files, "view")
    vectors = [embed(rows, how, model, engine, framed) for rows in sets]
    return vectors, made_by, [*notes, *vectors[0].notes]


def _asked(files: Sequence[Rows], vectors: Sequence[NDArray[np.float32]]) -> _Asked:
    texts = [short("" if row.flaw else instruction_text(row)) for rows in files for row in rows]
    asked = np.concatenate(vectors)
    asked[[not text for text in texts]] = np.nan
    names = [source.name for rows in files for source in rows.sources]
    if not np.isfinite(asked).all(axis=1).any():
        raise DataError(
            f"{', '.join(names)}: no question can be read; see `curate show` and give other files"
        )
    return _Asked(names, np.concatenate([rows.ids for rows in files]), texts, asked)


def _signed(files: Sequence[Rows]) -> str:
    return ", ".join(f"{s.name} sha256:{s.sha256}" for rows in files for s in rows.sources)


def _columns(
    asked: Sequence[_Asked], order: NDArray[np.int64], calls: selector.Calls, nearest: Floats
) -> dict[str, Any]:
    def of_called(values: Any, kind: pa.DataType) -> pa.Array:
        column = np.full(len(nearest), None, dtype=object)
        column[order] = values
        return pa.array(column, kind)

    similarity = np.full(len(nearest), np.nan)
    similarity[order] = calls.similarity
    callers = [(asked[n], at) for n, at in zip(calls.sets, calls.questions, strict=True)]
    return {
        NEAREST: pa.array(np.fmax(nearest, similarity)),
        "similarity": pa.array(similarity),
        "place": of_called(np.arange(1, len(order) + 1), pa.int64()),
        "question": of_called([one.ids[at] for one, at in callers], pa.string()),
        "question_set": of_called(calls.sets + 1, pa.int64()),
        "question_text": of_called([one.texts[at] for one, at in callers], pa.string()),
    }


def _report(
    number: int, asked: _Asked, best: Floats, calls: selector.Calls, near: float
) -> dict[str, Any]:
    """Return what a set of questions got, and each of its questions that can be compared."""
    taken = np.bincount(calls.questions[calls.sets == number], minlength=len(best))
    compared = np.flatnonzero(np.isfinite(best)).tolist()
    each = [
        {
            "id": asked.ids[place],
            "text": asked.texts[place],
            "rows": int(taken[place]),
            "best": round(float(best[place]), 4),
            "near": bool(best[place] >= near),
        }
        for place in compared
    ]
    return {
        "set": number + 1,
        "files": asked.files,
        "questions": len(each),
        "rows": int(taken.sum()),
        "without_rows": sum(not line["rows"] for line in each),
        "nothing_near": sum(not line["near"] for line in each),
        "median_best": round(float(np.median(best[compared])), 4) if each else None,
        "each": each,
    }


def _about(rows: Rows, files: Sequence[Rows], best: Floats, text: str) -> list[str]:
    """Return what a user should know of rows and questions."""
    notes = []
    if unread := int(np.isnan(best).sum()):
        notes.append(f"{unread:,} of {len(best):,} questions cannot be read and call no row")
    if text != "row":
        notes.append("not every question has an answer, so prompts alone are compared")
    mine, theirs = _language([rows]), _language(files)
    if mine != theirs:
        notes.append(
            f"most questions are in another language ({theirs}) than most rows ({mine}); across "
            "languages similarity is a rough guide"
        )
    known = np.isin(np.concatenate([each.hashes for each in files]), rows.hashes)
    if same := int((known | (best > _SAME)).sum()):
        notes.append(
            f"{same:,} of {len(best):,} questions stand in the rows themselves; if the model is to "
            "be tested on them, take them out first: curate decontaminate --against"
        )
    return notes


def _language(sets: Sequence[Rows]) -> str:
    counts: Counter[str] = Counter()
    for rows in sets:
        counts.update(rows.table.column("language").to_pylist())
    return max(sorted(counts), key=lambda word: counts[word])
