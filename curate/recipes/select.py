"""Choose by scores that are there already, by chance, or by a recipe that needs little more.

`random` is the control; `superfilter`, `deita`, `3ds` and `answers` are published methods; every
other selector is a recipe by its name, with `set` for its parameters; without a recipe, `by` ranks
by columns of scores files. `where` and `between` say what may be chosen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.choices.rechoose import cut
from curate.choices.selection import Selection
from curate.data.expression import parse_expression
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.emission.emit import paths as targets
from curate.emission.marks import read_marks
from curate.emission.score_files import Joined
from curate.errors import UsageError
from curate.models.packaged_models import DEFAULT_MODEL
from curate.parameters.budget import DEFAULT_KEEP
from curate.parameters.score import ScoreParams
from curate.parameters.select import LIKE, RANDOM, SelectParams, parse_between
from curate.recipes import answers, budgets, deita, ifd, three_ds
from curate.recipes import like as by_questions
from curate.recipes.budgets import sample
from curate.recipes.earlier_scores import EarlierScores, read_scores
from curate.recipes.like import QuestionSets
from curate.recipes.model_scores import called, embedded, refuse_pairs_and_texts
from curate.recipes.score import score
from curate.scorers.contract import Scores
from curate.scorers.response_tokens import ResponseTokens
from curate.selectors import params_from_text, random, selectors, top_k
from curate.selectors.kept_and_dropped import MARKED_KEEP, Candidates, Choice, Ranking
from curate.selectors.kmeans import KMeansParams, clusters
from curate.selectors.middle_band import NO_SCORE
from curate.system.files import sha256_of
from curate.system.manifest import read_manifest

NAME = "select"
DRAW, CHOSEN, TOKENS = "draw", "chosen", "response_tokens"


def select(
    rows: Rows,
    params: SelectParams,
    scores: Sequence[str | Path] = (),
    like: QuestionSets = (),
    dataset_dir: str | Path = "data",
) -> Selection:
    """Choose rows by chance, by a recipe, or by scores of earlier runs.

    Args:
        rows: To choose from.
        params: See below.
        scores: NAME.scores.parquet of earlier runs over these rows, joined by id. Preference pairs
            without any are scored by the scorer `pairs` where `by` or `where` is given.
        like: For the recipe `like`: sets of questions, each a file, rows that were read, or
            several of these in a list.
        dataset_dir: Folder of dataset_info.json, where the data set that `marks` are of stands.

    Raises:
        UsageError: A parameter that does not fit the others, or an expression that is none.
        DataError: A scores file cannot be read or is of other rows.

    Example:
        >>> files = ["data/huatuo_ifd.scores.parquet"]
        >>> curate.select(rows, files, by="ifd", where="response_tokens > 20", keep="10%")
    """
    started = time.monotonic()
    by_questions.check_given(params, like)
    evolved = params.recipe == deita.NAME and params.by in (None, deita.EVOL)
    for name in deita.PARTS:
        if getattr(params, name) and not evolved:
            raise UsageError(
                f"--{name} {getattr(params, name)}: only --recipe {deita.NAME} without --by asks a "
                "model for it; leave it out"
            )
    if evolved and scores and not params.where:
        raise UsageError(
            f"--scores: --recipe {deita.NAME} asks models for {deita.EVOL} (--complexity M, "
            "--quality M; what `curate score` computed is found again), and nothing is read there; "
            "leave it out, or give another --by"
        )
    together = answers.prompts_of if params.recipe == answers.NAME else None
    rows = sample(rows, params, together)
    marks = read_marks(Path(params.marks), Path(dataset_dir)) if params.marks else None
    rows = judged(rows, "select", params.good_only, params.stage)
    scores_itself = evolved or params.recipe in (ifd.SUPERFILTER, three_ds.NAME, answers.NAME)
    if marks:
        marks.of_rows(rows)  # before hours are spent on scores
    model = params.model or (DEFAULT_MODEL if scores_itself else None)
    tokens = budgets.tokens_of(rows, params.tokenizer, model, params.trust_remote_code)
    wanted = budgets.wanted_of(params.keep, tokens.counts)
    paths = [Path(each) for each in scores]
    by = None if params.by is None or evolved else parse_expression(params.by, "--by")
    where = None if params.where is None else parse_expression(params.where, "--where")
    own = None
    by_scores = params.recipe in (None, RANDOM) or params.selector
    if rows.shape.ranking and (by or where) and not paths and by_scores:
        asked = ScoreParams(("pairs",), params.model, trust_remote_code=params.trust_remote_code)
        own = score(rows, asked)
    ends = parse_between(params.between) if params.between else None
    band = None if params.recipe == three_ds.NAME else ends
    earlier = read_scores(rows, paths, by, where, band, own.scored if own else None)
    if params.recipe == ifd.SUPERFILTER:
        chosen = ifd.superfilter(rows, params, earlier, wanted)
    elif params.recipe == deita.NAME:
        chosen = deita.deita(rows, params, earlier)
    elif params.recipe == three_ds.NAME:
        chosen = three_ds.three_ds(rows, params, earlier)
    elif params.recipe == answers.NAME:
        chosen = answers.answers(rows, params, earlier)
    elif params.recipe == LIKE:
        chosen = by_questions.like(rows, params, earlier, by_questions.read_sets(like))
    elif marks and params.only_marks:
        chosen = _as_it_is(rows, params, paths, Path(dataset_dir), marks.of)
    else:
        chosen = _by_selector(rows, params, earlier, tokens)
    if chosen.ranking:
        chosen = cut(chosen, chosen.ranking, wanted=wanted, tokens=tokens)
    default = None if params.recipe == LIKE else DEFAULT_MODEL
    used = replace(
        chosen.params,
        keep=params.keep or (DEFAULT_KEEP if params.counted else None),
        model=called(named) if (named := params.model or default) else None,
        encoder=called(params.encoder),
        tokenizer=tokens.by,
        marks=marks.signed if marks else None,
        scores=tuple(f"{path.name} {sha256_of(path)}" for path in paths),
    )
    if own:
        notes = (note for note in own.notes if note not in own.of_choice)
        chosen = replace(chosen, model=chosen.model | own.model, notes=(*notes, *chosen.notes))
    chosen = replace(chosen, params=used, seconds=time.monotonic() - started, tokens=tokens)
    return chosen.marked(marks) if marks else chosen


def _as_it_is(
    rows: Rows, params: SelectParams, scores: Sequence[Path], folder: Path, name: str
) -> Selection:
    """Return the choice that a data set is, by its scores file."""
    _, path, manifest = targets(folder, name)
    file = Joined(scores or [path], rows.ids).files[0]
    ranked_by = str((read_manifest(manifest) or {}).get("ranked_by"))
    if not {"kept", "reason", ranked_by} <= file.columns.keys():
        raise UsageError(
            f"--marks: '{name}' was not chosen by scores, so what it is with the marks cannot be "
            "told; give --by or --recipe"
        )
    kept, said = file.values("kept"), file.values("reason")
    missing = file.places < 0
    reason = np.where(kept, "", np.where(missing, NO_SCORE, said)).astype(object)
    choice = Choice(reason).with_marked(kept & (said == MARKED_KEEP))
    status = np.where(missing, NO_SCORE, file.values("status")).astype(object)
    scored = Scores(status, {ranked_by: pa.array(file.values(ranked_by))})
    return Selection(NAME, params, rows, scored, choice, ranked_by, {})


def _by_selector(
    rows: Rows, params: SelectParams, earlier: EarlierScores, tokens: ResponseTokens
) -> Selection:
    """Return the choice of a selector; embeddings and clusters are made where it needs them.

    Without a recipe the highest values are taken, which `by` asks for.
    """
    name = params.recipe or top_k.NAME
    module, possible, values = selectors()[name], earlier.choice(), earlier.values
    columns: dict[str, Any] = {}
    if name == RANDOM:
        drawn = random.draws(possible.kept, rows.id_keys, params.seed)
        # 1 for the row that was drawn first, falling to above 0; NaN for no chance.
        columns[DRAW] = values = np.full(len(rows), np.nan)
        values[drawn] = 1 - np.arange(len(drawn)) / max(1, len(drawn))
    if "values" in module.NEEDS and values is None:
        raise UsageError(f"--recipe {name} goes by scores: give --by COLUMN and --scores FILE")
    arrays: dict[str, Any] = {} if values is None else {"values": values}
    model: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if {"vectors", "clusters"} & set(module.NEEDS):
        refuse_pairs_and_texts(rows, name)
        vectors, model = embedded(rows, params.encoder, "row")
        arrays["vectors"], notes = vectors.vectors, vectors.notes
    own = params_from_text(name, params.set, 1, params.seed)
    if "clusters" in module.NEEDS:
        how = KMeansParams(k=getattr(own, "clusters", 0) or None, seed=params.seed)
        grouped = clusters(arrays["vectors"], rows.ids, how)
        arrays["clusters"] = grouped.labels
        columns["cluster"] = pa.array(grouped.labels, mask=grouped.labels < 0)
        notes = (*notes, *filter(None, [grouped.note]))
    if "tokens" in module.NEEDS:
        arrays["tokens"] = tokens.counts
    candidates = Candidates(possible, rows.id_keys, **arrays)
    ranked_by = DRAW if name == RANDOM else earlier.name
    told = _which if values is None and "tokens" not in module.NEEDS else None
    if told:
        ranked_by = CHOSEN
    elif values is None:
        ranked_by, columns[TOKENS] = TOKENS, tokens.counts.astype(np.float64)
    scores, ranking = earlier.scores(**columns), None
    if params.counted:
        settings = {key: value for key, value in asdict(own).items() if key != "k"}
        choice, ranking = possible, Ranking(module, candidates, settings, told)
    else:
        choice = module.select(candidates, own)
        more = told(choice)[0] if told else {}
        scores = replace(scores, columns={**scores.columns, **more})
    recipe = params.recipe or NAME
    return Selection(recipe, params, rows, scores, choice, ranked_by, model, notes, ranking=ranking)


def _which(choice: Choice) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a column that says which rows are chosen, where no score does."""
    return {CHOSEN: pa.array(choice.kept.astype(np.float64))}, {}
