"""The recipes as functions of keywords, each with its parameters, their types and defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.data.read import read, rows_of, sides_of
from curate.data.rows import Rows
from curate.emission.emit import default_name
from curate.errors import UsageError
from curate.llamafactory.doctor.data_set import data_sets
from curate.llamafactory.doctor.diagnose import diagnose, diagnose_rows
from curate.llamafactory.doctor.findings import Diagnosis
from curate.llamafactory.doctor.repair import repair
from curate.llamafactory.doctor.stages import ANYTHING
from curate.llamafactory.doctor.truncation import cutoff_of
from curate.mixture.mixed import Mixed
from curate.mixture.spec import sources_of
from curate.parameters.car import CarParams
from curate.parameters.dedup import DedupParams
from curate.parameters.doctor import DoctorParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.option import keywords
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams
from curate.recipes import car as _car
from curate.recipes import dedup as _dedup
from curate.recipes import ifd as _ifd
from curate.recipes import mix as _mix
from curate.recipes import mods as _mods
from curate.recipes import score as _score
from curate.recipes import select as _select
from curate.recipes.train_between import Place
from curate.selection import Selection

if TYPE_CHECKING:
    from curate.data.read import Readable

car = keywords(CarParams, rows=rows_of)(_car.car)
score = keywords(ScoreParams, rows=rows_of)(_score.score)
select = keywords(SelectParams, rows=rows_of)(_select.select)
_DATA = Path("data")  # where names of registered data sets are looked up


@keywords(DedupParams, rows=rows_of)
def dedup(
    rows: Rows,
    against: Readable | Sequence[Readable] = (),
    scores: str | Path | None = None,
    *,
    params: DedupParams,
) -> Selection:
    """Keep one of the rows that say the same, and none that another set says already.

    Args:
        rows: From read(), or what it takes.
        against: Other sets, chosen already or to be tested on: rows, what read() takes, names of
            data sets in `data`, mixture files; or several in a list.
        scores: NAME.scores.parquet of an earlier run, for `by`.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.dedup("toyhom.csv", against="eval.json", near=0.8)
    """
    others = [rows for side in sides_of(against) for rows in _side(side)]
    return _dedup.dedup(rows, params, others, scores)


def _side(given: Any) -> list[Rows]:
    """Return the rows of another set, which may be questions alone."""
    if isinstance(given, Rows):
        return [given]
    if isinstance(given, str | os.PathLike):
        return [source.read(questions=True) for source in sources_of(str(given), _DATA)]
    return [read(given, questions=True)]


@keywords(DoctorParams)
def doctor(
    given: Readable | None = None,
    *,
    dataset: str | None = None,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    params: DoctorParams,
) -> Diagnosis:
    """Return what LLaMA-Factory will do with a file, with rows, or with a registered data set.

    Args:
        given: A file, or rows, which are judged as they would be emitted.
        dataset: Name in dataset_info.json, instead.
        columns: Column to a file's own key, as read() has it.
        roles: Role to the messages' own word, as read() has it.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.
        DataError: Something is not there, or cannot be repaired.
        ModelError: There is no such model.

    Example:
        >>> curate.doctor("dpo_zh.jsonl").findings[["rule", "count"]]
                     rule  count
        0  bare_responses    350
    """
    measure = cutoff_of(params)
    takes = measure.takes if measure else ANYTHING
    if given is not None and not isinstance(given, str | os.PathLike):
        if params.fix:
            raise UsageError(
                "rows are written by curate.emit(); fix=True takes a file or a data set"
            )
        named = bool(columns or roles)
        rows = read(given, columns=columns, roles=roles) if named else rows_of(given)
        return diagnose_rows(rows, params.stage, measure)
    paths = None if given is None else [Path(given)]
    names = [dataset] if dataset else None
    data_set = data_sets(paths, params.dataset_dir, names, columns=columns, roles=roles)[0]
    if params.fix:
        data_set = repair(data_set, params.output, takes=takes).data_set
    return diagnose(data_set, params.stage, measure)


@keywords(IFDParams, rows=rows_of)
def ifd(
    rows: Rows,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    *,
    params: IFDParams,
) -> Selection:
    """Score rows by IFD and choose the highest below 1.

    Args:
        rows: From read(), or what it takes.
        output: With `brief_experience=True`: folder where its rows are emitted, as
            NAME_experience.
        name: Of the data set; the first source's stem and `ifd` if not given.
        saves: With `brief_experience=True`: folder of the model that is trained on them.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.ifd("huatuo.json", keep=500).nearest_misses(5)
    """
    return _ifd.ifd(rows, params, _place(rows, _ifd.NAME, output, name, saves))


@keywords(ModsParams, rows=rows_of)
def mods(
    rows: Rows,
    output: str | Path = "data",
    name: str | None = None,
    saves: str | Path = "saves",
    *,
    params: ModsParams,
) -> Selection:
    """Keep good rows that cover the others and, with a responder, what it answers badly: MoDS.

    Args:
        rows: From read(), or what it takes.
        output: With `responder="trained"`: folder where the seeds are emitted as NAME_seeds.
        name: Of the data set; the first source's stem and `mods` if not given.
        saves: With `responder="trained"`: folder of the model that is trained on the seeds.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.mods("huatuo.json", min_quality="60%", responder="base")
    """
    return _mods.mods(rows, params, _place(rows, _mods.NAME, output, name, saves))


@keywords(MixParams)
def mix(
    domain: _mix.Given | Sequence[_mix.Given] = (),
    general: _mix.Given | Sequence[_mix.Given] = (),
    ratio: str = "1:5",
    *,
    params: MixParams,
) -> Mixed:
    """Mix domain and general data at an exact ratio.

    Args:
        domain: Path, Rows or Selection, or several in a list; all of its rows are taken once.
        general: The same; so many rows are drawn as the ratio asks for.
        ratio: Domain to general.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.
        DataError: There are too few rows, or they cannot be mixed.

    Example:
        >>> mixed = curate.mix(domain=cherry, general="alpaca_zh.json", ratio="1:5")
        >>> curate.emit(mixed, "data", name="medical_1to5")
    """
    return _mix.one(_mix.mix(_mix.mixture_of(domain, general, ratio, params)))


def _place(
    rows: Rows, recipe: str, output: str | Path, name: str | None, saves: str | Path
) -> Place:
    return Place(
        output=Path(output),
        name=name or default_name(Path(rows.sources[0].name), recipe),
        saves=Path(saves),
    )
