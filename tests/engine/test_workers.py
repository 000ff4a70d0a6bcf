"""Several workers: the same bytes as one, whoever dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.errors import ModelError, OutputError, UsageError
from curate.parameters.engine import EngineParams
from tests.calling import share_models
from tests.conftest import ROOT
from tests.engine.test_local import Watch, done
from tests.engine.workers import computed_by, squaring

EXPECTED = [float(each**2) for each in range(60)]


@pytest.fixture
def engine(tmp_path):
    said = []
    engine = LocalEngine(tmp_path / "j", Watch(), said.append, Crews(EngineParams(workers=2)))
    engine.progress.heard = said
    return engine, said


def test_two_processes_compute_all_and_end(engine, tmp_path):
    engine, said = engine
    assert engine.run(squaring(tmp_path / "w", slots=3, together=2), 60).tolist() == EXPECTED
    pids = computed_by(tmp_path / "w")
    assert len(pids) == 2
    assert said == ["15 batches computed by 2 workers"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert done(tmp_path / "j") == 15


def test_workers_that_are_kept_load_the_next_model(tmp_path):
    crews = Crews(EngineParams(workers=2), kept=True)
    engine = LocalEngine(tmp_path / "j", crews=crews)
    for name in ("a", "b"):
        assert engine.run(squaring(tmp_path / name, items=40 + len(name)), 41).tolist()
        engine.forget(squaring(tmp_path / name, items=40 + len(name)))
    pids = {*computed_by(tmp_path / "a"), *computed_by(tmp_path / "b")}
    assert len(pids) == 2
    crews.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_worker_that_is_killed_is_replaced_and_no_number_is_lost(engine, tmp_path):
    engine, said = engine
    assert engine.run(squaring(tmp_path / "w", broken="once 30"), 60).tolist() == EXPECTED
    assert said[0].startswith("a worker has ended (SIGKILL); ")
    assert re.fullmatch("15 batches computed by [23] workers", said[-1])


def test_a_batch_that_kills_its_worker_three_times_names_its_rows(engine, tmp_path):
    engine, said = engine
    with pytest.raises(OutputError) as ended:
        engine.run(squaring(tmp_path / "w", broken="at 30"), 60)
    assert "ended its worker 3 times (SIGKILL): that of rows row28, row29, row30, row31." in str(
        ended.value
    )
    assert len(said) == 2
    assert done(tmp_path / "j") >= 7, "what came before it is kept"
    assert engine.run(squaring(tmp_path / "w"), 60).tolist() == EXPECTED


def test_workers_that_cannot_load_the_model_end_the_run(engine, tmp_path):
    with pytest.raises(OutputError, match="8 workers have ended"):
        engine[0].run(squaring(tmp_path / "w", broken="load"), 60)


def test_errors_of_a_worker_are_raised_here(engine, tmp_path):
    with pytest.raises(ModelError, match="model 'squaring' is not here"):
        engine[0].run(squaring(tmp_path / "w", broken="nowhere"), 60)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by the test"):
        engine[0].run(squaring(tmp_path / "w", broken="error 3"), 60)


def test_what_a_server_has_is_asked_from_here(engine, tmp_path):
    engine, said = engine
    assert engine.run(squaring(tmp_path / "w", machine=""), 60).tolist() == EXPECTED
    assert (computed_by(tmp_path / "w"), said) == ([], [])


@pytest.mark.parametrize(
    ("gpus", "params", "expected"),
    [
        (8, {}, (8, 8)),
        (8, {"gpus": 3}, (3, 3)),
        (8, {"workers": 16}, (16, 8)),
        (1, {}, (None, 0)),
        (1, {"workers": 2}, (2, 1)),
    ],
)
def test_each_gpu_has_a_process(gpus, params, expected, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    model = squaring(tmp_path / "w", machine="cuda").model
    assert Crews(EngineParams(**params))._size(model) == expected
    with pytest.raises(UsageError, match=f"--gpus 9: this machine has {gpus}"):
        Crews(EngineParams(gpus=9))._size(model)
    here = squaring(tmp_path / "c").model  # on the CPU, as the bundled encoder always is
    for asked in (None, gpus):
        assert Crews(EngineParams(gpus=asked))._size(here) == (None, 0)
        assert Crews(EngineParams(workers=2, gpus=asked))._size(here) == (2, 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="--gpus 1: this machine has 0"):
        Crews(EngineParams(gpus=1))._size(here)


def test_workers_without_a_gpu_are_not_kept_for_a_model_that_has_one():
    with closing(Crews(EngineParams(workers=2), kept=True)) as crews:
        with crews._opened(2, 0) as first, crews._opened(2, 0) as same:
            assert same is first
        with crews._opened(2, 2) as other, crews._opened(2, 0) as kept:
            assert other is not first
            assert (kept, other.gpus) == (other, 2)


@pytest.fixture
def started(monkeypatch):
    """Return the environments of processes, which are not started."""
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda line, **how: started.append(how["env"]))
    return started


def test_threads_of_workers_do_not_take_each_others_cores(started, tmp_path, monkeypatch):
    from curate.engine.crew import Processes

    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("curate.engine.crew.cores", lambda: 8)
    Processes(2).begin(squaring(tmp_path / "w"))
    assert {(e["OMP_NUM_THREADS"], e["OMP_WAIT_POLICY"]) for e in started} == {("4", "PASSIVE")}


def test_a_gpu_for_each_process_out_of_those_that_are_visible(started, tmp_path, monkeypatch):
    from curate.engine.crew import Processes

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    Processes(3, 2).begin(squaring(tmp_path / "w"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    Processes(3, 2).begin(squaring(tmp_path / "w"))
    own = [environment["CUDA_VISIBLE_DEVICES"] for environment in started]
    assert own == ["4", "6", "4", "0", "1", "0"]


SCRIPT = """
import sys
from pathlib import Path
from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.parameters.engine import EngineParams
from tests.engine.workers import squaring
crews = Crews(EngineParams(workers=2))
LocalEngine(Path(sys.argv[1]) / "j", crews=crews).run(squaring(Path(sys.argv[1]) / "w", 4000), 1)
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_whoever_started_them(tmp_path, by):
    """A plain script, without a guard; what it had done stays."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, stderr=subprocess.PIPE
    ) as script:
        limit = time.monotonic() + 100
        while not (tmp_path / "w").is_dir() or len(computed_by(tmp_path / "w")) < 2:
            assert time.monotonic() < limit
            assert script.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
        script.send_signal(by)
        script.communicate(timeout=30)
    pids = [pid for pid in computed_by(tmp_path / "w") if pid != script.pid]
    limit = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids):
        assert time.monotonic() < limit, "a worker goes on alone"
        time.sleep(0.05)
    assert done(tmp_path / "j") > 0


# The real model


def few(size: int, shortest: int = 5) -> list[dict[str, str]]:
    """Return rows of the sample of middling length, without so many that are shorter."""
    values = json.loads((ROOT / "mixtures" / "samples" / "alpaca_en.json").read_text())
    by_length = sorted(range(len(values)), key=lambda each: len(json.dumps(values[each])))
    return [values[each] for each in sorted(by_length[shortest : shortest + size])]


def scored_with(
    folder: Path, command: str, *how: str, together: bool = False
) -> tuple[dict[str, bytes], str]:
    """Return the files of a command over rows.json in a cache of its own, and what it said."""
    folder.mkdir()
    start = ["-m", "curate"]
    if together:
        start = [
            "-c",
            "from tests.engine import workers; workers.curate_together()",
            str(folder / "w"),
        ]
    line = [sys.executable, *start, *command.split(), "--input", "rows.json", *how]
    cache = str(share_models(folder / "cache"))
    environment = {**os.environ, "CURATRAIN_CACHE": cache, "PYTHONPATH": str(ROOT)}
    output = folder / "data"
    run = subprocess.run(
        [*line, "--output", str(output)],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    files = {path.name: path.read_bytes() for path in output.iterdir() if path.suffix != ".lock"}
    for name in [name for name in files if name.endswith("manifest.json")]:
        manifest = json.loads(files[name])
        del manifest["wall_seconds"]
        files[name] = json.dumps(manifest).encode()
    return files, run.stderr


@pytest.mark.model
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("command", "by"),
    # The encoder takes 60 short rows as one batch.
    [("ifd --keep 10%", "batches computed by 2 workers"), ("car --top 5", "1 batch computed by")],
    ids=["ifd", "car"],
)
def test_two_workers_give_the_bytes_of_one_process(command, by, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(few(60)))
    alone, _ = scored_with(tmp_path / "alone", command)
    together = command.startswith("ifd")
    how = ("--workers", "2")
    several, said = scored_with(tmp_path / "several", command, *how, together=together)
    assert several == alone
    assert by in said
