"""The recipes as functions of keywords, each with its parameters, their types and defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.choices.selection import Selection
from curate.data.read import read, rows_of, sides_of
from curate.data.rows import Rows
from curate.emission.emit import default_name
from curate.engine import using as _using
from curate.errors import UsageError
from curate.llamafactory.doctor.data_set import data_sets, of_rows
from curate.llamafactory.doctor.diagnose import diagnose, diagnose_rows
from curate.llamafactory.doctor.findings import Diagnosis
from curate.llamafactory.doctor.repair import repair
from curate.llamafactory.doctor.stages import ANYTHING
from curate.llamafactory.doctor.truncation import cutoff_of
from curate.mixture.mixed import Mixed
from curate.parameters.car import CarParams
from curate.parameters.dedup import DedupParams
from curate.parameters.doctor import DoctorParams
from curate.parameters.engine import EngineParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.option import as_tuple, ending_of, keywords
from curate.parameters.prove import ProveParams
from curate.parameters.report import ReportParams
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams
from curate.recipes import car as _car
from curate.recipes import dedup as _dedup
from curate.recipes import ifd as _ifd
from curate.recipes import mix as _mix
from curate.recipes import mods as _mods
from curate.recipes import score as _score
from curate.recipes import select as _select
from curate.recipes.content import content_of
from curate.recipes.like import read_beside
from curate.recipes.train_between import Place
from curate.reports import page as _page

if TYPE_CHECKING:
    from curate.data.read import Readable
    from curate.proofs.result import Proof
    from curate.recipes.like import QuestionSets

_Recipe = Callable[[Rows, Any, Place], Selection]
_PLACE = """output: Folder of data sets that are made on the way.
        name: Of the data set; the first source's stem and the recipe if not given.
        saves: Folder of models that are trained on the way."""


def _files(scores: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    """Return scores files, of which one may come without a list."""
    return as_tuple(scores)


def _sets(against: Readable | Sequence[Readable]) -> list[Rows]:
    """Return the rows of other sets, which may be questions alone."""
    return [rows for given in sides_of(against) for rows in read_beside(given, Path("data"))]


def _placed(recipe: _Recipe) -> Callable[..., Selection]:
    """Return a recipe that trains on the way with its place as three arguments."""

    def call(
        rows: Rows,
        output: str | Path = "data",
        name: str | None = None,
        saves: str | Path = "saves",
        *,
        params: Any,
    ) -> Selection:
        stem = Path(rows.sources[0].name)
        name = name or default_name(stem, ending_of(recipe.__name__, params))
        return recipe(rows, params, Place(output=Path(output), name=name, saves=Path(saves)))

    call.__name__ = call.__qualname__ = recipe.__name__
    call.__doc__ = re.sub("place: .*", _PLACE, recipe.__doc__ or "")
    return call


car = keywords(CarParams, rows=rows_of)(_car.car)
dedup = keywords(DedupParams, rows=rows_of, against=_sets)(_dedup.dedup)
ifd = keywords(IFDParams, rows=rows_of)(_placed(_ifd.ifd))
mods = keywords(ModsParams, rows=rows_of)(_placed(_mods.mods))
report = keywords(ReportParams)(_page.report)
score = keywords(ScoreParams, rows=rows_of)(_score.score)
select = keywords(SelectParams, rows=rows_of, scores=_files)(_select.select)


@keywords(EngineParams)
def using(*, params: EngineParams) -> AbstractContextManager[None]:
    """Return a context in which models compute with other workers; they end with it.

    Args:
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> with curate.using(workers=2):
        ...     cherry = curate.ifd("huatuo.json")
    """
    return _using(params)


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

    With `content=True` what the rows say instead; with `mask` or `drop` of their copy, which
    bears the name of the answer.

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
        if params.content:
            data_set = of_rows(rows, Path(rows.sources[0].name))
            # The copy is named after the file, as that of the command is.
            return content_of(replace(data_set, assumed=True), params)[1][-1]
        return diagnose_rows(rows, params.stage, measure)
    paths = None if given is None else [Path(given)]
    names = [dataset] if dataset else None
    data_set = data_sets(paths, params.dataset_dir, names, columns=columns, roles=roles)[0]
    if params.content:
        return content_of(data_set, params)[1][-1]
    if params.fix:
        data_set = repair(data_set, params.output, takes=takes).data_set
    return diagnose(data_set, params.stage, measure)


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


@keywords(ProveParams, rows=rows_of)
def prove(
    rows: Rows,
    like: QuestionSets = (),
    general: Readable | None = None,
    output: str | Path = "data",
    saves: str | Path = "saves",
    name: str | None = None,
    workers: int = 1,
    dry_run: bool = False,
    *,
    params: ProveParams,
) -> Proof:
    """Train on choices and on random rows of as many tokens, and measure whether they are better.

    Args:
        rows: From read(), or what it takes.
        like: Sets of questions, for the arm `like`.
        general: Rows of other kinds, to see what is forgotten.
        output: Folder in which the data sets of the arms get a folder, as `curate prove` has it.
        saves: Likewise of the trained models.
        name: Of these folders; the first source's stem and `prove` if not given.
        workers: Trainings side by side.
        dry_run: Train two steps, for the time it takes, and no more.
        params: See below.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.prove("huatuo.json", arms=("longest", "ifd"), keep="10%-tokens")
    """
    from curate.proofs.arms import Place as Folders
    from curate.proofs.proof import prove as proved

    name = name or default_name(Path(rows.sources[0].name), "prove")
    place = Folders(Path(output) / name, Path(saves) / name, name)
    other = None if general is None else rows_of(general)
    return proved(rows, params, place, like, None, other, workers, dry_run)
