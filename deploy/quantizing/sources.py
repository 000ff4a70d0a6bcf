"""Which model is quantised, and which rows it is quantised with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.data.manifest import sha256_of
from curate.data.registered import registered
from curate.errors import UsageError
from deploy.output import made
from deploy.quantizing.calibration import Drawn, data_file, draw
from deploy.runs import ADAPTER, SAVES, read_run

DATA = Path("data")


@dataclass(frozen=True)
class DataSet:
    """An emitted data set.

    Attributes:
        name: In dataset_info.json; of several, separated by commas.
        folder: Of dataset_info.json.
        files: Its rows.
        why: It was chosen, for people.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    why: str


def find_model(name: str) -> Path:
    """Return the folder of a whole model.

    Args:
        name: As typed: a name, a folder, a run's name, or a hub id.

    Raises:
        UsageError: It is an adapter, which has to be merged first.
        ModelError: There is none.
    """
    from curate.models.resolve import resolve

    given = Path(name).expanduser()
    if not given.is_dir() and not given.is_absolute() and (SAVES / given).is_dir():
        given = SAVES / given
    if (given / ADAPTER).is_file():
        raise UsageError(
            f"{given} is an adapter, and quantised are whole models; first: deploy merge {given}"
        )
    return (
        given
        if (given / "config.json").is_file() and resolve(str(given))
        else (resolve(name).folder)
    )


def calibration_set(model: Path, name: str | None, folder: Path | None) -> DataSet:
    """Return the data set to quantise with: as given, else what the model was trained on.

    Args:
        model: The model's folder.
        name: Given with --dataset.
        folder: Given with --dataset-dir.

    Raises:
        UsageError: None was given, and nothing says what the model was trained on.
        DataError: Its file is gone.
    """
    trained = made(model).get("dataset") or read_run(model).get("dataset")
    trained = trained if isinstance(trained, dict) else {}
    noted = trained.get("dataset_dir")
    where = folder or (Path(noted) if noted and not name else DATA)
    if name:
        return DataSet(name, where, _files(where, name), "as given")
    told = trained.get("name")
    if not isinstance(told, str) or not told:
        known = ", ".join(each.name for each in registered(where)[:8]) if where.is_dir() else ""
        raise UsageError(
            "nothing says what this model was trained on; name rows like those it will be asked: "
            f"--dataset NAME ({where} has {known or 'none yet; `curate` makes them'})"
        )
    files = _files(where, told)
    # Of several data sets no sha256 of one file can be noted.
    same = len(files) > 1 or trained.get("data_sha256") in (None, sha256_of(files[0]))
    changed = "" if same else " (changed since then)"
    return DataSet(told, where, files, f"which it was trained on{changed}")


def _files(folder: Path, names: str) -> tuple[Path, ...]:
    return tuple(data_file(folder, each.strip()) for each in names.split(","))


def read_drawn(model: Path, name: str, chosen: DataSet, count: int, seed: int) -> tuple[Any, Drawn]:
    """Return the model's tokenizer, and the rows as its tokens.

    Args:
        model: The model's folder.
        name: As the user typed it.
        chosen: The data set.
        count: Rows to quantise with, at most.
        seed: Of the draw.

    Raises:
        DataError: There are too few usable rows.
    """
    from curate.data.read import read
    from curate.models.quiet import quiet
    from curate.models.resolve import ModelFiles
    from curate.models.tokenizer import load_tokenizer

    with quiet():
        tokenizer = load_tokenizer(ModelFiles(name, model))
    return tokenizer, draw(read(list(chosen.files)), tokenizer, name, count, seed)
