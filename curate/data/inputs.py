"""What is given to be read, as files: paths, folders, addresses of the hub, rows in memory."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from curate.data.encoding import sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import best_fits
from curate.data.hub_files import hub_files
from curate.data.in_memory import is_table, save_table
from curate.data.lists_in_rows import with_lists
from curate.data.packed import listed, members
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.cache import cache_dir, scratch_dir
from curate.system.files import at_home, writing_to
from curate.system.hub import is_hub

if TYPE_CHECKING:
    from curate.data.in_memory import Given, Row

_PACKAGE = Path(__file__).parent.parent
# What curate and LLaMA-Factory write beside the data; never rows.
_NOT_ROWS = (
    *("dataset_info.json", ".manifest.json", ".scores.parquet", ".lock"),
    *(".report.html", ".map.parquet", ".marks.json"),
)
# What people keep beside rows; what has another ending, or none, is read.
_BESIDE_NAMES = (
    "py ipynb md rst html htm css js ts sh bat yaml yml toml ini cfg cff bib tex pdf doc docx ppt "
    "pptx png jpg jpeg gif bmp webp svg tif tiff ico heic dcm mp3 wav flac ogg m4a mp4 avi mkv mov "
    "webm safetensors bin pt pth ckpt onnx npy npz pkl gguf tar tgz 7z rar lock log sha256 md5 db "
    "sqlite faiss model whl"
)
_BESIDE = frozenset(_BESIDE_NAMES.split())
_LONGEST = 60  # characters of a path that is none, as errors name it
_CONFIG = 1 << 20  # bytes of a lone JSON object that may be settings


def bundled_folder() -> Path:
    """Return the folder `mixtures`: in the installed package, else in the checkout."""
    installed = _PACKAGE / "mixtures"
    return installed if installed.is_dir() else _PACKAGE.parent / "mixtures"


def find_bundled(path: Path) -> Path | None:
    """Return the file that comes with the package under a relative path, None without one."""
    if path.is_absolute() or path.parts[:1] != ("mixtures",) or ".." in path.parts:
        return None
    bundled = bundled_folder().joinpath(*path.parts[1:])
    return bundled if bundled.is_file() else None


class InputFile(NamedTuple):
    """A file to be read, the name to call it by, and what of it or beside it."""

    name: str
    path: Path
    part: str = ""  # of a zip or a spreadsheet
    aside: str = ""  # what was left aside beside it in its folder


def input_files(item: Given | Iterable[Row], opened: ExitStack) -> list[InputFile]:
    if is_table(item) or not isinstance(item, str | os.PathLike):
        instead = "set CURATRAIN_CACHE to another folder"
        with writing_to(cache_dir() / "scratch", "rows", instead):
            scratch = opened.enter_context(TemporaryDirectory(dir=scratch_dir()))
        file = save_table(item, Path(scratch))
        return [InputFile(file.name, file)]
    if not os.fspath(item):
        raise UsageError(
            "a path that is empty names no file; give a file or folder, . for this one"
        )
    try:
        path = at_home(item)
        path.exists()
    except OSError as error:  # a name too long, a folder that is closed
        reason = error.strerror
        raise DataError(
            f"'{str(item)[:_LONGEST]}': {reason}; give the path of a file or folder, or rows as a "
            "list of dicts"
        ) from None
    if is_hub(path):
        return [InputFile(*file) for file in hub_files(path)]
    if path.is_dir():
        return _in_folder(path)
    real, part = (path if path.exists() else find_bundled(path)), ""
    if real is None:  # FILE.xlsx#SHEET, FILE.zip#FOLDER/MEMBER
        marks = [place for place, mark in enumerate(str(path)) if mark == "#"]
        split = [(Path(str(path)[:at]), str(path)[at + 1 :]) for at in marks]
        real, part = next((whole for whole in split if whole[0].is_file()), (None, ""))
    if real is None and str(path).startswith(("http:/", "https:/")):
        raise DataError(f"'{item}' is an address; fetch what is there, and give the file")
    if real is None:
        beside, hint = "", ""
        if path.parent.is_dir():
            beside = f"; the folder '{path.parent}' is there"
            near = did_you_mean(path.name, (file.name for file in path.parent.iterdir()))
            hint = f" ({near.strip()})" if near else ""
        raise DataError(f"no file '{path}'{beside}{hint}; give an existing file or folder")
    if not real.is_file():
        raise DataError(f"'{path}' is neither a file nor a folder; save what it holds to a file")
    return [InputFile(_name(Path(real.name if part else path.name)), real, part)]


def _in_folder(folder: Path) -> list[InputFile]:
    if (folder / "dataset_dict.json").is_file():  # DatasetDict.save_to_disk
        splits = sorted(state.parent.name for state in folder.glob("*/state.json"))
        if len(splits) != 1:
            raise UsageError(
                f"folder '{folder}' holds the splits {listed(splits) or 'none'}; give one of them"
                + (f", for example {folder / splits[0]}" if splits else ", or another folder")
            )
        return _in_folder(folder / splits[0])
    if shards := _shards(folder):
        return [InputFile(_name(shard.relative_to(folder)), shard) for shard in shards]
    files: list[InputFile] = []
    aside: list[str] = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = Path(_name(path.relative_to(folder)))
        if any(part.startswith(".") for part in name.parts) or name.name.endswith(_NOT_ROWS):
            continue
        about = name.name.upper().startswith(("README", "LICENSE", "REQUIREMENTS."))
        if about or name.suffix.lower().lstrip(".") in _BESIDE:
            aside.append(str(name))
        elif name.suffix.lower() == ".zip":
            inside, others = _in_zip(str(name), path)
            files, aside = files + inside, aside + others
        else:
            files.append(InputFile(str(name), path))
    settings = [file for file in files if len(files) > 1 and _is_settings(file.path)]
    if len(settings) < len(files):
        files = [file for file in files if file not in settings]
        aside = sorted(aside + [file.name for file in settings])
    if not files:
        beside = f" (beside {listed(aside)})" if aside else ""
        raise DataError(
            f"folder '{folder}' holds no data files{beside}; give a file, or another folder"
        )
    return [files[0]._replace(aside=listed(aside)), *files[1:]]


def _shards(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [Path(file["filename"]).name for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    for name in names:
        if not (folder / name).is_file():
            raise DataError(
                f"folder '{folder}' was written by save_to_disk and lacks {name}, which its "
                "state.json names; copy the whole folder again"
            )
    return [folder / name for name in names]


def _in_zip(name: str, path: Path) -> tuple[list[InputFile], list[str]]:
    try:
        rows, others = members(path)
    except DataError:
        rows, others = [name], []  # whoever reads it says what is the matter
    if len(rows) < 2:
        return ([InputFile(name, path)], []) if rows else ([], [name])
    files = [InputFile(f"{name}#{member}", path, member) for member in rows]
    return files, [f"{name}#{member}" for member in others]


def _is_settings(path: Path) -> bool:
    """Tell whether a file is a lone JSON object that no format takes for a row."""
    if path.suffix.lower() != ".json" or path.stat().st_size > _CONFIG:
        return False
    try:
        container, records = raw_rows(path, sniff(path))
        head = [record.value for record in itertools.islice(records, 2)]
    except (DataError, OSError):
        return False  # whoever reads it says what is the matter
    inner = head[0].values() if head and isinstance(head[0], dict) else ()
    wraps_rows = any(isinstance(v, list) and v and isinstance(v[0], dict | list) for v in inner)
    if len(head) != 1 or container == "json" or wraps_rows:
        return False
    return not best_fits([with_lists(head[0])[0]])


def _name(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", errors="replace")
