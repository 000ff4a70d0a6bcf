"""`curate rm`: what curate wrote goes with its entry, and nothing else does."""

import json

import pytest

from tests.calling import Caller
from tests.conftest import SAMPLE


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def folder(call, tmp_path):
    """A folder with the data set `five` and the user's own `mine`."""
    words = ("--recipe", "random", "--keep", 5, "--output", tmp_path, "--name", "five")
    assert call("select", "--input", SAMPLE, *words).code == 0
    (tmp_path / "mine.json").write_text("[]", encoding="utf-8")
    info = tmp_path / "dataset_info.json"
    entries = {"mine": {"file_name": "mine.json"}} | json.loads(info.read_text(encoding="utf-8"))
    info.write_text(json.dumps(entries), encoding="utf-8")
    return tmp_path


def names(folder):
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def entries(folder):
    return list(json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")))


def removed(call, folder, *words):
    answer = call("rm", *words, "--dataset-dir", folder, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["removed"][0]


def test_files_and_entry_go_and_others_stay(call, folder):
    (folder / "five.answers.db").touch()
    (folder / "fives.jsonl").touch()
    result = removed(call, folder, "five")
    assert result["removed"] == ["five.jsonl", "five.scores.parquet", "five.manifest.json"]
    assert list(result["stays"]) == ["five.answers.db"]
    assert names(folder) == {"mine.json", "fives.jsonl", "five.answers.db", "dataset_info.json"}
    assert entries(folder) == ["mine"]


def test_what_was_changed_since_stays(call, folder):
    with (folder / "five.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"instruction": "my own row", "output": "keep me"}\n')
    result = removed(call, folder, "five")
    assert result["stays"] == {"five.jsonl": "it was changed after curate wrote it"}
    assert (folder / "five.jsonl").exists()
    assert entries(folder) == ["mine"]


def test_what_was_deleted_by_hand_is_named(call, folder):
    (folder / "five.jsonl").unlink()
    result = removed(call, folder, "five")
    assert result["gone"] == ["five.jsonl"]
    assert names(folder) == {"mine.json", "dataset_info.json"}


def test_a_file_of_the_user_stays_when_its_entry_goes(call, folder):
    result = removed(call, folder, "mine")
    assert (result["removed"], list(result["stays"])) == ([], ["mine.json"])
    assert (folder / "mine.json").exists()
    assert entries(folder) == ["five"]


def test_a_name_that_leads_elsewhere_removes_nothing_there(call, folder):
    inner = folder / "inner"
    inner.mkdir()
    (inner / "dataset_info.json").write_text(
        '{"../five": {"file_name": "../five.jsonl"}}', encoding="utf-8"
    )
    result = removed(call, inner, "../five")
    assert (result["removed"], list(result["stays"])) == ([], ["../five.jsonl"])
    assert (folder / "five.manifest.json").exists()


def test_an_unknown_name_is_refused(call, folder):
    before = names(folder)
    call.refused("no data set 'fivs' .* Did you mean 'five'", "rm", "fivs", "--dataset-dir", folder)
    assert names(folder) == before
