"""Verbs against the bundled model behind `deploy serve`, from before it is ready on."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import closing, suppress

import pytest

from tests.deploy.serving import DEPLOY

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def loading(tmp_path_factory):
    """Start a server, and return its address as soon as it listens; the model is not there yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [*DEPLOY, "serve", "smollm2", "--engine", "hf", "--port", str(port)]
    log = (tmp_path_factory.mktemp("serve") / "log").open("w")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(line, stdout=log, stderr=log, env=environment)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def test_answers_of_a_server_that_was_not_ready(loading, curate, tmp_path):
    output = ("--output", tmp_path / "data", "--max-tokens", "24", "--timeout", "300", "--json")
    questions = tmp_path / "q.txt"
    texts = ["What is aspirin for?", "Name a fruit.", "What is the capital of France?"]
    questions.write_text("\n".join(texts))
    asked = ("distill", "answer", "--input", questions, "--model", loading, "--temperature", "0")
    told = curate(*asked, *output, "--flawed", "keep", "--concurrency", "2")
    assert told.code == 0, told.err
    said = json.loads(told.out)
    assert (said["read"], said["failed"], said["answers_kept"]) == (3, 0, 3)
    assert said["tokens"]["prompt_tokens"] > 60  # the template's own system prompt is among them
    assert "does not take seed" in told.err
    assert "does not take temperature" not in told.err
    assert "Paris" in (tmp_path / "data" / "q_answer.jsonl").read_text()
    dry = curate(*asked, *output, "--name", "dry", "--dry-run", "--tokenizer", "smollm2")
    share = json.loads(dry.out)["prompt_tokens"] / said["tokens"]["prompt_tokens"]
    assert 0.8 <= share <= 1.2


def answers_in(folder):
    """Count the answers of a ledger that another process holds: those of a copy."""
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    with suppress(FileNotFoundError, sqlite3.Error):
        for file in ("rows_answer.answers.db", "rows_answer.answers.db-wal"):
            shutil.copy(folder / file, copy / file)
        with closing(sqlite3.connect(copy / "rows_answer.answers.db")) as ledger:
            return ledger.execute("SELECT count(*) FROM answers").fetchone()[0]
    return 0


def test_a_kill_in_the_middle(loading, tmp_path):
    file = tmp_path / "rows.txt"
    countries = ("France", "Italy", "Spain", "Japan", "Egypt", "Cuba")
    file.write_text("".join(f"What is the capital of {country}?\n" for country in countries))
    line = ["distill", "answer", "--input", str(file), "--model", f"{loading}#smollm2"]
    line += [
        "--output",
        str(tmp_path),
        "--max-tokens",
        "16",
        "--concurrency",
        "1",
        "--flawed",
        "keep",
    ]
    program = [DEPLOY[0], "-m", "curate", *line, "--timeout", "300"]
    running = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while time.monotonic() < until and answers_in(tmp_path) < 2:
        time.sleep(0.05)
    running.kill()
    running.wait()
    done = subprocess.run([*program, "--json"], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["answers_kept"], said["failed"]) == (6, 0)
    assert said["asked"] <= 6 - 2 + 1  # one is refused for its seed, which is left out then
