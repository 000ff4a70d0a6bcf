"""Where models are, and what is written: folders whole or not at all, and what made them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import OutputError, UsageError
from curate.models.packaged_models import PACKAGED, converted_folder
from curate.system import model_folder
from curate.system.files import at_home, delete, sha256_of, write_text, writing_to
from curate.system.manifest import read_manifest, to_json, versions

SAVES = Path("saves")
_MANIFEST = "deploy.manifest.json"
_NAME, _LONGEST_NAME = re.compile(r"[\w.-]+"), 200
_KEPT = ". What was answered is kept"


class MakingStopped(OutputError):
    exit_code = 130


def run_or_folder(typed: Path) -> Path:
    """Return the folder that the user means: as typed, or of that name among the runs."""
    named = SAVES / typed
    return named if not typed.exists() and not typed.is_absolute() and named.is_dir() else typed


def folder_of(typed: str) -> Path | None:
    """Return the folder of a model or run; None of a name or address, and of what is bundled."""
    folder = run_or_folder(at_home(typed))
    if typed in PACKAGED or not folder.is_dir():
        return None
    return folder.resolve() if str(folder) in PACKAGED else folder  # ./smollm2


def model_name(typed: str) -> str:
    """Return the folder that is meant where there is one, else the name or address as typed."""
    return str(folder_of(typed) or typed)


def trained_in(name: str) -> Path:
    """Return where a model's run.json would lie: of a bundled one in no folder called so."""
    return converted_folder(PACKAGED[name]) if name in PACKAGED else at_home(name)


def portable(name: str) -> str:
    """Return a model's name for a manifest: an absolute path is this machine's."""
    return Path(name).name if os.path.isabs(name) else name


def told_apart(models: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return names of models; of folders that are called the same, with those they lie in."""
    paths = [
        Path(model).resolve().parts if folder_of(model) else (name,)
        for model, name in zip(models, names, strict=True)
    ]
    for depth in range(1, max(map(len, paths)) + 1):
        apart = ["/".join(parts[-depth:]) for parts in paths]
        if len({*apart}) == len(apart):
            return apart
    return [*names]


def default_output(folder: Path, suffix: str) -> Path:
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return whole.with_name(f"{whole.name}-{suffix}")


def check_output(output: Path, needed: float) -> None:
    """Raise if a folder of so many bytes cannot be made there, before anything is computed."""
    if output.exists() or output.is_symlink():
        raise OutputError(f"{output} is there already; give another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        room = f"about {needed / 1e9:.2f} GB, and {output.parent} has {free / 1e9:.2f} GB free"
        raise OutputError(f"{output} takes {room}; make room, or give another --output")


@contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """Give a folder beside the output; it takes the output's name only if the block succeeds."""
    part = output.with_name(f".{output.name}.part")
    part.mkdir(exist_ok=True)
    folder = os.open(part, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait = "wait for it, or give another --output"
            raise OutputError(f"another process makes {output} just now; {wait}") from None
        try:
            for left in part.iterdir():  # by one that was killed
                delete(left)
            yield part
            if output.exists():
                raise OutputError(f"{output} came into being meanwhile; give another --output")
            os.replace(part, output)
        except KeyboardInterrupt:
            kept = f"stopped; nothing of {output} is kept, the same command begins anew"
            raise MakingStopped(kept) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    finally:
        os.close(folder)


def note(folder: Path, manifest: dict[str, Any]) -> None:
    """Write what made a model; where its data lie is told as seen from there."""
    relative = _with_data(manifest, lambda place: os.path.relpath(place, folder.resolve()))
    (folder / _MANIFEST).write_text(to_json(relative), encoding="utf-8")


def noted(folder: Path) -> dict[str, Any]:
    """Return what `deploy` noted of a model that it made; nothing for any other."""
    manifest = read_manifest(folder / _MANIFEST) or {}
    return _with_data(manifest, lambda place: os.path.normpath(folder.resolve() / place))


def _with_data(manifest: dict[str, Any], moved: Callable[[str], str]) -> dict[str, Any]:
    dataset = manifest.get("dataset") or {}
    if not (place := dataset.get("dataset_dir")):
        return manifest
    return {**manifest, "dataset": {**dataset, "dataset_dir": moved(place)}}


def stem_of(model: str) -> str:
    server, _, name = model.partition("#")
    last = name or re.sub(r"^https?://|/v1$", "", server)
    parts = [part for part in re.split(r"[/\\]", last) if part not in ("", ".", "..")]
    return re.sub(r"[^\w.-]+", "_", parts[-1] if parts else "model").strip("._") or "model"


def default_name(first: str, between: str, second: str) -> str:
    name = f"{stem_of(first)}_{between}_{stem_of(second)}"
    return os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore")


def check_target(folder: Path, name: str) -> None:
    """Refuse what could not be written, before models are loaded; nothing is made."""
    if not _NAME.fullmatch(name) or name.startswith(".") or len(os.fsencode(name)) > _LONGEST_NAME:
        allowed = f"up to {_LONGEST_NAME} bytes of letters, digits, _, - and ."
        raise UsageError(f"--name {name}: allowed are {allowed}")
    with writing_to(folder, more=_KEPT):
        above = folder.absolute().parents
        there = next(each for each in (folder, *above) if each.exists())
        tempfile.TemporaryFile(dir=there).close()


def write_results(
    folder: Path,
    name: str,
    lines: Iterable[Mapping[str, Any]],
    manifest: Mapping[str, Any],
    page: str = "",
) -> list[Path]:
    """Write a page, if there is one, a line an entry, and last what made them; return the paths."""
    entries = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    texts = {**({".html": page} if page else {}), ".jsonl": entries}
    paths = [folder / f"{name}{ending}" for ending in (*texts, ".manifest.json")]
    with writing_to(folder, more=_KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=False):
            write_text(path, text)
        files = {path.name: sha256_of(path) for path in paths[:-1]}
        write_text(paths[-1], to_json({**manifest, "files": files, "versions": versions()}))
    return paths


def repair(folder: Path, template: str) -> list[str]:
    """Say names as older readers do, set the chat template; return what was changed."""
    changed = model_folder.for_older_readers(folder)
    if template != model_folder.chat_template(folder):
        settings, path = folder / model_folder.TOKENIZER_CONFIG, folder / model_folder.CHAT_TEMPLATE
        values = model_folder.read_json(settings)
        if values.pop("chat_template", None) is not None:
            settings.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if template:
            path.write_text(template, encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
        changed.append("chat template: the adapter's own" if template else "chat template: none")
    # Safetensors are written for their owner alone; who may read the config may read them.
    for path in folder.glob("*.safetensors"):
        path.chmod((folder / model_folder.CONFIG).stat().st_mode)
    return changed
