"""What commands and their parts take at 10,000, 100,000 and a million rows, beside their peers.

python -m tests.benchmarks.scale [--only read dedup ...] [--rows 10000 100000 1000000]
    [--against CHECKOUT] [--output benchmarks.json] [--table]

Every case is a command, or a function of `children`, run in a process of its own; so are the same
with two workers, the same with Ray where it is installed, and a peer: the naive or published loop
or another library's way. All sides of a case take turns, in one order and then in the other;
ratios are the median of the turns', of CPU seconds where other programs were at work. With
--against, a checkout that has an environment of its own (`make demo` makes it) takes its turns,
too. Seconds count from the shell's point of view, start-up included; from an exponent it is taken
off, by a run of a few rows. Each finished case is written to the file at once, and is not run
again. A side that would take longer than --limit is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from curate.errors import UsageError
from curate.parameters.engine import EngineParams
from curate.system.cache import cache_dir
from curate.system.files import sha256_of
from tests.benchmarks import made_rows
from tests.conftest import ROOT
from tests.memory import measured

LOCAL, WORKERS, RAY, PEER, AGAINST = "local", "2 workers", "ray", "peer", "against"
SIDES = (LOCAL, WORKERS, RAY, PEER, AGAINST)
# What a user's cache has after the first command, whatever comes next.
KEPT = ("rows", "models", "fingerprints", "routes")
BUSY = 0.2  # cores of other programs above which the wall's clock says little
SHORT = 30.0  # seconds; what takes no longer is run three times
_READ = "import curate, sys; [len(curate.read(path)) for path in sys.argv[1:]]"


@dataclass(frozen=True)
class Case:
    """What is typed behind `python`; {name} stands for a file of rows of that kind, or a folder.

    Attributes:
        line: Ours.
        peer: What is run beside it; '' for nothing.
        before: What has to have run before it, and is not measured.
        cold: Whether files have not been read before.
        workers: Whether processes or Ray can compute it.
        first: Rows of the short run, whose seconds are those of the start.
        sizes: Rows besides those that are asked for.
    """

    line: str
    peer: str = ""
    before: tuple[str, ...] = ("READ {mixed}",)
    cold: bool = False
    workers: bool = False
    first: int = 100
    sizes: tuple[int, ...] = ()


def child(line: str) -> str:
    return f"-m tests.benchmarks.children {line}"


def curate(line: str) -> str:
    return f"-m curate {line}"


_OPENED = child("opened")
CASES = {
    "read": Case("READ {mixed}", child("peer_read {mixed}"), (), cold=True),
    "read short": Case("READ {short}", child("peer_read {short}"), (), cold=True),
    "read again": Case("READ {mixed}"),
    "doctor": Case(curate("doctor --input {mixed}"), child("peer_doctor {mixed}")),
    "mix": Case(
        curate("mix --domain {domain} --general {mixed} --ratio 1:5 --shortage shrink --name x"),
        child("peer_mix {domain} {mixed}"),
        ("READ {domain} {mixed}",),
    ),
    "random": Case(
        curate("select --input {mixed} --recipe random --keep 10% --name x --show 0"),
        child("peer_random {mixed}"),
    ),
    "length": Case(
        curate("score --input {mixed} --scorer length --name x --show 0"),
        child("peer_length {mixed}"),
    ),
    "dedup": Case(curate("dedup --input {mixed} --name x --show 0"), child("peer_dedup {mixed}")),
    "tokenise": Case(
        child("tokenise {english}"),
        child("peer_tokenise {english}"),
        ("READ {english}", _OPENED),
        workers=True,
    ),
    "resume": Case(
        child("resume {english}"), before=("READ {english}", child("tokenise {english}"))
    ),
    "engine": Case(child("engine {english}"), before=(), workers=True),
    "ifd": Case(
        curate("ifd --input {english} --name x --show 0"),
        child("peer_ifd {english}"),
        ("READ {english}", _OPENED),
        workers=True,
        first=8,
        sizes=(240,),
    ),
    "embed": Case(
        child("embed {english} {encoder}"),
        child("peer_embed {english} {encoder}"),
        ("READ {english}",),
        workers=True,
    ),
    "embed use": Case(child("embed {mixed} use"), before=("READ {mixed}", _OPENED), workers=True),
    "car": Case(
        curate("car --input {english} --top 10 --name x --show 0"),
        before=("READ {english}", _OPENED),
    ),
    "mods": Case(
        curate("mods --input {english} --seeds-only --seeds 60 --name x --show 0"),
        before=("READ {english}", _OPENED),
    ),
    "k-means": Case(child("k_means {points}"), child("peer_k_means {points}"), ()),
    "k-centre": Case(child("k_centre {points}"), child("peer_k_centre {points}"), ()),
}


class Bench:
    """Runs cases in a folder, and keeps what they took in a file."""

    def __init__(
        self, folder: Path, file: Path, limit: float, turns: int, against: Path | None
    ) -> None:
        self.folder, self.file, self.limit = folder, file, limit
        self.turns, self.against = turns, against
        self.known = json.loads(file.read_text()) if file.is_file() else {"cases": {}}
        self.cases: dict[str, Any] = self.known["cases"]

    def run(self, name: str, rows: int, smaller: int | None) -> None:
        """Run all sides of a case at a size, unless the file has them."""
        case = CASES[name]
        key = f"{name}, {rows}"
        entry = self.cases.get(key, {})
        sides = [side for side in self._sides(case) if side not in entry]
        if not sides:
            return
        if LOCAL not in sides:  # a new side takes turns with ours anew
            sides, entry = [LOCAL, *sides], {s: e for s, e in entry.items() if s != LOCAL}
        earlier = self.cases.get(f"{name}, {smaller}", {})
        for side in list(sides):
            last = earlier.get(side, {})
            needed = max(last.get("seconds", [0.0])) * rows / (smaller or rows)
            needed = max(needed, last.get("needed", 0.0) * rows / (smaller or rows))
            if smaller and smaller > case.first and needed > self.limit:
                entry[side] = {"needed": round(needed)}
                sides.remove(side)
        taken: dict[str, list[dict[str, Any]]] = {side: [] for side in sides if side not in entry}
        turn = 0
        while taken and turn < (self.turns or self._turns(taken)):
            for side in list(taken) if turn % 2 == 0 else list(taken)[::-1]:
                once = self._once(case, side, rows)
                if once["code"] is None:
                    entry[side] = {"needed": self.limit}
                    del taken[side]
                else:
                    taken[side].append(once)
            turn += 1
        for side, turns in taken.items():
            entry[side] = {each: [turn[each] for turn in turns] for each in ("seconds", "cpu")}
            for each in ("own_mb", "rss_mb", "elsewhere"):
                entry[side][each] = max(turn[each] for turn in turns)
            entry[side] |= turns[-1]["figures"]
        if {LOCAL, AGAINST} <= set(taken):
            ours, theirs = (taken[side][-1]["files"] for side in (LOCAL, AGAINST))
            if ours:
                entry[AGAINST]["same files"] = sum(ours[name] == theirs.get(name) for name in ours)
        self.cases[key] = {**entry, "commit": commit(ROOT), "processor": processor()}
        if AGAINST in sides and self.against:
            self.cases[key]["against_commit"] = commit(self.against)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(self.known, indent=1, ensure_ascii=False) + "\n")
        part.replace(self.file)
        print(f"{key}: {', '.join(f'{s} {shown(entry.get(s))}' for s in SIDES if s in entry)}",
              flush=True)  # fmt: skip

    @staticmethod
    def _turns(taken: dict[str, list[dict[str, Any]]]) -> int:
        """Return how often each side is run: thrice what is short, once what is alone."""
        longest = max((turn["seconds"] for turns in taken.values() for turn in turns), default=0)
        return 3 if longest <= SHORT else 2 if len(taken) > 1 else 1

    def _sides(self, case: Case) -> list[str]:
        sides = [LOCAL]
        sides += [WORKERS] * case.workers + [RAY] * (case.workers and ray_is_there())
        sides += [PEER] * bool(case.peer)
        ours_alone = "tests.benchmarks" not in case.line
        return sides + [AGAINST] * bool(self.against and ours_alone)

    def _once(self, case: Case, side: str, rows: int) -> dict[str, Any]:
        """Run a side once; return what it took and what it printed of figures."""
        work = self.folder / side.replace(" ", "_")
        cache = work / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        for entry in work.iterdir():
            if entry != cache:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for entry in cache.iterdir():
            if entry.name not in KEPT or (case.cold and entry.name == "rows"):
                shutil.rmtree(entry)
        if not (cache / "models").exists():
            (cache / "models").symlink_to(cache_dir() / "models")
        checkout = self.against if side == AGAINST and self.against else ROOT
        python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
        environment = {**os.environ, "CURATRAIN_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        environment["PYTHONPATH"] = str(checkout)
        lines = [case.peer] if side == PEER else [*case.before, case.line]
        if side == AGAINST:  # which has no such children
            lines = [line for line in lines if "tests.benchmarks" not in line]
        lines[-1] += {WORKERS: " --workers 2", RAY: " --engine ray --workers 2"}.get(side, "")
        out = self.folder / "out.txt"
        for line in lines:
            argv = [python, *self._argv(line, rows)]
            with out.open("wb") as stream:
                limit = self.limit if line is lines[-1] else math.inf
                usage = measured(argv, limit, cwd=work, env=environment, stdout=stream,
                                 stderr=subprocess.STDOUT)  # fmt: skip
            said = out.read_text(errors="replace")
            if usage.code:
                raise ChildProcessError(f"{line} ended with {usage.code}:\n{said[-2000:]}")
        own = said.rstrip().rpartition("\n")[2] if "tests.benchmarks.children" in lines[-1] else ""
        files = {
            path.name: sha256_of(path)
            for path in sorted((work / "data").glob("*.json*"))
            if not path.name.endswith("manifest.json")
        }
        figures = json.loads(own) if own.startswith("{") else {}
        return {**asdict(usage), "figures": figures, "files": files}

    def _argv(self, line: str, rows: int) -> list[str]:
        argv = []
        for word in line.split(" "):
            if word == "READ":
                argv += ["-c", _READ]
            else:
                argv.append(str(self._file(word[1:-1], rows)) if word.startswith("{") else word)
        return argv

    def _file(self, kind: str, rows: int) -> Path:
        """Return a file of rows, made if need be; of the domain's a fifth of the general's."""
        if kind == "encoder":
            path = self.folder / kind
            if not path.is_dir():
                argv = [sys.executable, *child(f"make_encoder {path}").split(" ")]
                subprocess.run(argv, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            return path
        path = self.folder / f"{kind}{rows}{'.npy' if kind == 'points' else '.jsonl'}"
        if not path.is_file():
            made_rows.write(kind, path, max(1, rows // 5) if kind == "domain" else rows)
        return path


def commit(checkout: Path) -> str:
    argv = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def processor() -> str:
    """Return the processor's name and the cores."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"


