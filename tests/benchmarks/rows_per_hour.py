"""Rows an hour of `curate ifd` on 1, 8 and 64 GPUs by the size of the model, and what bounds it.

python -m tests.benchmarks.rows_per_hour benchmarks.json [--gpu figures.json] [--page PAGE]

The parts are those that `scale` has measured, and a card's speed those of `tests.gpu.figures`, if
given, else assumed. With --page the tables are put into a page, between its two marks.

    tokens/s of a GPU = share of its peak x peak / (2 x parameters)
    rows/h of GPUs    = 3600 x GPUs x tokens/s / tokens of a row, both passes
    rows/h of driver  = 3600 x rows of a batch x 1000 / ms a batch
    rows/h of all     = 1 / (1 / tokeniser + 1 / min(GPUs, driver, disk))

since every row is tokenised before the first batch. The 2 operations a parameter and token are
those of the layers' products; attention, 2 % of them at 500 tokens, is not counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

MEASURED, CALCULATED, ASSUMED = "measured", "calculated", "assumed"
BILLIONS = (0.135, 0.6, 1.7, 7, 14, 32)
GPUS = (1, 8, 64)
BATCH = 16_384  # tokens, on a GPU
PEAK, SHARE = 989e12, 0.4  # operations a second of an H100 or H200 in bfloat16; a share of them
DISK = 200e6  # bytes a second
PROCESSES = 16  # that tokenise
MARKS = "<!-- rows per hour -->"


@dataclass(frozen=True)
class Parts:
    """What a row costs in each part, and how that is known.

    Attributes:
        peak: Operations a second of a GPU.
        share: Of the peak that is reached.
        tokens_a_row: Of both passes.
        tokenised: Rows a second of one process.
        ms_a_batch: The driver's own.
        bytes_a_row: Written and read on disk.
        known: Field to measured, calculated or assumed.
    """

    peak: float
    share: float
    tokens_a_row: float
    tokenised: float
    ms_a_batch: float
    bytes_a_row: float
    known: dict[str, str]


def rows_per_hour(parts: Parts, billions: float, gpus: int) -> tuple[float, str]:
    """Return rows an hour, and which part takes most of it."""
    tokens = parts.share * parts.peak / (2e9 * billions)
    computing = {
        "GPUs": gpus * tokens / parts.tokens_a_row,
        "driver": BATCH / parts.tokens_a_row * 1000 / parts.ms_a_batch,
        "disk": DISK / parts.bytes_a_row,
    }
    slowest = min(computing, key=lambda part: computing[part])
    tokenised = parts.tokenised * PROCESSES
    bound = "tokeniser" if tokenised < computing[slowest] else slowest
    return 3600 / (1 / tokenised + 1 / computing[slowest]), bound


def parts_of(cases: dict[str, Any], gpu: dict[str, Any]) -> Parts:
    """Return the parts from what was measured at the most rows."""

    def largest(name: str, side: str) -> tuple[int, dict[str, Any]]:
        sizes = {int(key.rpartition(", ")[2]): entry.get(side, {}) for key, entry in cases.items()
                 if key.rpartition(", ")[0] == name}  # fmt: skip
        return max((rows, taken) for rows, taken in sizes.items() if "seconds" in taken)

    first = min(int(key.rpartition(", ")[2]) for key in cases if key.startswith("tokenise, "))
    rows, taken = largest("tokenise", "local")
    start = cases[f"tokenise, {first}"]["local"]
    # Of all cores together, so that it is that of one process.
    seconds = median(taken["cpu"]) - median(start["cpu"])
    side = next(s for s in ("ray", "2 workers") if "seconds" in largest("engine", "local")[1]
                and s in cases[f"engine, {largest('engine', 'local')[0]}"])  # fmt: skip
    of_card = gpu.get("of_7b", {})
    return Parts(
        peak=1e12 * of_card.get("peak_measured_tflops", PEAK / 1e12),
        share=of_card.get("share_of_peak", SHARE),
        tokens_a_row=taken["tokens_a_row"],
        tokenised=(rows - first) / seconds,
        ms_a_batch=largest("engine", side)[1]["ms_a_batch"],
        # Of rows in the cache as many as of tokens, and a line in the journal.
        bytes_a_row=2 * taken["token_bytes_a_row"] + 43,
        known={
            "peak": MEASURED if of_card else f"{ASSUMED}: an H100's or H200's own sheet",
            "share": MEASURED if of_card else ASSUMED,
            "tokens_a_row": f"{MEASURED}, {rows:,} rows",
            "tokenised": f"{MEASURED}, {rows:,} rows",
            "ms_a_batch": f"{MEASURED}, {side}",
            "bytes_a_row": f"{MEASURED} for the tokens, {CALCULATED} for the rest",
        },
    )


def tables(parts: Parts) -> str:
    """Return the parts and the rows an hour as two tables."""
    shown = {
        "peak": ("operations a second of a GPU, bfloat16", f"{parts.peak / 1e12:,.0f} TFLOPS"),
        "share": ("share of them that is reached", f"{parts.share:.0%}"),
        "tokens_a_row": ("tokens of a row, both passes", f"{parts.tokens_a_row:,.0f}"),
        "tokenised": ("rows that a process tokenises", f"{parts.tokenised:,.0f} a second"),
        "ms_a_batch": (f"the driver's own for {BATCH:,} tokens", f"{parts.ms_a_batch:.1f} ms"),
        "bytes_a_row": ("bytes of a row on disk", f"{parts.bytes_a_row:,.0f}"),
    }
    lines = ["| part | figure | |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | {parts.known[name]} |"
              for name, (what, figure) in shown.items()]  # fmt: skip
    heads = [f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS]
    lines += ["", f"| parameters | {' | '.join(heads)} |", "|---" * (len(GPUS) + 1) + "|"]
    for billions in BILLIONS:
        cells = []
        for gpus in GPUS:
            rows, bound = rows_per_hour(parts, billions, gpus)
            cells.append(f"{_rounded(rows)} ({bound})")
        lines.append(f"| {billions:g} billion | {' | '.join(cells)} |")
    lines += ["", f"Rows an hour, all {CALCULATED}; in brackets what takes most of the time."]
    return "\n".join(lines)


def _rounded(rows: float) -> str:
    return f"{float(f'{rows:.2g}'):,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="of `python -m tests.benchmarks.scale`")
    parser.add_argument("--gpu", type=Path, help="of `python -m tests.gpu.figures --output`")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    gpu = json.loads(options.gpu.read_text()) if options.gpu else {}
    text = tables(parts_of(json.loads(options.file.read_text())["cases"], gpu))
    print(text)
    if options.page:
        before, _, after = options.page.read_text(encoding="utf-8").split(MARKS)
        options.page.write_text(f"{before}{MARKS}\n\n{text}\n\n{MARKS}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
