"""Speed, memory and recall of `curate dedup` on made-up rows with planted near duplicates.

python -m tests.benchmarks.dedup_speed [--rows 20000] [--naive 1500]

Half of the rows are like Chinese and half like English: words drawn by Zipf's law. One row in ten
is a copy of an earlier one, a third of these to the letter, with a few words put in the place of
others. The command runs in a process of its own, reading and writing included; the naive loop
compares every row with every kept row, here, on the first rows of the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tests.dedup import naive

NEAR = 0.8
VOCABULARY = 30_000
PLANTED, EXACT = 0.1, 1 / 3
CHUNK = 10_000


def vocabularies(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return made-up words: of Chinese one to three characters, of English two to ten letters."""
    characters = np.array([chr(each) for each in range(0x4E00, 0x4E00 + 3500)])
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    chinese = ["".join(rng.choice(characters, rng.integers(1, 4))) for _ in range(VOCABULARY)]
    english = ["".join(rng.choice(letters, rng.integers(2, 11))) for _ in range(VOCABULARY)]
    return chinese, english


def write_rows(path: Path, rows: int) -> dict[int, int]:
    """Write rows; return the place of each planted copy and of what it was copied from."""
    rng = np.random.default_rng(0)
    words = vocabularies(rng)
    share = 1 / np.arange(1, VOCABULARY + 1)
    share /= share.sum()
    recent: list[tuple[int, int, np.ndarray]] = []
    planted = {}
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            sizes = rng.integers(15, 60, count)
            drawn = np.split(rng.choice(VOCABULARY, sizes.sum(), p=share), np.cumsum(sizes)[:-1])
            for place, mine in enumerate(drawn, start):
                language, text = int(rng.integers(2)), mine
                if recent and rng.random() < PLANTED:
                    source, language, text = recent[int(rng.integers(len(recent)))]
                    planted[place] = source
                    if rng.random() > EXACT:
                        text = text.copy()
                        at = rng.integers(0, len(text), rng.integers(1, 4))
                        text[at] = rng.integers(0, VOCABULARY, len(at))
                elif rng.random() < 0.2:
                    # Copies are taken of a few thousand rows from all over the file.
                    entry = place, language, text
                    if len(recent) < 5000:
                        recent.append(entry)
                    else:
                        recent[int(rng.integers(5000))] = entry
                out.write(json.dumps(as_row(words[language], language, text)) + "\n")
    return planted


def as_row(words: list[str], language: int, text: np.ndarray) -> dict[str, str]:
    said = [words[each] for each in text.tolist()]
    join = " ".join if language else "".join
    cut = max(1, len(said) // 4)
    return {"instruction": join(said[:cut]), "input": "", "output": join(said[cut:])}


def run(path: Path, scratch: Path) -> tuple[float, float, Any]:
    """Return seconds, peak resident memory in MB and the scores of a run of the command."""
    arguments = ["curate", "dedup", "--input", str(path), "--output", str(scratch / "out")]
    arguments += ["--near", str(NEAR), "--name", "rows", "--show", "0"]
    environment = {**os.environ, "CURATRAIN_CACHE": str(scratch / "cache")}
    began = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", *arguments], environment)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"curate dedup ended with {os.waitstatus_to_exitcode(status)}")
    scores = pq.read_table(
        scratch / "out" / "rows.scores.parquet", columns=["id", "reason", "twin"]
    )
    return seconds, usage.ru_maxrss / 1024, scores


def texts_at(path: Path, places: set[int]) -> dict[int, str]:
    found = {}
    with path.open(encoding="utf-8") as lines:
        for place, line in enumerate(lines):
            if place in places:
                row = json.loads(line)
                found[place] = f"{row['instruction']}\n{row['output']}"
    return found


def quality(path: Path, planted: dict[int, int], scores: Any) -> None:
    """Print recall of the planted pairs that are alike, and how many dropped rows have a twin."""
    ids = {name: place for place, name in enumerate(scores.column("id").to_pylist())}
    twins = scores.column("twin").to_pylist()
    dropped = [place for place, twin in enumerate(twins) if twin is not None]
    rng = np.random.default_rng(1)
    some = rng.choice(sorted(planted), min(len(planted), 20_000), replace=False).tolist()
    others = rng.choice(dropped, min(len(dropped), 20_000), replace=False).tolist()
    places = {*some, *(planted[at] for at in some), *others, *(ids[twins[at]] for at in others)}
    texts = texts_at(path, places)
    alike = [at for at in some if float(naive.jaccard(texts[at], texts[planted[at]], 5)) >= NEAR]
    # Of a pair that is alike one is dropped, if not the copy then what it was copied from.
    found = sum(twins[at] is not None or twins[planted[at]] is not None for at in alike)
    to_twin = [float(naive.jaccard(texts[at], texts[ids[twins[at]]], 5)) for at in others]
    right = sum(value >= NEAR for value in to_twin)
    kept = [twins[ids[twins[at]]] is None for at in others]
    print(f"recall: {found:,} of {len(alike):,} planted pairs at or above {NEAR}")
    print(f"precision: {right:,} of {len(others):,} dropped rows are alike their twin")
    print(f"twins that are kept: {sum(kept):,} of {len(kept):,}")


def naive_seconds(path: Path, rows: int, scores: Any) -> float:
    """Return seconds a row of comparing every row with every kept row, on the first rows."""
    texts = list(texts_at(path, set(range(rows))).values())
    began = time.perf_counter()
    twins = naive.first_kept(texts, NEAR, 5)
    seconds = time.perf_counter() - began
    ids = scores.column("id").to_pylist()[:rows]
    wanted = [None if twin is None else ids[twin] for twin in twins]
    same = sum(a == b for a, b in zip(wanted, scores.column("twin").to_pylist(), strict=False))
    print(f"naive loop: the same verdict on {same:,} of {len(texts):,} rows")
    return seconds / len(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--naive", type=int, default=1500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        planted = write_rows(path, given.rows)
        print(f"{given.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB, {len(planted):,} planted")
        seconds, memory, scores = run(path, Path(folder))
        print(f"{seconds:,.0f} s, {given.rows / seconds:,.0f} rows/s, peak {memory:,.0f} MB")
        quality(path, planted, scores)
        each = naive_seconds(path, min(given.naive, given.rows), scores)
        print(
            f"the naive loop takes {each * given.rows / seconds:,.1f} times as long a row with "
            f"{min(given.naive, given.rows):,} rows, and more with every row that is kept"
        )


if __name__ == "__main__":
    main()
