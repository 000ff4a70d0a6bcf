"""Whether an engine may be let loose: it has to answer as transformers does.

An engine that says it is healthy can compute nonsense: vLLM's compiled mode on a CPU has.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from curate.errors import ModelError
from curate.system import process
from curate.system.cache import cache_dir
from deploy.engines.contract import Served

QUESTION = "What is the capital of France?"
TOKENS = 24
_PAUSE = 0.1  # seconds
_SHARE = 0.5  # of the answer that has to agree where half precision rounds
_VERSION = "ready 1"


async def expected(
    served: Served,
    names: tuple[str, ...],
    scratch: Path,
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> dict[str, str] | None:
    """Return transformers' own greedy answers; computed once for given weights."""
    folders = {served.name: served.folder, **{a.name: a.folder for a in served.adapters}}
    folders = {name: folders[name] for name in names}
    kept = cache_dir() / "answers" / f"{_key(served, folders)}.json"
    if kept.is_file():
        answers: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
        return answers
    say("asking transformers itself, to compare the engine with (once for this model) …")
    computed = await _computed(served, folders, scratch, stop)
    if computed is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        whole = kept.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps(computed), encoding="utf-8")
        whole.replace(kept)
    return computed


def _key(served: Served, folders: Mapping[str, Path]) -> str:
    from curate.models.adapter import adapter_fingerprint
    from curate.models.resolve import fingerprint

    adapters = [(each.name, adapter_fingerprint(each.folder)) for each in served.adapters]
    versions = [importlib.metadata.version(each) for each in ("torch", "transformers")]
    asked = [QUESTION, TOKENS, served.dtype, served.gpu, sorted(folders)]
    told = [_VERSION, fingerprint(served.folder), adapters, asked, versions]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


async def _computed(
    served: Served, folders: Mapping[str, Path], scratch: Path, stop: asyncio.Event
) -> dict[str, str] | None:
    task, answers = scratch / "task.json", scratch / "answers.json"
    dtype = served.dtype if served.dtype == "bfloat16" else "float32"
    job = {"folders": {name: str(folder) for name, folder in folders.items()}, "dtype": dtype}
    task.write_text(json.dumps({**job, "question": QUESTION, "tokens": TOKENS}), encoding="utf-8")
    command = [sys.executable, "-m", "deploy.serving.reference", str(task), str(answers)]
    child = process.start(command, scratch / "reference.log")
    try:
        while (code := child.code()) is None:
            if stop.is_set():
                return None
            await asyncio.sleep(_PAUSE)
    finally:
        await asyncio.to_thread(child.stop, 5.0)
    if code or not answers.is_file():
        from deploy.engines.failures import why

        raise ModelError(f"transformers cannot answer with {served.name}: {why(child.log, code)}")
    computed: dict[str, str] = json.loads(answers.read_text(encoding="utf-8"))
    return computed


def agree(wanted: str, got: str, dtype: str) -> bool:
    """Return whether two greedy answers of the same model are as alike as they have to be.

    In float32 they are the same; in half precision sums are rounded in another order, and a close
    race between two words may end otherwise in the second half of an answer. White space does not
    count: LLaMA-Factory tidies it.

    Example:
        >>> agree("The capital is Paris.", "The capital is  Paris.", "float32")
        True
    """
    first, second = "".join(wanted.split()), "".join(got.split())
    if first == second:
        return True
    same = len(os.path.commonprefix([first, second]))
    return dtype != "float32" and bool(same) and same >= _SHARE * max(len(first), len(second))
