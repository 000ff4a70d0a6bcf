"""What every method chooses, side by side: rows, tokens, lengths, the wanted part, what they share.

Three sets: general English (alpaca_en), Chinese medicine (toyhom), and a pool of both. A part of
each is wanted, and twenty of its rows, which are not among those to choose from, are the questions
of `like`: rows with an input, one department, the medical rows. Every method that takes a budget
in tokens gets the same one; the others keep as many rows as random ones of that budget have.

python -m tests.benchmarks.choices --data DIR [--rows 300] [--keep 10%-tokens] [--methods ifd,like]

`3ds` lets the model answer every prompt, in at most 32 tokens here; it runs where it is named.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import curate
from curate.choices.selection import Selection
from curate.data.rows import Rows

DEPARTMENT = "消化科"
QUESTIONS = 20
COUNTER = "use"  # one tokenizer for all, or rows of one table would count in two units
Value = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """Rows to choose from, which of them are wanted, and questions like those."""

    name: str
    values: list[Value]
    wanted: list[bool]
    questions: list[Value]


def main() -> None:
    args = arguments()
    for pool in pools(args.data, args.rows, args.seed):
        rows = curate.read(pool.values)
        wanted = np.array(pool.wanted)
        print(
            f"\n{pool.name}: {len(rows):,} rows, {wanted.mean():.0%} of them wanted; "
            f"--keep {args.keep}\n",
            flush=True,
        )
        chosen: dict[str, Selection] = {}
        for name, choose in methods(rows, pool.questions, args.keep).items():
            if name not in args.methods if args.methods else name == "3ds":
                continue
            chosen[name] = choose()
        print("\n".join(table(chosen, wanted)), flush=True)


def pools(data: Path, size: int, seed: int) -> Iterator[Pool]:
    english = json.loads((data / "alpaca_en.json").read_text(encoding="utf-8"))
    with (data / "toyhom_internal_medicine_gb18030.csv").open(encoding="gb18030") as file:
        chinese = [
            (
                {"instruction": r["ask"] or r["title"], "input": "", "output": r["answer"]},
                r["department"],
            )
            for r in csv.DictReader(file)
        ]
    general = [(row, bool(row["input"])) for row in english]
    medical = [(row, department == DEPARTMENT) for row, department in chinese]
    both = [(row, False) for row, _ in general], [(row, True) for row, _ in medical]
    yield pool("alpaca_en", [general], size, seed)
    yield pool("toyhom", [medical], size, seed)
    yield pool("alpaca_en and toyhom", list(both), size, seed)


def pool(name: str, parts: list[list[tuple[Value, bool]]], size: int, seed: int) -> Pool:
    """Draw as many rows of each part, and the questions from the wanted ones that are left."""
    generator = np.random.default_rng(seed)
    drawn, left = [], []
    for part in parts:
        order = [part[place] for place in generator.permutation(len(part))]
        drawn += order[: size // len(parts)]
        left += [row for row, wanted in order[size // len(parts) :] if wanted]
    texts = {json.dumps(row, sort_keys=True) for row, _ in drawn}
    questions = [row for row in left if json.dumps(row, sort_keys=True) not in texts][:QUESTIONS]
    return Pool(name, [row for row, _ in drawn], [wanted for _, wanted in drawn], questions)


def methods(rows: Rows, questions: list[Value], keep: str) -> dict[str, Callable[[], Selection]]:
    """Return what chooses, by name; controls are of the choice of IFD."""
    kept: dict[str, Selection] = {}

    def ifd() -> Selection:
        kept["ifd"] = kept.get("ifd") or curate.ifd(rows, keep=keep, tokenizer=COUNTER)
        return kept["ifd"]

    def as_many() -> int:
        return int(
            curate.select(rows, recipe="random", keep=keep, tokenizer=COUNTER).choice.kept.sum()
        )

    def like() -> Selection:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "questions.json"
            file.write_text(json.dumps(questions, ensure_ascii=False), encoding="utf-8")
            return curate.select(
                rows, recipe="like", like=(str(file),), keep=keep, tokenizer=COUNTER
            )

    recipes = ("random", "longest", "clusters", "k_center", "superfilter", "deita")
    return {
        "ifd": ifd,
        **{
            name: lambda name=name: curate.select(rows, recipe=name, keep=keep, tokenizer=COUNTER)
            for name in recipes
        },
        "mods": lambda: curate.mods(rows, min_quality="50%", seeds=as_many()),
        "car": lambda: curate.car(rows, top=as_many() // 2),
        "like": like,
        "3ds": lambda: curate.select(
            rows, recipe="3ds", keep=keep, tokenizer=COUNTER, max_new_tokens=32
        ),
        **{
            f"ifd:{kind}": lambda kind=kind: curate.control(ifd(), kind)
            for kind in ("rows", "tokens", "length", "clusters", "longest")
        },
    }


def table(chosen: dict[str, Selection], wanted: Any) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    names = list(chosen)
    yield f"| method | rows | tokens | mean length | wanted | {' | '.join(names)} |"
    yield f"|---|{'---|' * (4 + len(names))}"
    for name, selection in chosen.items():
        kept, counts = selection.choice.kept, selection.tokens.counts
        rows, tokens = int(kept.sum()), int(counts[kept].sum())
        shared = [
            "–" if other == name else str(int((kept & chosen[other].choice.kept).sum()))
            for other in names
        ]
        share = f"{wanted[kept].mean():.0%}"
        line = [name, f"{rows:,}", f"{tokens:,}", f"{tokens / max(1, rows):.0f}", share, *shared]
        yield f"| {' | '.join(line)} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--rows", type=int, default=300, help="of each set")
    parser.add_argument("--keep", default="10%-tokens")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=None)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
