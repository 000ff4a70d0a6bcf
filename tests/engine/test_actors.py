"""Workers as Ray actors: the same bytes as here, whoever dies, and every refusal in one line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import psutil
import pytest

from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.errors import CuratrainError, ModelError, OutputError, UsageError
from curate.parameters.engine import EngineParams
from tests.conftest import ROOT
from tests.engine.test_local import done
from tests.engine.test_workers import EXPECTED, few, scored_with
from tests.engine.workers import computed_by, squaring

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Workers on a cluster of this machine alone, started once for the module."""
    home = tmp_path_factory.mktemp("home")
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HOME", str(home))
        patch.setenv("PYTHONPATH", str(ROOT))
        before = dict(os.environ), signal.getsignal(signal.SIGTERM)
        params = EngineParams(engine="ray", workers=2)
        with closing(Crews(params, kept=True, say=said.append)) as crews:
            with crews._opened(0, 0):
                assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
            yield crews, home, said


@pytest.fixture
def engine(cluster, tmp_path):
    said = []
    return LocalEngine(tmp_path / "j", say=said.append, crews=cluster[0]), said


def test_two_actors_compute_all(engine, cluster, tmp_path):
    engine, said = engine
    work = squaring(tmp_path / "w", 200, together=2)
    assert engine.run(work, 200).tolist() == [n**2 for n in range(200)]
    assert said == ["50 batches computed by 2 workers"]
    assert len(computed_by(tmp_path / "w")) == 2
    assert [*cluster[1].rglob("*")] == [], "nothing is written into the home folder"


def test_it_listens_on_this_machine_alone_or_says_so(cluster):
    import ray

    where = ray.util.get_node_ip_address()
    assert where == "127.0.0.1" or any(where in line for line in cluster[2])


def test_an_actor_that_is_killed_is_replaced_and_no_number_is_lost(engine, tmp_path):
    engine, said = engine
    assert engine.run(squaring(tmp_path / "w", broken="once 30"), 60).tolist() == EXPECTED
    assert said[0].startswith("a worker has ended (")


def test_all_actors_killed_at_once_are_replaced(engine, tmp_path):
    engine, said = engine

    def kill():
        limit = time.monotonic() + 60
        while len(pids := computed_by(tmp_path / "w")) < 2 and time.monotonic() < limit:
            time.sleep(0.01)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    work = squaring(tmp_path / "w", 800, together=2)
    killing = threading.Thread(target=kill)
    killing.start()
    assert engine.run(work, 800).tolist() == [n**2 for n in range(800)]
    killing.join()
    assert sum(line.startswith("a worker has ended (") for line in said) == 2
    assert len(computed_by(tmp_path / "w")) == 4


def test_a_worker_of_another_release_is_refused_by_name(engine, tmp_path, monkeypatch):
    from curate.engine import actors

    monkeypatch.setattr(actors, "version", lambda _: "99.0")
    message = rf"^{socket.gethostname()} has curatrain \d.*starts its workers has 99.0: install"
    with pytest.raises(ModelError, match=message):
        engine[0].run(squaring(tmp_path / "w"), 60)


def test_a_batch_that_kills_its_worker_three_times_names_its_rows(engine, tmp_path):
    with pytest.raises(OutputError, match="worker 3 times .*rows row28, row29, row30, row31"):
        engine[0].run(squaring(tmp_path / "w", broken="at 30"), 60)
    assert engine[0].run(squaring(tmp_path / "w"), 60).tolist() == EXPECTED


def test_errors_of_an_actor_are_raised_here_as_they_were(engine, tmp_path):
    with pytest.raises(ModelError, match="^model 'squaring' is not here$"):
        engine[0].run(squaring(tmp_path / "w", broken="nowhere"), 60)


def test_device_and_machine_are_asked_of_a_worker(engine, tmp_path):
    model = engine[0].load(squaring(tmp_path / "w").model)
    assert "torch" in engine[0].crews.machine(model)


