"""Every command of two checkouts in alternating pairs: seconds, peak memory, and the bytes written.

python -m tests.benchmarks.two_checkouts --before ../old --data FOLDER [--only car mix] [--pairs 2]

Both checkouts have an environment (`make demo` makes it); each works in a folder and a cache of its
own, which begins empty but for models that are made already. A run counts from the shell's point of
view, start-up included. Printed are the least seconds and the highest peak of the largest process
over the pairs, and whether both wrote the same data files. `--rows` sets how many made-up rows the
last five commands read.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import dedup_speed, mix_stream

_READ = "import curate, sys; print(len(curate.read(sys.argv[1])))"


@dataclass(frozen=True)
class Command:
    """What is typed.

    Attributes:
        argv: The program in the environment's bin, and its arguments; {data}, {work} are folders.
        needs: Commands that have to have run before, in the same folder.
    """

    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()


@dataclass
class Side:
    """One checkout: where it works, and what was measured of each command."""

    checkout: Path
    work: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)
    megabytes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)


def typed(line: str, *needs: str) -> Command:
    return Command(tuple(line.split(" ")), needs)


COMMANDS = {
    "help": typed("curate --help"),
    "ifd": typed("curate ifd --input {data}/disc_med_sft.jsonl --name ifd"),
    "car": typed("curate car --input {data}/alpaca_en.json --top 200 --name car"),
    "mods": typed("curate mods --input {data}/alpaca_en.json --seeds-only --seeds 60 --name mods"),
    "dedup": typed("curate dedup --input {data}/toyhom_internal_medicine_gb18030.csv --name dedup"),
    "mix": typed(
        "curate mix --domain {data}/medical_sft_zh.jsonl --general {data}/alpaca_zh.json "
        "--ratio 1:2 --shortage shrink --name mix"
    ),
    "doctor": typed("curate doctor --input {data}/alpaca_zh.json"),
    "train": typed("train sft --dataset mix --dry-run", "mix"),
    "compare": typed(
        "deploy compare --base smollm2 --tuned {work}/tuned --prompts {work}/prompts.txt "
        "--output {work}/reports"
    ),
    "read many": Command(("python", "-c", _READ, "{work}/general.jsonl")),
    "read again": Command(("python", "-c", _READ, "{work}/general.jsonl")),
    "doctor many": typed("curate doctor --input {work}/general.jsonl"),
    "mix many": typed(
        "curate mix --domain {work}/domain.jsonl --general {work}/general.jsonl --ratio 1:5 "
        "--name many"
    ),
    "dedup many": typed("curate dedup --input {work}/planted.jsonl --name many_dedup"),
}


def run(side: Side, name: str, data: Path) -> None:
    program, *rest = COMMANDS[name].argv
    argv = [str(side.checkout / ".venv/bin" / program)]
    argv += [each.format(data=data, work=side.work) for each in rest]
    environment = {**os.environ, "CURATRAIN_CACHE": str(side.work / "cache")}
    began = time.perf_counter()
    with (side.work / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(argv, cwd=side.work, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode not in (0, 1):
        raise SystemExit(f"{side.checkout}: {name} ended with {process.returncode}: {log.name}")
    side.seconds.setdefault(name, []).append(seconds)
    side.megabytes[name] = max(side.megabytes.get(name, 0), usage.ru_maxrss // 1024)
    side.digests[name] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((side.work / "data").glob("*.json*"))
        if not path.name.endswith("manifest.json")
    }


def prepare(checkout: Path, work: Path, models: Path, rows: int) -> Side:
    (work / "cache").mkdir(parents=True)
    (work / "cache" / "models").symlink_to(models)
    bundled = next(path for path in models.glob("smollm2-*") if path.is_dir())
    shutil.copytree(bundled, work / "tuned")
    prompts = "".join(f"Name {count} rivers.\n" for count in range(2, 8))
    (work / "prompts.txt").write_text(prompts, encoding="utf-8")
    if rows:
        mix_stream.write_rows(work / "domain.jsonl", "domain", rows // 6)
        mix_stream.write_rows(work / "general.jsonl", "general", rows)
        dedup_speed.write_rows(work / "planted.jsonl", rows)
    return Side(checkout, work)


def table(sides: list[Side], names: list[str]) -> str:
    before, after = sides
    lines = ["| command | before s | after s | ratio | before MB | after MB | data files |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in names:
        first, second = min(before.seconds[name]), min(after.seconds[name])
        same = "same" if before.digests[name] == after.digests[name] else "other"
        lines.append(
            f"| {name} | {first:.2f} | {second:.2f} | {second / first:.2f} | "
            f"{before.megabytes[name]:,} | {after.megabytes[name]:,} | {same} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, default=Path.cwd())
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/curatrain/models")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's")
    options = parser.parse_args()
    many = any(name.endswith(("many", "again")) for name in options.only)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        sides = [
            prepare(
                checkout.resolve(),
                Path(scratch, side),
                options.models.resolve(),
                options.rows if many else 0,
            )
            for side, checkout in (("before", options.before), ("after", options.after))
        ]
        needed = {need for name in options.only for need in COMMANDS[name].needs}
        names = [name for name in COMMANDS if name in needed or name in options.only]
        for pair in range(options.pairs):
            for name in names:
                for side in sides if pair % 2 == 0 else sides[::-1]:
                    run(side, name, options.data.resolve())
                print(f"pair {pair + 1}: {name}", flush=True)
            for side in sides:  # each pair parses, scores and chooses anew
                for kept in (side.work / "cache").iterdir():
                    if not kept.is_symlink():
                        shutil.rmtree(kept)
                shutil.rmtree(side.work / "data", ignore_errors=True)
        print(table(sides, names))


if __name__ == "__main__":
    main()
