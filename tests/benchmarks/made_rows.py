"""Rows made up from the shipped samples, and points: the same for a seed, on every machine.

A row is a sample's prompt, and clauses of the samples' responses one behind the other: 3 % are
copies of an earlier row to the letter, 10 % copies with one clause exchanged.
"""

from __future__ import annotations

import json
import re
from collections import deque
from pathlib import Path

import numpy as np

from tests.benchmarks.clouds import cloud
from tests.conftest import ROOT

_SAMPLES = ROOT / "mixtures" / "samples"
_CHINESE, _EXACT, _NEAR = 0.7, 0.03, 0.1
_WIDE = 384
_BLOCK = 10_000


def _sample(name: str) -> list[dict[str, str]]:
    return json.loads((_SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def _clauses(rows: list[dict[str, str]], ends: str) -> list[str]:
    texts = (row["output"] for row in rows)
    parts = (part.strip() for text in texts for part in re.findall(f"[^{ends}]+[{ends}]*", text))
    return sorted({part for part in parts if len(part) > 3})


def write(kind: str, path: Path, rows: int) -> None:
    """Write so many rows of a kind: mixed, domain, short, english, or points."""
    if kind == "points":
        np.save(path, cloud(rows, _WIDE))
        return
    with path.open("w", encoding="utf-8") as out:
        if kind == "short":
            out.writelines(
                f'{{"instruction": "{at}: 高血压患者能吃党参吗？", "input": "", '
                f'"output": "{at * 7919 % 99991}: 可以，但应在医生指导下服用，并注意监测血压。"}}\n'
                for at in range(rows)
            )
            return
        seed = {"mixed": 0, "domain": 1, "english": 2}[kind]
        written = 0
        if kind == "english":  # the sample's own come first
            for row in _sample("alpaca_en")[:rows]:
                out.write(json.dumps(row) + "\n")
                written += 1
        for row in _made(rows - written, seed, 0.0 if kind == "english" else _CHINESE):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _made(rows: int, seed: int, chinese: float):
    rng = np.random.default_rng(seed)
    english, zh = _sample("alpaca_en"), _sample("alpaca_zh")
    # The prompts, the clauses, the fewest and the most of a response, and what joins them.
    languages = (
        ([row["instruction"] for row in english], _clauses(english, ",.;:!?\n"), 4, 14, " "),
        ([row["instruction"] for row in zh], _clauses(zh, "，。；：！？\n"), 6, 18, ""),
    )
    recent: deque[tuple[int, list[int]]] = deque(maxlen=5000)
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        chances = rng.random((count, 3)).tolist()
        for (copied, earlier, language), drawn in zip(
            chances, rng.integers(0, 2**31, (count, 20)).tolist(), strict=True
        ):
            of = int(language < chinese)
            if copied < _EXACT + _NEAR and recent:
                of, places = recent[int(earlier * len(recent))]
                if copied >= _EXACT:
                    at = 1 + drawn[0] % (len(places) - 1)
                    places = [*places[:at], drawn[1], *places[at + 1 :]]
            else:
                _, _, fewest, most, _ = languages[of]
                places = drawn[: 1 + fewest + drawn[19] % (most - fewest)]
            recent.append((of, places))
            prompts, clauses, _, _, join = languages[of]
            yield {
                "instruction": prompts[places[0] % len(prompts)],
                "input": "",
                "output": join.join(clauses[each % len(clauses)] for each in places[1:]),
            }