def ray_is_there() -> bool:
    try:
        return bool(importlib.util.find_spec("ray")) and bool(EngineParams(engine="ray"))
    except UsageError:
        return False


def shown(taken: dict[str, Any] | None) -> str:
    if not taken:
        return ""
    if "needed" in taken:
        return f"> {taken['needed']:,.0f} s"
    seconds = median(taken["seconds"])
    return f"{seconds:,.2f} s" if seconds < 100 else f"{seconds:,.0f} s"


def ratio(entry: dict[str, Any], side: str) -> str:
    """Return how many times as long a side took as ours, the median of the turns.

    Where other programs were at work the ratio is that of CPU seconds, and says so.
    """
    ours, other = entry[LOCAL], entry.get(side, {})
    if "seconds" not in ours or "seconds" not in other:
        return ""
    # What Ray's actors compute is no child's of ours, and not in its CPU seconds.
    busy = side != RAY and max(ours["elsewhere"], other["elsewhere"]) > BUSY
    measure = "cpu" if busy else "seconds"
    ratios = [theirs / own for theirs, own in zip(other[measure], ours[measure], strict=False)]
    return f" ({median(ratios):.2f} x{', CPU' * busy})"


def exponent(cases: dict[str, Any], name: str, rows: int) -> str:
    """Return by which power of the rows the time grows from the size before, without the start."""
    sizes = sorted(
        size
        for key, entry in cases.items()
        for title, size in [(key.rpartition(", ")[0], int(key.rpartition(", ")[2]))]
        if title == name and "seconds" in entry.get(LOCAL, {})
    )
    if rows not in sizes or sizes.index(rows) < 2:
        return ""
    before = sizes[sizes.index(rows) - 1]
    three = [cases[f"{name}, {size}"][LOCAL] for size in (sizes[0], before, rows)]
    busy = max(each["elsewhere"] for each in three) > BUSY
    start, less, more = (median(each["cpu" if busy else "seconds"]) for each in three)
    if less - start < 0.2:
        return ""
    power = math.log((more - start) / (less - start)) / math.log(rows / before)
    return f"{power:.2f}{' (CPU)' * busy}"


