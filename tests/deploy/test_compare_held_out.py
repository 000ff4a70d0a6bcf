"""Rows are called held out when that is proven, and not otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import DataError, UsageError
from curate.system.files import sha256_of, sha256_of_all
from tests.deploy.datasets import alpaca, ask, emitted, questions, run, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rows_of_the_source_that_were_not_chosen_are_held_out():
    emitted(range(6), alpaca(*range(10)))
    run()
    found, notes = ask()
    assert questions(found) == [6, 7, 8, 9]
    assert {each.trained_on for each in found.prompts} == {False}
    assert (found.read, found.left_out, notes) == (10, {"trained_on": 6}, [])
    assert ask(dataset="chosen")[0] == ask("source.json", "chosen")[0] == found


def test_without_a_run_nobody_knows_what_a_model_was_trained_on():
    emitted(range(6), alpaca(*range(10)))
    for found, notes in (ask(dataset="chosen", tuned="x"), ask("source.json", "chosen", "x")):
        assert questions(found) == [6, 7, 8, 9]
        assert {each.trained_on for each in found.prompts} == {None}
        assert "not known here: there is no run.json" in notes[0]


def test_the_same_prompt_with_another_answer_or_in_another_shape_is_not_held_out():
    emitted(range(6), alpaca(*range(10)))
    others = alpaca(5, 6, answer="别的")
    others[0]["instruction"] = " 问题5？\n"
    write("others.json", others)
    assert questions(ask("others.json", "chosen", "x")[0]) == [6]
    said = [{"from": "human", "value": "问题4？"}, {"from": "gpt", "value": "别的"}]
    new = [{"from": "human", "value": "问题7？"}, {"from": "gpt", "value": "别的"}]
    write("shared.json", [{"conversations": said}, {"conversations": new}])
    assert questions(ask("shared.json", "chosen", "x")[0]) == [7]


def test_a_turn_in_the_middle_of_a_trained_dialogue_was_trained_on():
    dialogue = [
        *({"from": "human", "value": "问题1？"}, {"from": "gpt", "value": "答"}),
        *({"from": "human", "value": "然后？"}, {"from": "gpt", "value": "答"}),
    ]
    write("data/d.json", [{"conversations": dialogue}])
    write("data/dataset_info.json", {"d": {"file_name": "d.json", "formatting": "sharegpt"}})
    write("others.json", alpaca(1, 2, answer="别的"))
    assert questions(ask("others.json", "d", "x")[0]) == [2]


def test_given_prompts_are_all_asked_and_told_apart():
    emitted(range(6), alpaca(*range(10)))
    run()
    found, notes = ask("source.json")
    assert [each.trained_on for each in found.prompts] == [True] * 6 + [False] * 4
    assert notes == []
    unknown, _ = ask("source.json", tuned="somewhere")
    assert {each.trained_on for each in unknown.prompts} == {None}


def test_what_cannot_be_proven_is_not_called_held_out():
    emitted(range(6), alpaca(*range(10)))
    run()
    with Path("data/chosen.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(alpaca(8)[0], ensure_ascii=False) + "\n")
    with pytest.raises(DataError, match="data set 'chosen' in data is not what the model was"):
        ask()
    found, notes = ask("source.json")
    assert {each.trained_on for each in found.prompts} == {None}
    assert "cannot be told: data set 'chosen'" in notes[0]


def test_a_source_that_is_gone_or_another_is_asked_for():
    emitted(range(6), alpaca(*range(10)))
    run()
    write("source.json", alpaca(*range(11)))
    with pytest.raises(UsageError, match=r"from source.json \(sha256 .* give it with --prompts"):
        ask()
    assert questions(ask("source.json", "chosen")[0]) == [6, 7, 8, 9, 10]
    Path("data/chosen.manifest.json").unlink()
    with pytest.raises(UsageError, match="no row can be proven to be held out"):
        ask()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tuned": "x"}, UsageError, "no run.json says .*; give --prompts FILE, or --dataset NAME"),
        ({"dataset": "chosne", "tuned": "x"}, DataError, "data has no .* Did you mean 'chosen'"),
        ({"dataset": "x", "tuned": "x", "dataset_dir": "."}, DataError, "is no dataset_info"),
        ({"dataset": "other"}, UsageError, "was trained on 'chosen'"),
        (
            {"prompts": "few.json", "dataset": "chosen"},
            DataError,
            "none of 2 rows can be asked: 2 trained_on",
        ),
        ({"prompts": "no.json"}, DataError, "no file 'no.json'"),
    ],
)
def test_wrong_questions(arguments, error, message):
    emitted(range(6), alpaca(*range(10)))
    run()
    write("few.json", alpaca(1, 2))
    with pytest.raises(error, match=message):
        ask(**arguments)


def test_a_run_that_is_not_done_or_of_another_base_is_told():
    emitted(range(6), alpaca(*range(10)))
    run(state="stopped")
    _, notes = ask(base="other")
    assert "is not done but 'stopped'" in notes[0]
    assert "trained from 'smollm2', and --base is 'other'" in notes[1]
    run(model=str(Path("base").absolute()))  # so `train` notes a folder
    assert ask(base="base")[1] == []
    Path("saves/r/run.json").write_text("{")
    with pytest.raises(DataError, match=r"run.json cannot be read"):
        ask()


def test_sources_of_several_shapes_are_read_as_they_were():
    emitted(range(2), alpaca(*range(4)))
    greeting = [{"from": "human", "value": "你好{{name}}"}, {"from": "gpt", "value": "您好"}]
    write("talks.json", [{"conversations": greeting}])
    # The data set has the greeting with the name put in: as it stands in the file it is another.
    filled = {"instruction": "你好小医", "input": "", "output": "您好"}
    with Path("data/chosen.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(filled, ensure_ascii=False) + "\n")
    sources = [
        {"name": "source.json", "sha256": sha256_of(Path("source.json")), "fill": {}},
        {
            "name": "talks.json",
            "sha256": sha256_of(Path("talks.json")),
            "format": "sharegpt",
            "fill": {"name": "小医"},
        },
    ]
    write("data/chosen.manifest.json", {"sources": sources})
    found, _ = ask(dataset="chosen", tuned="x")
    assert questions(found) == [2, 3]
    assert (found.read, found.left_out) == (5, {"trained_on": 3})


def test_data_sets_are_read_as_their_entries_say_and_may_be_several():
    emitted(range(6), alpaca(*range(10)))
    own = [{"ask": f"问题{at}？", "reply": "答"} for at in (7, 8)]
    write("data/own.json", own)
    write("data/own.manifest.json", json.loads(Path("data/chosen.manifest.json").read_text()))
    entries = json.loads(Path("data/dataset_info.json").read_text("utf-8"))
    columns = {"prompt": "ask", "response": "reply"}
    entries["own"] = {"file_name": "own.json", "columns": columns, "split": "train[1:]"}
    write("data/dataset_info.json", entries)
    files = [Path("data/chosen.jsonl"), Path("data/own.json")]
    run(
        dataset={
            "name": "chosen,own",
            "dataset_dir": str(Path("data").absolute()),
            "data_sha256": sha256_of_all(files),
        }
    )
    found, notes = ask()
    assert (questions(found), notes) == ([6, 7, 9], [])
    assert [each.trained_on for each in ask("source.json")[0].prompts].count(False) == 3
    write("data/own.json", own[:1])
    with pytest.raises(DataError, match="data set 'chosen,own' in .* has changed since then"):
        ask()


@pytest.mark.parametrize("before", ["adapter", "model"])
def test_what_a_run_went_on_from_may_have_been_trained_on_anything(before):
    emitted(range(6), alpaca(*range(10)))
    write("saves/first/run.json", {"format": 1, "model": "smollm2"})
    more = {"parents": {"adapter": "0" * 64}} if before == "adapter" else {"model": "saves/first"}
    run(**more)
    with pytest.raises(UsageError, match=r"saves/r went on from .* no row can be proven"):
        ask()
    for arguments in ({"dataset": "chosen"}, {"prompts": "source.json"}):
        found, notes = ask(**arguments, base=more.get("model", "smollm2"))
        assert {each.trained_on for each in found.prompts} <= {True, None}
        assert "what that was trained on is not looked at" in notes[0]


def test_a_bundled_model_has_no_run_that_a_folder_called_so_has():
    emitted(range(6), alpaca(*range(10)))
    run()
    Path("saves/r").rename("smollm2")
    found, notes = ask("source.json", tuned="smollm2")
    assert ({each.trained_on for each in found.prompts}, notes) == ({None}, [])
    found, _ = ask("source.json", tuned=str(Path("smollm2").resolve()))
    assert {each.trained_on for each in found.prompts} == {True, False}


def test_notes_name_no_folder_of_this_machine():
    emitted(range(6), alpaca(*range(10)))
    first = Path("saves/first").resolve()
    write("saves/first/run.json", {"format": 1, "model": "smollm2"})
    run(model=str(first), state="stopped")
    tuned = str(Path("saves/r").resolve())
    _, notes = ask("source.json", "chosen", tuned)
    assert [note for note in notes if str(first.parent) in note] == []
    assert len(notes) == 3
    assert "the run went on from the run first: what" in notes[-1]


def test_where_no_row_was_left_out_prompts_are_asked_for():
    emitted(range(10), alpaca(*range(10)))
    run()
    with pytest.raises(DataError, match="none of 10 rows .*: 10 trained_on.* as --prompts"):
        ask()
