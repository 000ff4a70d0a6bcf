"""A comparison on disk: the page, a line a prompt, and what made them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.data.manifest import sha256_of, to_json, versions
from curate.errors import OutputError, UsageError
from deploy.compare.comparison import Comparison, Item
from deploy.compare.page import page

_NAME = re.compile(r"[\w.-]+")
_LONGEST = 200
ENDINGS = (".html", ".jsonl", ".manifest.json")


def default_name(base: str, tuned: str) -> str:
    """Return the name of a comparison: the last part of each model's name.

    Args:
        base: As typed.
        tuned: As typed.

    Example:
        >>> default_name("smollm2", "saves/huatuo_ifd/")
        'huatuo_ifd_beside_smollm2'
    """
    ours, theirs = (_stem(each) for each in (base, tuned))
    return f"{theirs}_beside_{ours}"[:_LONGEST]


def _stem(name: str) -> str:
    server, _, model = name.partition("#")
    last = model or server.removeprefix("http://").removeprefix("https://").removesuffix("/v1")
    parts = [each for each in re.split(r"[/\\]", last) if each not in ("", ".", "..")]
    return re.sub(r"[^\w.-]+", "_", parts[-1] if parts else "model").strip("._") or "model"


def check_target(folder: Path, name: str) -> None:
    """Make the folder and refuse what could not be written, before models are loaded.

    Args:
        folder: Where to write.
        name: Of the comparison.

    Raises:
        UsageError: The name cannot be one.
        OutputError: The folder cannot be written.
    """
    if not _NAME.fullmatch(name) or name.startswith(".") or len(os.fsencode(name)) > _LONGEST:
        raise UsageError(
            f"--name {name}: allowed are up to {_LONGEST} bytes of letters, digits, _, - and ."
        )
    trial = folder / f".{name}.part"
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b" ")
        trial.unlink()


def write(found: Comparison, folder: Path, name: str, seconds: float) -> list[Path]:
    """Write page, lines and manifest, the manifest last; return their paths in this order.

    The page and the lines have the same bytes for the same models, prompts and parameters.

    Args:
        found: The comparison.
        folder: Where to write.
        name: Of the comparison.
        seconds: That it took.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    paths = [folder / f"{name}{ending}" for ending in ENDINGS]
    lines = [json.dumps(_line(each), ensure_ascii=False) for each in found.items]
    with _told(folder):
        _put(paths[0], page(found))
        _put(paths[1], "".join(f"{line}\n" for line in lines))
        files = {each.name: sha256_of(each) for each in paths[:2]}
        _put(paths[2], to_json(manifest(found, files, seconds)))
    return paths


def _put(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; make room, or give another "
            "--output. What was answered is kept"
        ) from error


def _line(item: Item) -> dict[str, Any]:
    prompt = item.prompt
    sides: dict[str, Any] = {}
    for at, side in enumerate(("base", "tuned")):
        answer = item.base if side == "base" else item.tuned
        numbers = item.numbers[at] if item.numbers is not None else None
        sides[side] = {**asdict(answer), "numbers": numbers}
    return {
        "id": prompt.id,
        "source": prompt.source,
        "messages": prompt.messages,
        "reference": prompt.reference,
        "trained_on": prompt.trained_on,
        **sides,
        "kind": item.kind,
        "verdict": asdict(item.verdict) if item.verdict is not None else None,
    }


def result(found: Comparison, name: str, files: list[Path]) -> dict[str, Any]:
    """Return what --json prints.

    Args:
        found: The comparison.
        name: Of it.
        files: From write().
    """
    return {"name": name, **_counts(found), "files": [str(each) for each in files]}


def manifest(found: Comparison, files: dict[str, str], seconds: float) -> dict[str, Any]:
    """Return what made a comparison, and what it amounts to.

    Args:
        found: The comparison.
        files: Name to sha256.
        seconds: That it took.
    """
    params = asdict(found.params)
    # Folders are this machine's: a manifest names their last part.
    for each in ("base", "tuned", "judge"):
        if params[each] and Path(params[each]).is_absolute():
            params[each] = Path(params[each]).name
    return {
        "recipe": "compare",
        "params": params,
        "models": found.models,
        "sources": [{"name": name, "sha256": sha} for name, sha in found.prompts.sources.items()],
        **_counts(found),
        "files": files,
        "versions": versions(),
        "wall_seconds": round(seconds, 1),
    }


def _counts(found: Comparison) -> dict[str, Any]:
    prompts = found.prompts
    whole = [each for each in found.items if each.numbers is not None]
    wins = found.wins
    return {
        "read": prompts.read,
        "left_out": prompts.left_out,
        "asked": len(prompts),
        "answered": len(whole),
        "failed": {
            side: sum(bool(getattr(each, side).failure) for each in found.items)
            for side in ("base", "tuned")
        },
        "held_out": sum(each.trained_on is False for each in prompts.prompts),
        "trained_on": sum(each.trained_on is True for each in prompts.prompts),
        "kinds": found.kinds,
        "measures": {
            each.name: {
                **{"base": each.base, "tuned": each.tuned},
                **asdict(each.difference),
                "told": each.told,
            }
            for each in found.measures
        },
        "judge": {**asdict(wins), "told": wins.told} if wins is not None else None,
        "worse_by": found.worse,
        "notes": list(found.notes),
    }