def table(cases: dict[str, Any]) -> str:
    """Return one line a case and size."""
    head = ("case", "rows", "seconds", "CPU s", "own MB", "RSS MB", "exponent", WORKERS, RAY,
            PEER, "peer's own MB", AGAINST, "figures")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key in sorted(cases, key=lambda k: (list(CASES).index(k.rpartition(", ")[0]),
                                            int(k.rpartition(", ")[2]))):  # fmt: skip
        name, _, rows = key.rpartition(", ")
        entry, ours = cases[key], cases[key][LOCAL]
        others = {s: f"{shown(entry.get(s))}{ratio(entry, s)}" for s in SIDES[1:]}
        usual = {"seconds", "cpu", "own_mb", "rss_mb", "elsewhere", "needed"}
        figures = (f"{side}: {figure} {value:,.4g}"
                   for side in SIDES for figure, value in entry.get(side, {}).items()
                   if figure not in usual
                   and (side == LOCAL or ours.get(figure) != value))  # fmt: skip
        cells = (name, f"{int(rows):,}", shown(ours), f"{median(ours.get('cpu', [0])):,.1f}",
                 f"{ours.get('own_mb', 0):,}", f"{ours.get('rss_mb', 0):,}",
                 exponent(cases, name, int(rows)), others[WORKERS], others[RAY], others[PEER],
                 str(entry.get(PEER, {}).get("own_mb", "")), others[AGAINST],
                 "; ".join(figures))  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME",
                        help=", ".join(CASES))  # fmt: skip
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--against", type=Path, help="a checkout with an environment")
    parser.add_argument("--output", type=Path, default=Path("benchmarks.json"))
    parser.add_argument("--limit", type=float, default=600, help="seconds of a run")
    parser.add_argument("--turns", type=int, default=0,
                        help="of every side; default: three where they are short, else two, and "
                             "one of what has nothing beside it")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's")
    parser.add_argument("--table", action="store_true", help="print what the file has, run nothing")
    options = parser.parse_args()
    failed: list[str] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        against = options.against and options.against.resolve()
        bench = Bench(Path(folder), options.output.resolve(), options.limit, options.turns, against)
        for name in [] if options.table else options.only:
            sizes = sorted({CASES[name].first, *CASES[name].sizes, *options.rows})
            for smaller, rows in zip([None, *sizes], sizes, strict=False):
                try:
                    bench.run(name, rows, smaller)
                except ChildProcessError as error:
                    failed.append(f"{name}, {rows}: {error}")
                    print(failed[-1], flush=True)
                    break  # the larger ones of the case
    print(table(bench.cases))
    sys.exit("\n".join(failed) or 0)


if __name__ == "__main__":
    main()
