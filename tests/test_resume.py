"""Killed, stopped, out of room: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from curate import cli
from curate.choices import emitting
from curate.engine import local
from curate.engine.journal import Journal
from tests.calling import Caller, share_models
from tests.conftest import ROOT, SAMPLE

pytestmark = pytest.mark.model
NAME = "middling_ifd"
SAME = ("dataset_info.json", f"{NAME}.jsonl", f"{NAME}.scores.parquet")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 rows of the sample of middling length, in its order."""
    values = json.loads(SAMPLE.read_text(encoding="utf-8"))
    by_length = sorted(range(len(values)), key=lambda each: len(json.dumps(values[each])))
    middling = [values[each] for each in sorted(by_length[15:75])]
    path = tmp_path_factory.mktemp("rows") / "middling.json"
    path.write_text(json.dumps(middling, ensure_ascii=False), encoding="utf-8")
    return path


class Run:
    """`curate ifd` in a process and a cache of its own."""

    def __init__(self, rows: Path, folder: Path) -> None:
        self.cache, self.output = share_models(folder / "cache"), folder / "data"
        self.command = [sys.executable, "-m", "curate", "ifd", "--input", str(rows)]
        self.command += ["--output", str(self.output), "--json"]
        self.environment = {**os.environ, "CURATRAIN_CACHE": str(self.cache)}

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def stop(self, moment: Callable[[], bool], by: signal.Signals) -> tuple[int, str]:
        """Start, send the signal as soon as the moment has come; return exit code and stderr."""
        with self.start() as process:
            limit = time.monotonic() + 200
            while not moment() and process.poll() is None:
                assert time.monotonic() < limit, "the moment never came"
                time.sleep(0.002)
            process.send_signal(by)
            _, said = process.communicate(timeout=60)
        return process.returncode, said

    def finish(self) -> dict[str, Any]:
        with self.start() as process:
            out, said = process.communicate(timeout=250)
        assert process.returncode == 0, said
        result: dict[str, Any] = json.loads(out.splitlines()[-1])
        return result

    def journal(self) -> dict[int, bytes]:
        return journal_in(self.cache)

    def manifest(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads((self.output / f"{NAME}.manifest.json").read_text())
        del made["wall_seconds"]
        return made


@pytest.fixture(scope="module")
def undisturbed(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(rows, tmp_path_factory.mktemp("undisturbed"))
    run.finish()
    return run


def journal_in(cache: Path) -> dict[int, bytes]:
    """Return the batches of the one journal, also while a run has it for itself: of a copy."""
    found = list(cache.glob("journals/*.sqlite"))
    assert len(found) <= 1
    with tempfile.TemporaryDirectory() as folder:
        for path in cache.glob("journals/*"):
            with suppress(FileNotFoundError):
                shutil.copy(path, folder)
        for path in Path(folder).glob("*.sqlite"):
            with closing(sqlite3.connect(path)) as journal, suppress(sqlite3.Error):
                return dict(journal.execute("SELECT number, data FROM batches"))
    return {}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_kills_and_a_ctrl_c_change_no_byte(
    rows: Path, undisturbed: Run, tmp_path: Path
) -> None:
    run = Run(rows, tmp_path)
    total = len(undisturbed.journal())
    assert total >= 7
    draw = random.Random(7)

    def tokenising() -> bool:
        return any(run.cache.glob("tokens/*.ids"))

    def some_batches_later() -> Callable[[], bool]:
        wanted, pause = len(run.journal()) + 1, draw.random() / 20
        return lambda: len(run.journal()) >= wanted and not time.sleep(pause)

    def stop(moment: Callable[[], bool], by: signal.Signals) -> tuple[int, str]:
        before = run.journal()
        code, said = run.stop(moment, by)
        # What was journalled before this start is there, byte for byte.
        assert before.items() <= run.journal().items()
        return code, said

    began = time.monotonic()
    early = draw.random()
    starting = stop(lambda: time.monotonic() > began + early, signal.SIGKILL)
    assert starting[0] == -signal.SIGKILL
    assert stop(tokenising, signal.SIGKILL)[0] == -signal.SIGKILL
    for _ in range(2):
        assert stop(some_batches_later(), signal.SIGKILL)[0] == -signal.SIGKILL
        assert 0 < len(run.journal()) < total
    code, said = stop(some_batches_later(), signal.SIGINT)
    assert code == 130
    assert "stopped; give the same command again and it goes on from here" in said
    assert "Traceback" not in said
    assert not any(run.output.glob(f"{NAME}*"))

    def emitting() -> bool:
        return any(run.output.glob(f".{NAME}.*.part")) or any(run.output.glob(f"{NAME}.*"))

    assert stop(emitting, signal.SIGKILL)[0] in (-signal.SIGKILL, 0)
    finished = run.finish()
    assert (finished["read"], finished["kept"]) == (60, 6)
    assert run.journal() == undisturbed.journal()
    for name in SAME:
        assert (run.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name
    assert run.manifest() == undisturbed.manifest()
    files = [sorted(each.name for each in made.output.iterdir()) for made in (run, undisturbed)]
    assert files[0] == files[1]


# All other recipes that score, killed by themselves once so many batches are journalled.


def watch(log: Path, kill_after: int | None = None) -> dict[str, Any]:
    """Return what to patch: small batches, each told in a log; 0 kills when files are written."""
    append, plan, write = Journal.append, local.plan_batches, emitting.write

    def told(journal: Journal, number: int, data: bytes) -> None:
        append(journal, number, data)
        with log.open("a") as out:
            out.write(f"{journal._path.name} {number} {hashlib.sha256(data).hexdigest()}\n")
        if kill_after and len(told_in(log)) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def small(lengths: Any, budget: int, kinds: Any = None) -> Any:
        return plan(lengths, min(budget, 4 * int(lengths.max(initial=1))), kinds)

    def written(*given: Any) -> Any:
        if kill_after == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*given)

    return {
        "curate.engine.journal.Journal.append": told,
        "curate.engine.local.plan_batches": small,
        "curate.choices.emitting.write": written,
    }


def told_in(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def killed(log: str, kill_after: str, *arguments: str) -> None:
    """Run a command in this process, which ends before the command does."""
    with pytest.MonkeyPatch.context() as patch:
        for name, instead in watch(Path(log), int(kill_after)).items():
            patch.setattr(name, instead)
        cli.app(arguments)


def few(kind: str) -> list[dict[str, str]]:
    values = json.loads((ROOT / "mixtures" / "samples" / "alpaca_en.json").read_text())
    short = sorted(values, key=lambda each: len(json.dumps(each)))[4:20]
    if kind == "answers":
        return [row | {"output": row["output"][at:]} for row in short[:8] for at in (0, 3)]
    if kind == "pairs":
        return [
            {"instruction": row["instruction"], "chosen": row["output"], "rejected": "No idea."}
            for row in short
        ]
    return short[:8] if kind == "3ds" else short


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("like", "select --recipe like --like ask.txt --keep 4"),
        ("rds", "select --recipe like --like ask.txt --model smollm2 --keep 4"),
        ("clusters", "select --recipe clusters --keep 4"),
        ("longest", "select --recipe longest --keep 4"),
        ("3ds", "select --recipe 3ds --between 0% 100% --keep 2 --max-new-tokens 4"),
        ("answers", "select --recipe answers"),
        ("pairs", "score --scorer pairs --model smollm2"),
    ],
    ids=lambda each: each.partition(" ")[0],
)
def test_nothing_is_scored_twice(
    kind: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.json").write_text(json.dumps(few(kind)))
    Path("ask.txt").write_text("What is a verb?\nWhere is the sea?\n")

    def run(folder: str) -> list[str]:
        log = tmp_path / folder / "log"
        log.unlink(missing_ok=True)
        monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / folder / "cache")))
        with monkeypatch.context() as patch:
            for name, instead in watch(log).items():
                patch.setattr(name, instead)
            answer = Caller(capsys)(*command.split(), "rows.json", "--output", f"{folder}/data")
        assert answer.code == 0, answer.err
        return told_in(log)

    whole = run("undisturbed")
    assert len(set(whole)) == len(whole)
    assert len(whole) > 3 or kind == "longest"
    cache, log = share_models(tmp_path / "resumed" / "cache"), tmp_path / "resumed" / "log"
    call = "import sys; from tests.test_resume import killed; killed(*sys.argv[1:])"
    line = [call, str(log), str(len(whole) // 2), *command.split(), "rows.json"]
    environment = {**os.environ, "CURATRAIN_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", *line, "--output", "resumed/data"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    before = told_in(log)
    assert len(before) == len(whole) // 2
    kept = [path for name in ("rows", "tokens", "embeddings") for path in cache.glob(f"{name}/*")]
    stamps = {path: path.stat().st_mtime_ns for path in kept if path.suffix != ".lock"}
    after = run("resumed")
    assert sorted([*before, *after]) == sorted(whole)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    files = [sorted(Path(folder, "data").iterdir()) for folder in ("undisturbed", "resumed")]
    for one, other in zip(*files, strict=True):
        assert one.name == other.name
        if not one.name.endswith(("manifest.json", ".lock")):
            assert one.read_bytes() == other.read_bytes(), one.name


# No room. A limit on the size of files stands for a disk that is full.


@contextmanager
def room_for(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Caller:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    # So short that their scores need more room than their tokens.
    values = [{"instruction": "a", "output": "b c"}] * 600
    Path("tiny.json").write_text(json.dumps(values))
    return Caller(capsys)


@pytest.mark.timeout(300)
def test_a_full_disk_loses_no_score(call: Caller, tmp_path: Path) -> None:
    command = ("ifd", "--input", "tiny.json", "--template", "none", "--keep-above-one")
    command += ("--keep", "100%")
    cache = tmp_path / "cache"
    from curate.data.read import read

    read("tiny.json")
    with room_for(30_000):
        call.refused(r"scores cannot be written .*disk.*What was scored stays", *command)
    first = journal_in(cache)
    assert call(*command).code == 0
    second = journal_in(cache)
    assert 0 < len(first) < len(second)
    assert first.items() <= second.items()
    shutil.rmtree("data")
    Path("data").mkdir()
    with room_for(20_000):
        call.refused(r"cannot write to data: File too large; make room, or give another", *command)
    assert [each.name for each in Path("data").iterdir() if each.suffix != ".lock"] == []
    assert journal_in(cache) == second
    assert call(*command).code == 0
    assert journal_in(cache) == second


def as_plain_user(command: list[str]) -> list[str]:
    """Let a command feel the permissions of files even if root runs it."""
    if os.geteuid():
        return command
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    gone = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={gone}", f"--inh-caps={gone}", *command]


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        ("data", "error: cannot write to data: Permission denied; make room, or give another"),
        ("cache", "error: rows cannot be written to .*: Permission denied.*CURATRAIN_CACHE"),
        ("cache/journals", "error: scores cannot be written to .*: Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_written(
    call: Caller, tmp_path: Path, closed: str, message: str
) -> None:
    if closed == "cache/journals":
        from curate.data.read import read

        read("tiny.json")
        (tmp_path / "cache" / "scratch").mkdir()
    folder = tmp_path / closed
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    command = [sys.executable, "-m", "curate", "ifd", "--input", "tiny.json"]
    try:
        run = subprocess.run(as_plain_user(command), capture_output=True, text=True, check=False)
    finally:
        folder.chmod(0o755)
    assert run.returncode == 2, run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("error:")]
    assert re.search(message, line), line
    assert "Traceback" not in run.stderr
