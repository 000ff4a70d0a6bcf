"""Why a program ended, in one line, from its log."""

from __future__ import annotations

import re
from pathlib import Path

_LINES = 400
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|can't allocate memory|Cannot allocate memory|bad_alloc"
    r"|\bMemoryError\b|No available memory|less than desired GPU memory|KV cache is needed",
    re.IGNORECASE,
)
_ERROR = re.compile(r"\b([A-Za-z_.]*(Error|Exception|Refused)|error): *(?=\S)")
_NO_CAUSE = re.compile(r"root cause|Engine core init|Application startup failed")
_KILLED = (-9, 137)


def why(log: Path, code: int | None) -> str:
    """Return the likeliest reason that a program ended.

    Example:
        >>> why(Path("engine.log"), -9)
        'out of memory (it was killed); …'
    """
    lines = _tail(log)
    memory = [line for line in lines if _MEMORY.search(line) and "INFO" not in line]
    if memory or code in _KILLED:
        told = _short(memory[-1]) if memory else "it was killed, mostly a sign of that"
        return (
            f"out of memory ({told}). Take a smaller model, make it smaller with `deploy "
            "quantize`, shorten its context with --max-length, or end other programs"
        )
    errors = [line for line in lines if _ERROR.search(line) and not _NO_CAUSE.search(line)]
    return _short(errors[-1]) if errors else f"it ended with code {code} and said nothing of why"


def _tail(log: Path) -> list[str]:
    if not log.is_file():
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]


def _short(line: str) -> str:
    """Return what an error line says, without time, process and file before it."""
    found = _ERROR.search(line)
    text = line[found.start() :] if found else line
    return " ".join(text.split())[:300].rstrip(".")
