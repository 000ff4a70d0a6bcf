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

from curate.errors import OutputError, UsageError
from curate.system.files import sha256_of
from curate.system.manifest import to_json, versions
from deploy.compare.comparison import Comparison, Item
from deploy.compare.page import page

_NAME = re.compile(r"[\w.-]+")
_LONGEST = 200
ENDINGS = (".html", ".jsonl", ".manifest.json")


def default_name(base: str, tuned: str) -> str:
    """Return the name of a comparison: the last part of each model's name.

    Example:
        >>> default_name("smollm2", "saves/huatuo_ifd/")
        'huatuo_ifd_beside_smollm2'
    """
    return f"{_stem(tuned)}_beside_{_stem(base)}"[:_LONGEST]


def _stem(name: str) -> str:
    server, _, model = name.partition("#")
    last = model or server.removeprefix("http://").removeprefix("https://").removesuffix("/v1")
    parts = [part for part in re.split(r"[/\\]", last) if part not in ("", ".", "..")]
    return re.sub(r"[^\w.-]+", "_", parts[-1] if parts else "model").strip("._") or "model"


def check_target(folder: Path, name: str) -> None:
    """Make the folder and refuse what could not be written, before models are loaded."""
    if not _NAME.fullmatch(name) or name.startswith(".") or len(os.fsencode(name)) > _LONGEST:
        raise UsageError(
            f"--name {name}: allowed are up to {_LONGEST} bytes of letters, digits, _, - and ."
        )
    trial = folder / f".{name}.part"
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b" ")
        trial.unlink()


def write(comparison: Comparison, folder: Path, name: str, seconds: float) -> list[Path]:
    """Write page, lines and manifest, the manifest last; return their paths in this order.

    The page and the lines have the same bytes for the same models, prompts and parameters.
    """
    paths = [folder / f"{name}{ending}" for ending in ENDINGS]
    lines = [json.dumps(_line(item), ensure_ascii=False) for item in comparison.items]
    with _writing(folder):
        _put(paths[0], page(comparison))
        _put(paths[1], "".join(f"{line}\n" for line in lines))
        digests = {path.name: sha256_of(path) for path in paths[:2]}
        _put(paths[2], to_json(_manifest(comparison, digests, seconds)))
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
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; make room, or give another "
            "--output. What was answered is kept"
        ) from error


def _line(item: Item) -> dict[str, Any]:
    prompt = item.prompt
    base, tuned = item.numbers or (None, None)
    return {
        "id": prompt.id,
        "source": prompt.source,
        "messages": prompt.messages,
        "reference": prompt.reference,
        "trained_on": prompt.trained_on,
        "base": {**asdict(item.base), "numbers": base},
        "tuned": {**asdict(item.tuned), "numbers": tuned},
        "kind": item.kind,
        "verdict": asdict(item.verdict) if item.verdict is not None else None,
    }


def result(comparison: Comparison, name: str, paths: list[Path]) -> dict[str, Any]:
    """Return what --json prints of a comparison written to these paths."""
    return {"name": name, **_counts(comparison), "files": [str(path) for path in paths]}


def _manifest(comparison: Comparison, digests: dict[str, str], seconds: float) -> dict[str, Any]:
    params = asdict(comparison.params)
    # Folders are this machine's: a manifest names their last part.
    for side in ("base", "tuned", "judge"):
        if params[side] and Path(params[side]).is_absolute():
            params[side] = Path(params[side]).name
    sources = comparison.prompts.sources
    return {
        "recipe": "compare",
        "params": params,
        "models": comparison.models,
        "sources": [{"name": name, "sha256": sha256} for name, sha256 in sources.items()],
        **_counts(comparison),
        "files": digests,
        "versions": versions(),
        "wall_seconds": round(seconds, 1),
    }


def _counts(comparison: Comparison) -> dict[str, Any]:
    prompts, items, wins = comparison.prompts, comparison.items, comparison.wins
    known = [prompt.trained_on for prompt in prompts.prompts]
    return {
        "read": prompts.read,
        "left_out": prompts.left_out,
        "asked": len(prompts),
        "answered": sum(item.numbers is not None for item in items),
        "failed": {
            "base": sum(bool(item.base.failure) for item in items),
            "tuned": sum(bool(item.tuned.failure) for item in items),
        },
        "held_out": known.count(False),
        "trained_on": known.count(True),
        "kinds": comparison.kinds,
        "measures": {
            measure.name: {
                "base": measure.base,
                "tuned": measure.tuned,
                **asdict(measure.difference),
                "told": measure.verdict,
            }
            for measure in comparison.measures
        },
        "judge": {**asdict(wins), "told": wins.verdict} if wins is not None else None,
        "worse_by": comparison.worse,
        "notes": list(comparison.notes),
    }