def test_more_workers_than_there_is_room_for(engine, cluster, monkeypatch):
    from curate.engine import actors

    ray = cluster[0]._crew._ray
    said = []
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert actors._room(ray, EngineParams(engine="ray", workers=64), said.append) == (2, 0.0)
    assert said == ["the cluster has room for 2 of 64 workers: 2 CPUs and 0 GPUs"]
    with pytest.raises(UsageError, match="--gpus-per-worker 1: the cluster has 2 CPUs and 0 GPUs"):
        actors._room(ray, EngineParams(engine="ray", gpus_per_worker=1), said.append)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 96.0, "GPU": 8.0})
    assert actors._room(ray, EngineParams(engine="ray"), said.append) == (8, 1.0)
    assert actors._room(ray, EngineParams(engine="ray", gpus_per_worker=0.5), said.append)[0] == 16


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", "--address 127.0.0.1:9: no cluster answers there .*Connection refused"),
        ("ray://127.0.0.1:10001", "allowed is HOST:PORT"),
        ("here", "--address here: allowed is HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is(address, message):
    began = time.monotonic()
    crews = Crews(EngineParams(engine="ray", address=address))
    with pytest.raises(CuratrainError, match=message), crews._opened(0, 0):
        pass
    assert time.monotonic() - began < 15


SCRIPT = """
import sys
from pathlib import Path
from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.parameters.engine import EngineParams
from tests.engine.workers import squaring
folder = Path(sys.argv[1])
crews = Crews(EngineParams(engine="ray", workers=2), kept=True)
LocalEngine(folder / "j", say=print, crews=crews).run(squaring(folder / "w", 4000), 1)
"""


@pytest.mark.long
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_cluster_ends_with_the_driver_and_the_next_goes_on(tmp_path, by):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CURATRAIN_CACHE": str(tmp_path)}
    line = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL) as script:
        limit = time.monotonic() + 200
        log = tmp_path / "j"  # the journal has a write-ahead log: a page or two a batch
        while not (log.is_dir() and sum(f.stat().st_size for f in log.rglob("*-wal")) > 100_000):
            assert time.monotonic() < limit
            assert script.poll() is None
            time.sleep(0.02)
        assert len(computed_by(tmp_path / "w")) == 2
        started = psutil.Process(script.pid).children(recursive=True)
        script.send_signal(by)
    assert script.returncode in (-by, 1)
    assert len(started) > 5
    assert psutil.wait_procs(started, timeout=120)[1] == []
    computed = done(tmp_path / "j")
    assert 0 < computed < 1000
    again = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert f"{1000 - computed} batches computed by 2 workers" in again.stdout


@pytest.mark.long
def test_a_node_that_is_killed_is_done_without(tmp_path):
    """In a network of its own where that is allowed: nodes listen on every interface."""
    alone = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', ""]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []
    (tmp_path / "w").mkdir()
    run = subprocess.run(
        [*alone, sys.executable, "-m", "tests.engine.two_nodes", str(tmp_path)],
        env={**os.environ, "HOME": str(tmp_path / "home")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "a worker has ended (" in run.stdout
    assert re.search("500 batches computed by [12] worker", run.stdout)
    assert "Authentication token is missing or incorrect" in run.stdout.splitlines()[-1]
    assert not (tmp_path / "home").exists()


@pytest.mark.model
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_thousand_rows_by_two_actors_give_the_bytes_of_one_process(tmp_path):
    rows = few(250, 20)
    rows = [{**row, "output": f"{row['output']} ({n})"} for n in range(8) for row in rows]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    alone, _ = scored_with(tmp_path / "alone", "ifd --keep 10%")
    several, said = scored_with(tmp_path / "several", "ifd --keep 10%", "--engine", "ray")
    assert several == alone
    assert f"batches computed by {os.cpu_count()} workers" in said


@pytest.mark.model
def test_sixty_rows_by_two_actors_give_the_bytes_of_one_process(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps(few(60)))
    alone, _ = scored_with(tmp_path / "alone", "ifd --keep 10%")
    how = ("--engine", "ray", "--workers", "2")
    several, said = scored_with(tmp_path / "several", "ifd --keep 10%", *how, together=True)
    assert several == alone
    assert "batches computed by 2 workers" in said
