"""Choose by scores that are there already, by chance, or by a recipe that needs little more.

`random` is the control; `superfilter` and `deita` are published methods, in files of their own;
every other selector is a recipe by its name, with `set` for its parameters;
without a recipe, `by` ranks by columns of scores files and `where` says what may be chosen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curate.data.expression import parse_expression
from curate.data.rows import Rows
from curate.data.verdicts import KTO, SFT, judged
from curate.errors import UsageError, did_you_mean
from curate.recipes import deita, ifd, superfilter
from curate.recipes.by_selector import by_selector, selector_params, takes_number
from curate.recipes.given import SCORE, WHERE, Given, read_scores
from curate.recipes.scoring import called, embedded, refuse_pairs_and_texts
from curate.selection import Selection
from curate.selectors import diverse, random, selectors, threshold, top_k
from curate.selectors.budget import DEFAULT, budget, parse_keep
from curate.selectors.choice import Candidates, Choice, scored
from curate.system.files import sha256_of

NAME = "select"
RANDOM, DEITA = "random", deita.NAME
METHODS = (RANDOM, superfilter.NAME, DEITA)
DRAW = "draw"
IFD_COLUMNS = ("ifd_loss", "ifd_ppl")
OPTIONS = (
    "recipe", "keep", "by", "where", "pool", "nearest", "model", "encoder", "complexity",
    "quality", "set", "seed", "trust_remote_code", "good_only", "stage",
)  # fmt: skip


@dataclass(frozen=True)
class Params:
    """How to choose.

    Attributes:
        recipe: See recipes(); None to choose by `by` alone.
        keep: `10%` of all rows, or a number of rows; None is 10 %, but at least one row.
        by: Expression over columns of the scores files; the highest are chosen.
        where: Condition over the same columns; other rows are left out.
        pool: Of `superfilter`: rows with the highest scores that are thinned out; None is 20 %.
        nearest: Of `deita`: a row is skipped if its cosine to a kept one is above this.
        model: Of `superfilter` and `deita` without `by`: what computes IFD.
        encoder: What embeds rows, where the recipe needs that.
        complexity: Of `deita` without `by`: a language model that says it; None takes the column
            of a scores file, or IFD in its place.
        quality: The same of the response's quality, or the bundled ranker in its place.
        set: `KEY=VALUE` of the parameters of a recipe that is a selector.
        seed: Of what is drawn.
        trust_remote_code: Run Python files that come with the model.
        good_only: Of rows with verdicts, leave out those with a bad one.
        stage: `sft`, or `kto` to choose among good and bad rows as they are.
        scores: Names and sha256 of the scores files; filled in by select().
    """

    recipe: str | None = None
    keep: str | int | None = None
    by: str | None = None
    where: str | None = None
    pool: str | int | None = None
    nearest: float = 0.9
    model: str = "smollm2"
    encoder: str = "use"
    complexity: str | None = None
    quality: str | None = None
    set: tuple[str, ...] = ()
    seed: int = 0
    trust_remote_code: bool = False
    good_only: bool = False
    stage: str = SFT
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        if self.recipe is not None and self.recipe not in recipes():
            hint = did_you_mean(self.recipe, recipes())
            raise UsageError(f"--recipe {self.recipe}: allowed are {', '.join(recipes())}.{hint}")
        if self.recipe is None and self.by is None:
            raise UsageError(
                f"nothing to choose by: give --recipe {'|'.join(METHODS)}, or --by COLUMN with "
                "--scores FILE"
            )
        if self.recipe == RANDOM and self.by is not None:
            raise UsageError("--by: a random choice goes by nothing; leave --by or --recipe out")
        if self.stage not in (SFT, KTO):
            raise UsageError(f"--stage {self.stage}: allowed are {SFT}, {KTO}")
        if self.good_only and self.stage == KTO:
            raise UsageError(
                "--good-only and --stage kto: kto learns from the bad rows, too; give one"
            )
        if self.set and not self.selector:
            raise UsageError(
                f"--set {self.set[0]}: only a recipe that is a selector takes it: "
                f"{', '.join(recipes()[len(METHODS) :])}"
            )
        if self.selector:
            selector_params(self.selector, self.set, 1, self.seed)
            if self.keep is not None and not self.counted:
                raise UsageError(
                    f"--keep {self.keep}: --recipe {self.recipe} keeps what its parameters say; "
                    "leave it out, and give --set KEY=VALUE"
                )
        if self.keep is not None:
            parse_keep(self.keep)
        if self.pool is not None and self.recipe != superfilter.NAME:
            raise UsageError(f"--pool {self.pool}: only --recipe {superfilter.NAME} has a pool")
        if not -1 <= self.nearest <= 1:
            raise UsageError(f"--nearest {self.nearest:g}: allowed is a cosine, -1 to 1")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are 0 and above")

    @property
    def selector(self) -> str:
        """The recipe where it is a selector and no method with a file of its own, else ''."""
        return "" if self.recipe in (None, *METHODS) else str(self.recipe)

    @property
    def counted(self) -> bool:
        """Whether so many rows are kept as `keep` says."""
        return not self.selector or takes_number(self.selector)


def recipes() -> tuple[str, ...]:
    """Return what `recipe` may be: the published methods first, then every selector."""
    return (*METHODS, *(name for name in sorted(selectors()) if name not in METHODS))


def select(rows: Rows, params: Params, scores: Sequence[str | Path] = ()) -> Selection:
    """Choose rows by chance, by a recipe, or by scores of earlier runs.

    Args:
        rows: To choose from.
        params: See Params.
        scores: NAME.scores.parquet of earlier runs over these rows, joined by id.

    Raises:
        UsageError: A parameter that does not fit the others, or an expression that is none.
        DataError: A scores file cannot be read or is of other rows.

    Example:
        >>> params = Params(by="ifd", where="reward > 0 and status == 'ok'", keep="10%")
        >>> select(curate.read("huatuo.json"), params, ["data/huatuo_ifd.scores.parquet"])
    """
    started = time.monotonic()
    evolved = params.recipe == DEITA and params.by in (None, deita.EVOL)
    for name in deita.PARTS:
        if getattr(params, name) and not evolved:
            raise UsageError(
                f"--{name} {getattr(params, name)}: only --recipe {DEITA} without --by asks a "
                "model for it; leave it out"
            )
    rows = judged(rows, "select", params.good_only, params.stage)
    wanted = budget(params.keep, len(rows))
    paths = [Path(each) for each in scores]
    by = None if params.by is None or evolved else parse_expression(params.by, "--by")
    where = None if params.where is None else parse_expression(params.where, "--where")
    given = read_scores(rows, paths, by, where)
    if params.recipe == RANDOM:
        found = _drawn(rows, params, given, wanted)
    elif params.recipe == superfilter.NAME:
        found = _superfiltered(rows, params, given, wanted)
    elif params.recipe == DEITA:
        found = _evolved(rows, params, given, paths, wanted)
    elif params.selector:
        found = by_selector(rows, params, given, wanted)
    else:
        found = _highest(rows, params, given, wanted)
    signed = tuple(f"{path.name} {sha256_of(path)}" for path in paths)
    used = replace(
        found.params,
        keep=params.keep or (DEFAULT if params.counted else None),
        model=called(params.model),
        encoder=called(params.encoder),
        scores=signed,
    )
    notes = (*found.notes, *_about_budget(found.choice, wanted if params.counted else 0))
    return replace(found, params=used, notes=notes, seconds=time.monotonic() - started)


def _highest(rows: Rows, params: Params, given: Given, wanted: int) -> Selection:
    assert given.values is not None  # Params asks for --by where there is no recipe
    choice = top_k.select(
        Candidates(given.choice(), rows.ids, values=given.values), top_k.TopKParams(k=wanted)
    )
    return Selection(NAME, params, rows, given.scores(), choice, given.name, {})


def _drawn(rows: Rows, params: Params, given: Given, wanted: int) -> Selection:
    possible = given.choice()
    drawn = random.draws(possible.kept, rows.ids, params.seed)
    # 1 for the row that was drawn first, falling to above 0; NaN for no chance.
    draw = np.full(len(rows), np.nan)
    draw[drawn] = 1 - np.arange(len(drawn)) / max(1, len(drawn))
    candidates = Candidates(possible, rows.ids, values=draw)
    choice = random.select(candidates, random.RandomParams(k=wanted, seed=params.seed))
    return Selection(RANDOM, params, rows, given.scores(draw=draw), choice, DRAW, {})


def _superfiltered(rows: Rows, params: Params, given: Given, wanted: int) -> Selection:
    """Return the choice of `superfilter`; without `by`, IFD is computed first."""
    refuse_pairs_and_texts(rows, superfilter.NAME)
    sizes = superfilter.Params(
        wanted=wanted, pool=superfilter.pool_of(params.pool, wanted, len(rows))
    )
    choice, made = given.choice(), given.scores()
    model: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    name = given.name
    if given.values is None:
        scoring = ifd.Params(
            model=params.model, form="ppl", trust_remote_code=params.trust_remote_code
        )
        found = ifd.scored_by(rows, scoring)
        name, model, notes = "ifd_ppl", found.model, found.notes
        made = replace(found.scores, columns={**made.columns, **found.scores.columns})
        choice = scored(made.status).without(~given.allowed, WHERE)
    if name in IFD_COLUMNS:
        below = threshold.ThresholdParams(bound=1.0, keep="below", reason="ifd_ge_1")
        choice = threshold.select(Candidates(choice, rows.ids, values=made.values(name)), below)
    vectors, encoder = embedded(rows, params.encoder, "row")
    choice = superfilter.choose(choice, made.values(name), vectors.vectors, rows.ids, sizes)
    notes = (*notes, *vectors.notes)
    return Selection(superfilter.NAME, params, rows, made, choice, name, model | encoder, notes)


def _evolved(
    rows: Rows, params: Params, given: Given, paths: Sequence[Path], wanted: int
) -> Selection:
    """Return DEITA's choice: from the highest score down, without rows near a kept one."""
    refuse_pairs_and_texts(rows, DEITA)
    name, values, made, choice = given.name, given.values, given.scores(), given.choice()
    notes: tuple[str, ...] = ()
    model: dict[str, str] = {}
    if values is None:
        how = deita.Params(
            complexity=params.complexity,
            quality=params.quality,
            model=params.model,
            trust_remote_code=params.trust_remote_code,
        )
        evol = deita.evol(rows, how, paths)
        name, values, model, notes = SCORE, evol.scores.values(SCORE), evol.model, evol.notes
        made = replace(evol.scores, columns={**made.columns, **evol.scores.columns})
        choice = evol.choice.without(~given.allowed, WHERE)
        params = replace(params, by=deita.EVOL)
    vectors, encoder = embedded(rows, params.encoder, "row")
    near = diverse.DiverseParams(k=wanted, nearest=params.nearest)
    choice = diverse.select(
        Candidates(choice, rows.ids, values=values, vectors=vectors.vectors), near
    )
    notes = (*notes, *vectors.notes)
    return Selection(DEITA, params, rows, made, choice, name, model | encoder, notes)


def _about_budget(choice: Choice, wanted: int) -> list[str]:
    kept = int(choice.kept.sum())
    if kept >= wanted:
        return []
    return [f"{wanted:,} rows were asked for and only {kept:,} can be chosen"]
