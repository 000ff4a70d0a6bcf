"""Ids that depend on what a row says, not on where it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from json.encoder import encode_basestring as quoted
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.json_values import read_text, without_nulls
from curate.data.schema import MEDIA, STRUCTURAL, Parsed

_canonical = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def content_hash(parsed: Parsed, value: Any) -> int:
    """Return the first 64 bits of the sha256 of what a row says."""
    if parsed.flaw in STRUCTURAL:
        return _hash(_canonical(without_nulls(value)))
    more = beside(value, parsed.verdict)
    if not more and not parsed.tools:
        return hash_of_texts(parsed.system, parsed.turns, parsed.chosen, parsed.rejected)
    content = {
        "system": parsed.system,
        "turns": parsed.turns,
        "tools": without_nulls(read_text(parsed.tools)),
        "chosen": parsed.chosen,
        "rejected": parsed.rejected,
        **more,
    }
    return _hash(_canonical(content))


def hash_of_texts(
    system: str,
    turns: Iterable[tuple[str, str]],
    chosen: str | None = None,
    rejected: str | None = None,
) -> int:
    """Return the hash of a row that says no more, put together as the encoder would write it."""
    quoted_turns = ",".join([f'["{role}",{quoted(text)}]' for role, text in turns])
    better, worse = ("null" if t is None else quoted(t) for t in (chosen, rejected))
    return hash_of_quoted(quoted(system), quoted_turns, better, worse)


def hash_of_quoted(system: str, turns: str, better: str = "null", worse: str = "null") -> int:
    """Return the same hash of texts, and of turns between commas, as the encoder writes them."""
    return _hash(
        f'{{"chosen":{better},"rejected":{worse},"system":{system},"tools":"","turns":[{turns}]}}'
    )


def _hash(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def beside(value: Any, verdict: bool | None) -> dict[str, Any]:
    """Return what a row has beside its text: the same words on another picture are another row."""
    if not isinstance(value, dict):
        return {}
    media = {key: value[key] for key in MEDIA if value.get(key)}
    return media if verdict is None else media | {"verdict": verdict}


def occurrences(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    counts = np.zeros(len(hashes), dtype=np.int64)
    if len(hashes):
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        places = np.arange(len(hashes))
        first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        counts[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    return counts


def id_of(content: int, occurrence: int) -> str:
    """Return the id of a row: 16 hex digits, and from the second equal row on its number."""
    return f"{content:016x}-{occurrence + 1}" if occurrence else f"{content:016x}"
