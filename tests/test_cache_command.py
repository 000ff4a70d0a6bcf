"""`curate cache`: what can be made again goes, what took hours or money stays."""

import json
import os
import time
from pathlib import Path

import pytest

from curate.engine.journal import open_journal
from tests.calling import Caller
from tests.conftest import SAMPLE


@pytest.fixture
def call(capsys):
    return Caller(capsys)


def journal(folder, name, planned, done):
    with open_journal(folder, name, "this CPU", planned) as opened:
        for number in range(done):
            opened.append(number, b"scores")
    return folder / f"{name}.sqlite"


def test_clearing_leaves_models_answers_and_unfinished_journals(call, scratch_cache):
    call("show", SAMPLE)
    kept = [
        scratch_cache / part / "file" for part in ("models", "environments", "answers", "unknown")
    ]
    for file in kept:
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 2000)
    finished = journal(scratch_cache / "journals", "a" * 32, planned=2, done=2)
    unfinished = journal(scratch_cache / "journals", "b" * 32, planned=3, done=2)
    answer = call("cache", "--json")
    parts = {part["name"]: part for part in json.loads(answer.out)["parts"]}
    assert parts["rows"]["size"] > 0
    assert parts["models"] == {
        "name": "models",
        "about": parts["models"]["about"],
        "files": 1,
        "size": 2000,
    }
    assert {*finished.parent.iterdir()} == {finished, unfinished}

    ended = finished.stat().st_size
    freed = json.loads(call("cache", "--clear", "--json").out)["freed"]
    assert freed == parts["rows"]["size"] + ended
    assert all(file.exists() for file in (*kept, unfinished))
    assert not finished.exists()
    assert not list((scratch_cache / "rows").iterdir())
    assert call("show", SAMPLE).code == 0  # read again


def test_scratch_of_a_run_that_may_still_go_on_stays(call, scratch_cache):
    file = scratch_cache / "scratch" / "run" / "tokens"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    call("cache", "--clear")
    assert file.exists()


def test_what_another_command_deletes_meanwhile_is_no_error(call, scratch_cache, monkeypatch):
    folder = scratch_cache / "embeddings"
    folder.mkdir(parents=True)
    (folder / "there").write_bytes(b"x" * 7)
    plain = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda at, what: [*plain(at, what), at / "gone"])
    (part,) = json.loads(call("cache", "--json").out)["parts"]
    assert (part["files"], part["size"]) == (1, 7)
    assert json.loads(call("cache", "--clear", "--json").out)["freed"] == 7


def test_what_a_killed_run_left_goes_with_its_journal(call, scratch_cache):
    path = journal(scratch_cache / "journals", "a" * 32, planned=2, done=2)
    log = path.with_name(f"{path.name}-shm")
    log.write_bytes(b"")
    call("cache", "--clear")
    assert not path.exists()
    assert not log.exists()


def test_files_of_a_clock_that_is_ahead_are_told_and_go(call, scratch_cache):
    """Of another machine, in a folder that several share."""
    file = scratch_cache / "embeddings" / "ahead"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 7)
    os.utime(file, (time.time() + 600,) * 2)
    assert [part["size"] for part in json.loads(call("cache", "--json").out)["parts"]] == [7]
    assert json.loads(call("cache", "--clear", "--json").out)["freed"] == 7


def test_an_empty_cache_is_no_error(call, scratch_cache):
    answer = call("cache", "--clear")
    assert answer.code == 0
    assert "0 deleted" in answer.err
