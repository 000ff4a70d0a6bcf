"""Commands that choose by scores: `car`, `ifd`, `mods`, `select`, and `score` that only scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from curate import console
from curate.commands.options import (
    LIKE,
    SAVES,
    Choosing,
    Reading,
    Saves,
    Writing,
    say_what_was_read,
    sets_of,
)
from curate.commands.result import choose, say_notes, show_best
from curate.commands.with_options import with_options
from curate.errors import UsageError
from curate.parameters.car import CarParams
from curate.parameters.engine import EngineParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mods import NONE, TRAINED, ModsParams
from curate.parameters.option import ending_of, option
from curate.parameters.score import ScoreParams
from curate.parameters.select import RANDOM, SelectParams

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.data.rows import Rows


@with_options
def car(reading: Reading, params: CarParams, writing: Choosing) -> None:
    """Keep the best rows of all, and the best row of every cluster (CaR, arXiv 2402.18191).

    A ranker scores every response; embeddings, cut by PCA to 95 % of their
    variance, are put into clusters by k-means.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335), and what they keep is longer; --with-control tokens writes
    a control as large.

    Example: curate car --input huatuo.json --top 100
    """
    from curate.recipes import car as recipe

    choose(reading, writing, recipe.NAME, lambda rows, _: recipe.car(rows, params), params)


@with_options
def ifd(reading: Reading, params: IFDParams, writing: Choosing, saves: Saves = SAVES) -> None:
    """Keep the rows whose instruction helps the model least to expect the response.

    IFD = mean NLL(response | prompt) / mean NLL(response), in nats a token. Higher = harder to
    follow; rows at or above 1, where the instruction does not help at all, are left out.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335; 2503.01807: 38.7 for IFD, 40.9 for random), and what they
    keep is longer; --with-control tokens writes a control as large.

    Example: curate ifd --input huatuo.json --keep 10%
    With the paper's first stage: curate ifd --input huatuo.json --brief-experience
    """
    from curate.recipes import ifd as recipe
    from curate.recipes.train_between import Place

    def run(rows: Rows, name: str) -> Selection:
        return recipe.ifd(rows, params, Place(writing.output, name, saves, writing.overwrite))

    choose(reading, writing, recipe.NAME, run, params)


@with_options
def mods(
    reading: Reading,
    params: ModsParams,
    writing: Choosing,
    seeds_only: bool = option(False, "End with quality and coverage; no model answers."),
    saves: Saves = SAVES,
) -> None:
    """Keep good rows that cover the others, and what a model still answers badly.

    MoDS (arXiv 2311.15653). Quality: the reward is above --min-quality.
    Coverage: k-centre greedy over embeddings of the instructions chooses seeds.
    Necessity: --model is trained on the seeds by `train sft` and answers; rows
    whose answers have a low reward are necessary, and k-centre adds some of them.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335), and what they keep is longer; --with-control tokens writes
    a control as large.

    Example: curate mods --input huatuo.json --min-quality 60% --responder base
    """
    from curate.emission.emit import check_target
    from curate.recipes import mods as recipe
    from curate.recipes.mods_seeds import NAME
    from curate.recipes.train_between import Place

    if seeds_only and params.responder != TRAINED:
        raise UsageError(
            f"--seeds-only and --responder {params.responder}: with seeds only no model answers; "
            "give one"
        )
    if seeds_only:
        params = replace(params, responder=NONE)

    def place(name: str) -> Place:
        return Place(writing.output, name, saves, writing.overwrite)

    def check(name: str) -> None:
        if params.responder == TRAINED:
            check_target(writing.output, recipe.seeds_name(name), NAME, writing.overwrite)
        recipe.check_responder(params)

    choose(
        reading,
        writing,
        NAME,
        lambda rows, name: recipe.mods(rows, params, place(name)),
        params,
        check=check,
        tell=lambda selection: _show_stages(selection, writing.show),
    )


def _show_stages(selection: Selection, show: int) -> None:
    from curate.data.cards import short

    lines = []
    for stage in selection.details["stages"]:
        counts = [(name, rows) for name, rows in stage.items() if name not in ("stage", "rows")]
        of_which = ", ".join(f"{rows:,} {name.replace('_', ' ')}" for name, rows in counts)
        lines.append((stage["stage"], stage["rows"], of_which))
    console.show_table(lines, ("stage", "rows", "of which"))
    frame = selection.scores
    if not show or "augment_rank" not in frame:
        return
    added = frame[frame["augment_rank"].notna()].sort_values("augment_rank").head(show)
    answers = [
        (float(score), short(selection.rows[int(row)].prompt), short(answer))
        for score, row, answer in zip(added.necessity, added.row, added.answer, strict=True)
    ]
    if answers:
        console.show_table(answers, ("necessity", "added: prompt", "the model's answer"))


_NAMED = 10  # questions that got little are named


@with_options
def select(
    reading: Reading,
    params: SelectParams,
    writing: Choosing,
    scores: list[Path] | None = option(
        None,
        "NAME.scores.parquet of earlier runs over these rows, for --by and --where.",
        metavar="F…",
    ),
    like: list[str] | None = option(**LIKE),
) -> None:
    """Choose by scores of earlier runs, by a recipe, or at random.

    superfilter (arXiv 2402.00530): of the highest IFD, below 1, the rows that
    stand for the others best. deita (arXiv 2312.15685): the highest
    complexity * quality that are near no kept row. random: the control.
    like (RDS+, 2503.01807): each question of --like in turn takes the row most
    like it that none has taken; as published with --model, whose hidden states
    take the place of the encoder's vectors.
    3ds (2410.10901): rows that --model finds good, of middle difficulty for
    it, and unlike each other. answers (GRAPE, 2502.04194): of several answers
    to one prompt, the one that --model finds likeliest.
    clusters (2409.11378): several rows of every cluster, by its size. longest
    (2402.04833): most response tokens. They and every other selector take
    --set for their parameters: cluster_rank, diverse, facility_location,
    k_center, middle_band, threshold, top_k.

    DEITA's own scorers are --complexity hkust-nlp/deita-complexity-scorer
    --quality hkust-nlp/deita-quality-scorer, LLaMA of up to 13 billion
    parameters. Without them IFD and the bundled ranker stand in for them, and
    the output says so.

    Scores files are joined to the rows by id. A column that stands in two of
    them with different values is written FILE.column, FILE without
    .scores.parquet, and in quotes where it is no plain word:
    --by "'my-data_ifd'.ifd". `status` is ok where all files say so.

    Preference pairs need no scores file: --by margin --where "not contradicted"
    scores them with the bundled ranker; `curate score --help` names the columns.
    What is chosen of them is for dpo and rm.

    Example: curate select --input huatuo.json
    --scores data/huatuo_ifd.scores.parquet --by ifd --keep 10%
    --where "response_tokens > 20 and status == 'ok'" --between 25% 75%
    Example: curate select --input huatuo.json --recipe clusters --keep 10%
    --set share=equal --set clusters=50
    Example: curate select --input huatuo.json --recipe like
    --like liver.json --like heart.txt --keep 500
    """
    from curate.recipes import like as by_questions
    from curate.recipes import select as recipe

    if writing.with_control and params.recipe == RANDOM:
        raise UsageError("--with-control: a random choice is a control itself; leave it out")
    sets = sets_of(like)

    def run(rows: Rows, _: str) -> Selection:
        by_questions.check_given(params, sets)
        read = by_questions.read_sets(sets, reading.folder(writing.output))
        for asked in (each for some in read for each in some):
            say_what_was_read(asked)
        return recipe.select(rows, params, scores or (), read, reading.folder(writing.output))

    name = params.recipe or recipe.NAME
    choose(reading, writing, name, run, params, tell=_tell, compare=params.recipe != RANDOM)


def _tell(selection: Selection) -> None:
    """Show what each set of questions got; name those without a row, or with nothing near."""
    sets = selection.details.get("like", ())
    if not sets:
        return
    header = ("set", "files", "questions", "rows", "without rows", "nothing near", "median best")
    keys = ("questions", "rows", "without_rows", "nothing_near", "median_best")
    lines = [(s["set"], ", ".join(s["files"]), *(s[key] for key in keys)) for s in sets]
    console.show_table(lines, header)
    named = [each for s in sets for each in s["each"] if not (each["near"] and each["rows"])]
    if named:
        console.say(
            f"{len(named):,} questions got no row or find nothing near, that is, none as like them "
            f"as 95 of 100 rows are to another row (similarity {selection.details['near']})"
            + (f"; the first {_NAMED}, the others are in the manifest" * (len(named) > _NAMED))
        )
        named = sorted(named, key=lambda each: (each["near"], each["best"]))[:_NAMED]
        cells = ("best", "rows", "id", "text")
        console.show_table([[each[cell] for cell in cells] for each in named], cells)


@with_options
def score(reading: Reading, params: ScoreParams, engine: EngineParams, writing: Writing) -> None:
    """Score rows and choose none: writes NAME.scores.parquet, and no data set.

    `curate select --scores FILE --by COLUMN` chooses by scores, and several
    files can be joined there.

    pairs is for preference pairs: margin is the reward of the chosen response
    minus that of the rejected. Findings are columns for --where: contradicted
    (margin < 0), only_longer (chosen is longer, its margin among the smallest
    quarter), sides_equal, sides_near, rejected_elsewhere; with --model
    implicit_gap and too_hard, the half that it finds hardest (arXiv 2502.09650
    trains on the other half; arXiv 2508.04149 finds small gaps worth most).

    Example: curate score --input huatuo.json --scorer reward --scorer length
    """
    from curate.data.describe import not_used
    from curate.emission.emit import write_scores
    from curate.engine import using
    from curate.recipes import score as recipe

    ending = ending_of("_".join((recipe.NAME, *params.scorer)), params)
    name = writing.called(reading, ending)
    writing.check(name, recipe.NAME)
    rows = reading.rows(writing.output)
    with using(engine):
        selection = recipe.score(rows, params)
    table, manifest = recipe.lines(selection), recipe.manifest(selection)
    written = write_scores(writing.output, name, table, manifest)
    files = [writing.output / file for file in written]
    counts, spread = recipe.counts(selection), recipe.spread(selection.scored)
    show_best(selection, writing.show)
    if spread:
        header = ("column", *next(iter(spread.values())))
        lines = [(column, *numbers.values()) for column, numbers in spread.items()]
        console.show_table(lines, header)
    without = ", ".join(f"{rows:,} {status}" for status, rows in counts["unscored"].items())
    left_out = f"; without: {without}" if without else ""
    console.say(f"{counts['scored']:,} of {counts['read']:,} rows have a score{left_out}")
    say_notes(selection.notes)
    console.say(f"scores of every row: {files[0]}; what made them: {files[1]}")
    columns = list(selection.scored.columns)
    result = {"name": name, **counts, "scores": files[0], "columns": columns, "spread": spread}
    result |= {**selection.details, "files": files}
    console.answer({**result, "not_used": not_used(selection.rows.sources)})
