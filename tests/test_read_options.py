"""--format and --fill, and what a command says of what it read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.commands.options import Reading, inputs
from curate.errors import UsageError
from tests.calling import Caller

IDENTITY = [
    {"instruction": "hi", "input": "", "output": "I am {{name}}, made by {{author}}."},
    {"instruction": "你是谁", "input": "", "output": "我是{{name}}。"},
]


@pytest.fixture(autouse=True)
def cache(scratch_cache: Path) -> Path:
    return scratch_cache


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "identity.json"
    path.write_text(json.dumps(IDENTITY, ensure_ascii=False), encoding="utf-8")
    return path


def test_fill_takes_several_values(identity: Path) -> None:
    rows = Reading(input=[identity], fill=["name=小医", "author=我们"]).rows()
    assert [row.response for row in rows] == ["I am 小医, made by 我们.", "我是小医。"]


def test_files_stand_with_and_without_the_option() -> None:
    assert inputs([Path("a")], [Path("b")]) == [Path("a"), Path("b")]
    with pytest.raises(UsageError, match="no input"):
        inputs(None, None)


def test_slashes_in_a_text_stay(identity: Path) -> None:
    rows = Reading(input=[identity], fill=["name=https://x//y", "author=a/b"]).rows()
    assert rows[0].response == "I am https://x//y, made by a/b."


def test_a_command_says_what_it_read(identity: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Reading(input=[identity]).rows()
    said = capsys.readouterr().err
    assert "read identity.json as alpaca, JSON, UTF-8: 2 rows" in said
    assert "languages: en: 1, zh: 1" in said
    assert "responses a row: 1: 2" in said
    assert "repeat an earlier row: 0" in said
    assert "flaws: unfilled_placeholder: 2" in said
    assert "{{author}} in 1 row, {{name}} in 2 rows" in said
    assert "fill them in with --fill author=… name=…" in said
    Reading(input=[identity], fill=["name=[red]小医", "author=:smile:"]).rows()
    said = capsys.readouterr().err
    assert "flaws: none" in said
    assert "placeholder" not in said


def test_wrong_options_are_one_line(identity: Path, call: Caller) -> None:
    given = ("ifd", "--input", "identity.json")
    call.refused(
        r"--format alpca: no such format\. Did you mean 'alpaca'\?", *given, "--format", "alpca"
    )
    call.refused(r"not what --format says, qa \(question, answer\)", *given, "--format", "qa")
    call.refused(r"fill 'nam': .* author, name\. Did you mean 'name'\?", *given, "--fill", "nam=x")
    call.refused(r"--fill 'name': allowed is NAME=TEXT", *given, "--fill", "name")
    call.refused(r"two values, 'a' and 'b'", *given, "--fill", "name=a", "name=b")
    call.refused(r"--fill 'author': allowed is NAME=TEXT", *given, "--fill", "name=a", "author")


@pytest.mark.parametrize("command", ["ifd", "dedup", "car", "mods"])
def test_several_values_behind_one_fill_reach_the_rows(
    identity: Path, call: Caller, command: str
) -> None:
    given = ["--input", "identity.json"]
    wrong = r"fill 'athor': .* Did you mean 'author'"
    call.refused(wrong, command, *given, "--fill", "name=a", "athor=b")
    call.refused(wrong, command, "--fill", "name=a", "athor=b", *given)


def test_rows_that_fit_two_formats_ask_for_one(
    tmp_path: Path, call: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.json"
    path.write_text(json.dumps([{"question": "a", "answer": "b", "query": "c", "response": "d"}]))
    call.refused(r"read as qa and as query; say which with --format", "ifd", "--input", path)
    Reading(input=[path], format="query").rows()
    assert "read two.json as query and response, JSON, UTF-8: 1 row\n" in capsys.readouterr().err
