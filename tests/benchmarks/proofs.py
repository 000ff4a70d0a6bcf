"""Does a choice towards a topic beat random rows? Two proofs on real rows that anyone can repeat.

python -m tests.benchmarks.proofs english|chinese --data DIR --output DIR [more of curate prove]

Makes the pool, the questions and the test rows in the output folder, then runs `curate prove` on
them; the same command goes on where it was stopped. Questions and test rows are of one topic, no
row is in two of the three files; rows of the topic that are neither stay in the pool.

english: all of alpaca_en.json and 600 rows of the revised side of
coachlm_expert_revisions_train.json; the topic is food and health, by words of the prompt. smollm2.
chinese: all of alpaca_zh.json and 1,000 rows of toyhom_internal_medicine_gb18030.csv; the topic is
one department. gemma3-270m (`curate models --get gemma3-270m --accept-terms`).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

Lines = list[dict[str, str]]
TOPIC = re.compile(
    r"\b(health|disease|medic|doctor|diet|nutrition|exercis|sleep|patient|symptom|food|meal|recipe"
    r"|cook|dish|ingredient|vegetable|fruit|eat)",
    re.IGNORECASE,
)
DEPARTMENT = "消化科"
QUESTIONS = 40
# A budget in tokens, so that the random arm is the control of all that fill it; about as many rows
# at random as 30 steps take.
PROOFS = {
    "english": (
        80,
        ("--arms", "longest,clusters,like,ifd,car", "--model", "smollm2"),
        ("--keep", "12000-tokens", "--batch", "3", "--rates", "2e-4,1e-3"),
    ),
    "chinese": (
        100,
        ("--arms", "like,ifd,clusters", "--model", "gemma3-270m"),
        ("--keep", "6000-tokens", "--batch", "2", "--rates", "2e-4,1e-3"),
    ),
}


def english(data: Path) -> tuple[Lines, Lines]:
    """Return the rows of the topic, and the others."""
    keys = ("instruction", "input", "output")
    rows = [{key: row[key] for key in keys} for row in _json(data / "alpaca_en.json")]
    revised = ("Revised Instruction", "Revised Input", "Revised Response")
    by_experts = _json(data / "coachlm_expert_revisions_train.json")
    rows += [
        dict(zip(keys, (row[key] for key in revised), strict=True))
        for row in _drawn(by_experts, 600, np.random.default_rng(0))
    ]
    wanted = [bool(TOPIC.search(f"{row['instruction']} {row['input']}")) for row in rows]
    return _parted(rows, wanted)


def chinese(data: Path) -> tuple[Lines, Lines]:
    """Return the rows of the department, and the others, so many that the pool is soon scored."""
    path = data / "toyhom_internal_medicine_gb18030.csv"
    with path.open(encoding="gb18030", errors="replace", newline="") as file:
        medical = [row for row in csv.DictReader(file) if row["answer"].strip()]
    rows = [
        {
            "instruction": "\n".join(filter(None, (row["title"], row["ask"].strip("无 \n")))),
            "input": "",
            "output": row["answer"],
        }
        for row in medical
    ]
    of_topic, others = _parted(rows, [row["department"] == DEPARTMENT for row in medical])
    generator = np.random.default_rng(0)
    # As many of the department stay in the pool as in 1,000 rows of the whole file.
    stay = round(1000 * len(of_topic) / len(rows))
    of_topic = _drawn(of_topic, QUESTIONS + PROOFS["chinese"][0] + stay, generator)
    return of_topic, _drawn(others, 1000 - stay, generator) + _json(data / "alpaca_zh.json")


def _json(path: Path) -> Lines:
    lines: Lines = json.loads(path.read_text(encoding="utf-8"))
    return lines


def _parted(rows: Lines, wanted: list[bool]) -> tuple[Lines, Lines]:
    """Return the wanted rows, one a prompt, and the others."""
    of_topic = {
        (row["instruction"].strip(), row["input"].strip()): row
        for row, is_wanted in zip(rows, wanted, strict=True)
        if is_wanted
    }
    others = [row for row, is_wanted in zip(rows, wanted, strict=True) if not is_wanted]
    return list(of_topic.values()), others


def _drawn(rows: Lines, size: int, generator: np.random.Generator) -> Lines:
    return [rows[place] for place in generator.permutation(len(rows))[:size].tolist()]


def write(proof: str, data: Path, output: Path) -> None:
    """Write pool.json, ask.json and test.json."""
    of_topic, others = {"english": english, "chinese": chinese}[proof](data)
    of_topic = _drawn(of_topic, len(of_topic), np.random.default_rng(1))
    end = QUESTIONS + PROOFS[proof][0]
    files = {
        "ask": of_topic[:QUESTIONS],
        "test": of_topic[QUESTIONS:end],
        "pool": of_topic[end:] + others,
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        (output / f"{name}.json").write_text(text, encoding="utf-8")
    print({name: len(rows) for name, rows in files.items()}, len(of_topic), "of the topic")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("proof", choices=PROOFS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    asked, more = parser.parse_known_args()
    folder = asked.output / asked.proof
    write(asked.proof, asked.data, folder)
    _, arms, training = PROOFS[asked.proof]
    command = [
        *(sys.executable, "-m", "curate", "prove", "--input", str(folder / "pool.json")),
        *("--like", str(folder / "ask.json"), "--test", str(folder / "test.json")),
        *(*arms, *training, "--repeats", "3", "--steps", "30"),
        *("--output", str(folder / "data"), "--saves", str(folder / "saves")),
        *("--name", f"prove_{asked.proof}", *more),
    ]
    print(" ".join(command), flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
