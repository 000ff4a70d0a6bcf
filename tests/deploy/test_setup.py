"""`deploy setup`: what would be run, what is there, what it is not called."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from curate.system import environments
from curate.system.environments import Environment
from deploy.cli import app
from deploy.quantizing import gptq
from tests.calling import Caller

EMPTY = Environment("empty", "nothing", (("--no-index", "pip"),), ("pip",), gigabytes=0.01)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path))
    return Caller(capsys, app, "deploy")


@pytest.mark.parametrize("name", ["vllm", "gptq", "eval"])
def test_a_dry_run_prints_commands_and_runs_none(call, tmp_path, name):
    answer = call("setup", name, "--dry-run")
    assert answer.code == 0
    lines = [shlex.split(line) for line in answer.out.splitlines()]
    assert lines[0][0] == "#"
    assert any("install" in line and any(name in each for each in line) for line in lines)
    assert not list(tmp_path.iterdir())


def test_built_once_and_then_said_to_be_there(call, monkeypatch, tmp_path):
    monkeypatch.setattr(gptq, "environment", lambda: EMPTY)
    answer = call("setup", "gptq", "--json")
    assert json.loads(answer.out) == {
        "name": "gptq",
        "folder": str(environments.folder(EMPTY)),
        "built": True,
        "new": True,
    }
    assert "checking that pip can be imported" in answer.err
    again = call("setup", "gptq", "--json")
    assert "is built already" in again.err
    assert json.loads(again.out)["new"] is False


def test_too_little_room_is_told(call, monkeypatch):
    large = Environment("large", "nothing", (), (), gigabytes=1e9)
    monkeypatch.setattr(gptq, "environment", lambda: large)
    call.refused("takes about 1000000000.0 GB.*Make room", "setup", "gptq")


def test_what_it_is_not_called(call):
    call.refused("Did you mean 'vllm'. Allowed are vllm, gptq", "setup", "vlm")
    call.refused("Missing argument", "setup")


def test_help_is_there_by_both_names(call):
    for words in (("-h",), ("eval", "-h"), ("chat", "-h")):
        answer = call(*words)
        assert answer.code == 0
        assert answer.out == call(*words[:-1], "--help").out
