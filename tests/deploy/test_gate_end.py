"""How a server ends, and when it does not even start."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.deploy.serving import FAKE, alive, log, serving, until


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_answer_on_its_way_is_finished_before_the_end(tmp_path, how):
    arguments = ["good", tmp_path, "--stop-timeout", "12"]
    with serving(FAKE, *arguments, folder=tmp_path, CURATRAIN_CACHE=str(tmp_path)) as found:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(found.chat("slow 4")))
        asking.start()
        until(lambda: "slow 4" in log(found))
        started = found.group()
        found.stop(how)
        asking.join()
        assert answers[0].said == "echo slow 4"
        assert found.process.returncode == 0
        assert not alive(started)


@pytest.mark.parametrize("question", ["long", "slow 60"])
def test_what_takes_too_long_is_cut_off_in_time(tmp_path, question):
    arguments = ["stubborn", tmp_path, "--stop-timeout", "3"]
    with serving(FAKE, *arguments, folder=tmp_path, CURATRAIN_CACHE=str(tmp_path)) as found:
        connection = found.connect()
        body = {"messages": [{"role": "user", "content": question}], "stream": question == "long"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body),
                           {"Content-Type": "application/json"})  # fmt: skip
        until(lambda: f'"{question}"' in log(found))
        started = found.group()
        assert len(started) >= 2  # the engine, and what that has started
        assert found.stop() < 3 + 3
        assert not alive(started)
        connection.close()


def test_a_second_signal_ends_it_at_once(tmp_path):
    arguments = ["stubborn", tmp_path, "--stop-timeout", "60"]
    with serving(FAKE, *arguments, folder=tmp_path, CURATRAIN_CACHE=str(tmp_path)) as found:
        started = found.group()
        found.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert found.stop(signal.SIGINT) < 5
        assert not alive(started)


def test_killed_outright_it_takes_the_engine_along(tmp_path):
    own = {"CURATRAIN_CACHE": str(tmp_path), "TMPDIR": str(tmp_path)}  # nobody is left to tidy up
    with serving(FAKE, "good", tmp_path, folder=tmp_path, **own) as found:
        started = found.group()
        found.stop(signal.SIGKILL)
        until(lambda: not alive(started))


def test_stopping_while_the_engine_loads(tmp_path):
    process = subprocess.Popen(
        [*FAKE, "loading", str(tmp_path), "--port", "0"],
        env={"CURATRAIN_CACHE": str(tmp_path), "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert "loads fake" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    process.stderr.close()


# What it refuses to do


def refused(tmp_path, *arguments, **variables):
    run = subprocess.run(
        [*FAKE, *map(str, arguments)],
        env={"CURATRAIN_CACHE": str(tmp_path), "PATH": "", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    (line,) = [each for each in run.stderr.splitlines() if each.startswith("error:")]
    return line


def test_an_engine_that_answers_nonsense_is_not_let_loose(tmp_path):
    line = refused(tmp_path, "nonsense", tmp_path)
    assert "transformers itself says 'The capital of France is Paris.'" in line
    assert "the engine says 'echo What is the capital of France?'" in line


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("memory", "out of memory .*Tried to allocate 20.00 GiB.*--max-length"),
        ("killed", "out of memory .*it was killed"),
        ("broken", "ValueError: this checkpoint is of no known kind"),
    ],
)
def test_an_engine_that_cannot_load_says_why_in_one_line(tmp_path, behaviour, why):
    assert re.search(why, refused(tmp_path, behaviour, tmp_path))


def test_a_port_in_use_is_told_before_anything_is_loaded(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "loading", tmp_path, "--port", port)
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use; give" in line
    assert "--port" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "no-such-host.invalid", ""])
def test_other_addresses_want_a_key(tmp_path, host):
    line = refused(tmp_path, "good", tmp_path, "--host", host)
    assert "no key" in line or "no address" in line
