"""Choose what to fine-tune on.

Everything is loaded when it is first used, so that `import curate` costs nothing.

Example:
    >>> rows = curate.read("huatuo.json")
    >>> cherry = curate.ifd(rows, keep="10%")
    >>> curate.emit(cherry, "data")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from curate.data.read import read as read
    from curate.data.rows import Row as Row
    from curate.data.rows import Rows as Rows
    from curate.llamafactory.doctor.api import doctor as doctor
    from curate.mixture.mixed import Mixed as Mixed
    from curate.recipes.control import control as control
    from curate.selection import Selection as Selection
    from curate.selection import emit as emit

_HOME = {
    "read": "curate.data.read",
    "Mixed": "curate.mixture.mixed",
    "Row": "curate.data.rows",
    "Rows": "curate.data.rows",
    "Selection": "curate.selection",
    "control": "curate.recipes.control",
    "doctor": "curate.llamafactory.doctor.api",
    "emit": "curate.selection",
}


def car(rows: Rows, **options: Any) -> Selection:
    """Keep the best rows of all, and the best row of every cluster.

    Args:
        rows: From read().
        **options: Fields of `curate.recipes.car.Params`: ranker, encoder, top, per_cluster,
            clusters, seed, good_only.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.car(curate.read("huatuo.json"), top=100)
    """
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import car as recipe

    for option in options:
        if option not in recipe.OPTIONS:
            raise UsageError(
                f"car has no option {option!r}.{did_you_mean(option, recipe.OPTIONS)} "
                f"Allowed are {', '.join(recipe.OPTIONS)}"
            )
    return recipe.car(rows, recipe.Params(**options))


def dedup(
    rows: Rows,
    against: Rows | Sequence[Rows] = (),
    scores: str | Path | None = None,
    **options: Any,
) -> Selection:
    """Keep one of the rows that say the same, and none that another set says already.

    Args:
        rows: From read().
        against: Other sets, chosen already or to be tested on.
        scores: NAME.scores.parquet of an earlier run, for `by`.
        **options: Fields of `curate.recipes.dedup.Params`: near, by, on, ngram, contained, seed.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.dedup(curate.read("toyhom.csv"), against=curate.read("eval.json"), near=0.8)
    """
    from curate.data.rows import Rows as Kind
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import dedup as recipe

    for option in options:
        if option not in recipe.OPTIONS:
            raise UsageError(
                f"dedup has no option {option!r}.{did_you_mean(option, recipe.OPTIONS)} "
                f"Allowed are against, scores, {', '.join(recipe.OPTIONS)}"
            )
    others = [against] if isinstance(against, Kind) else against
    return recipe.dedup(rows, recipe.Params(**options), others, scores)


def ifd(
    rows: Rows,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    **options: Any,
) -> Selection:
    """Score rows by IFD and choose the highest below 1.

    Args:
        rows: From read().
        output: With `brief_experience=True`: folder where its rows are emitted, as
            NAME_experience.
        name: Of the data set; the first source's stem and `ifd` if not given.
        saves: With `brief_experience=True`: folder of the model that is trained on them.
        **options: Fields of `curate.recipes.ifd.Params`: model, keep, form, template,
            max_length, dtype, keep_above_one, seed, trust_remote_code, brief_experience,
            experience, train_set, good_only.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.ifd(curate.read("huatuo.json"), keep=500).nearest_misses(5)
    """
    from pathlib import Path as Folder

    from curate.emission.emit import default_name
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import ifd as recipe
    from curate.recipes.initial_model import Place

    allowed = recipe.Params.__dataclass_fields__
    for option in options:
        if option not in allowed:
            raise UsageError(
                f"ifd has no option {option!r}.{did_you_mean(option, allowed)} "
                f"Allowed are output, name, saves, {', '.join(allowed)}"
            )
    called = name or default_name(Folder(rows.sources[0].name), recipe.NAME)
    return recipe.ifd(rows, recipe.Params(**options), Place(Folder(output), called, Folder(saves)))


def mix(domain: Any = (), general: Any = (), ratio: str = "1:5", **options: Any) -> Mixed:
    """Mix domain and general data at an exact ratio.

    Args:
        domain: Path, Rows or Selection, or several in a list; all of its rows are taken once.
        general: The same; so many rows are drawn as the ratio asks for.
        ratio: Domain to general.
        **options: by (`rows`, `tokens`), model, shortage (`error`, `shrink`, `repeat`), stage
            (`sft`, `pt`), seed, name, good_only.

    Raises:
        UsageError: An option that is unknown or does not fit.
        DataError: There are too few rows, or they cannot be mixed.

    Example:
        >>> mixed = curate.mix(domain=cherry, general="alpaca_zh.json", ratio="1:5")
        >>> curate.emit(mixed, "data", name="medical_1to5")
    """
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import mix as recipe

    allowed = ("by", "model", "shortage", "stage", "seed", "name", "good_only")
    for option in options:
        if option not in allowed:
            raise UsageError(
                f"mix has no option {option!r}.{did_you_mean(option, allowed)} "
                f"Allowed are domain, general, ratio, {', '.join(allowed)}"
            )
    return recipe.one(recipe.mix(recipe.mixture_of(domain, general, ratio, **options)))


def mods(
    rows: Rows,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    **options: Any,
) -> Selection:
    """Keep good rows that cover the others and, with a responder, what it answers badly: MoDS.

    Args:
        rows: From read().
        output: With `responder="trained"`: folder where the seeds are emitted as NAME_seeds.
        name: Of the data set; the first source's stem and `mods` if not given.
        saves: With `responder="trained"`: folder of the model that is trained on the seeds.
        **options: Fields of `curate.recipes.mods.Params`: reward, encoder, min_quality, seeds,
            seed, responder (`none`, which ends with the seeds, `base`, `trained`, a model, an
            address), model, max_necessity, augment, max_new_tokens, train_set, good_only.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.mods(curate.read("huatuo.json"), min_quality="60%", responder="base")
    """
    from pathlib import Path as Folder

    from curate.emission.emit import default_name
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import mods as recipe

    for option in options:
        if option not in recipe.OPTIONS:
            allowed = ("output", "name", "saves", *recipe.OPTIONS)
            raise UsageError(
                f"mods has no option {option!r}.{did_you_mean(option, allowed)} "
                f"Allowed are {', '.join(allowed)}"
            )
    called = name or default_name(Folder(rows.sources[0].name), recipe.NAME)
    place = recipe.Place(Folder(output), called, Folder(saves))
    return recipe.mods(rows, recipe.Params(**options), place)


def score(rows: Rows, scorer: str | Sequence[str], **options: Any) -> Selection:
    """Score rows and choose none: every row with a score counts as kept.

    Args:
        rows: From read().
        scorer: `complexity`, `ifd`, `length`, `quality` or `reward`; or several.
        **options: Fields of `curate.recipes.score.Params`: model, dtype, reward, encoder,
            template, max_length, trust_remote_code.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.score(curate.read("huatuo.json"), "reward").scores
    """
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import score as recipe

    for option in options:
        if option not in recipe.OPTIONS:
            raise UsageError(
                f"score has no option {option!r}.{did_you_mean(option, recipe.OPTIONS)} "
                f"Allowed are {', '.join(recipe.OPTIONS)}"
            )
    names = (scorer,) if isinstance(scorer, str) else tuple(scorer)
    return recipe.score(rows, recipe.Params(names, **options))


def select(rows: Rows, scores: Sequence[str | Path] = (), **options: Any) -> Selection:
    """Choose rows at random, by a recipe, or by scores of earlier runs.

    Args:
        rows: From read().
        scores: NAME.scores.parquet of earlier runs over these rows.
        **options: Fields of `curate.recipes.select.Params`: recipe (`random`,
            `superfilter`, `deita`, a selector), set (`KEY=VALUE` of a selector), keep, by, where,
            pool, nearest, model, encoder, complexity, quality, seed, good_only, stage (`sft`,
            `kto`).

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.select(rows, ["data/huatuo_ifd.scores.parquet"], by="ifd", keep="10%")
    """
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import select as recipe

    for option in options:
        if option not in recipe.OPTIONS:
            raise UsageError(
                f"select has no option {option!r}.{did_you_mean(option, recipe.OPTIONS)} "
                f"Allowed are scores, {', '.join(recipe.OPTIONS)}"
            )
    return recipe.select(rows, recipe.Params(**options), scores)


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__


# What is loaded when it is asked for, and the functions above.
__all__ = sorted(
    {*_HOME}
    | {
        name
        for name, value in globals().items()
        if getattr(value, "__module__", None) == __name__ and not name.startswith("_")
    }
)
