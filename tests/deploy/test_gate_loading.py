"""What the gate says while the model loads, and that it listens before anything slow is done."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.engines.hf import free_port
from tests.deploy.serving import FAKE, Server, alive, until

KEY = "a-key-that-is-long-enough-for-tests"


@pytest.fixture
def loading(tmp_path: Path) -> Iterator[Server]:
    """A server whose comparison with transformers does not end until a file is taken away."""
    (tmp_path / "wait").touch()
    port, err = free_port(), tmp_path / "server.err"
    with err.open("w") as stream:
        process = subprocess.Popen(
            [*FAKE, "good", str(tmp_path), "--port", str(port), "--key-env", "SERVE_KEY"],
            stdout=subprocess.DEVNULL,
            stderr=stream,
            text=True,
            env={**os.environ, "CURATRAIN_CACHE": str(tmp_path), "SERVE_KEY": KEY},
        )
    server = Server(process, f"http://127.0.0.1:{port}", err, ["fake"], KEY)
    until(lambda: listens(server), 30)
    started = server.group()
    yield server
    if process.poll() is None:
        process.kill()
        process.wait(10)
    until(lambda: not alive(started))


def listens(server: Server) -> bool:
    try:
        server.request("GET", "/health")
    except OSError:
        return False
    return True


def test_while_it_loads_everything_says_so_and_then_answers(loading, tmp_path):
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models")):
        early = loading.request(method, path, b'{"messages": []}' if method == "POST" else None)
        assert early.status == 503
        assert int(early.headers["Retry-After"]) > 0
        assert "load" in early.error
    health = loading.request("GET", "/health", Authorization="")
    assert (health.status, health.json) == (503, {"status": "loading"})
    # A stranger learns nothing while it loads, either.
    assert loading.request("GET", "/v1/models", Authorization="").status == 401
    (tmp_path / "wait").unlink()
    until(lambda: loading.request("GET", "/health").status == 200, 30)
    assert loading.request("GET", "/health", Authorization="").json == {"status": "ready"}
    assert loading.chat("hello").status == 200
    assert loading.stop() < 20
    assert loading.process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_before_the_engine_starts(loading, how):
    assert loading.group() == []
    assert loading.stop(how) < 10
    assert loading.process.returncode == 0
