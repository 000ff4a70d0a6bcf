"""`curate doctor` as a user calls it."""

from __future__ import annotations

import json
import zipfile

import pytest

from tests.calling import share_models
from tests.converter import train_in
from tests.doctor.mutating import TAGS, said

ROW = {"instruction": "头痛", "input": "", "output": "休息"}


@pytest.fixture(autouse=True)
def _own_cache(scratch_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def last_line(answer):
    return json.loads(answer.out.splitlines()[-1])


def test_all_is_well(call, registered):
    folder = registered([ROW] * 3, {})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--json")
    assert answer.code == 0
    found = last_line(answer)
    assert (found["rows"], found["usable"], found["findings"]) == (3, 3, [])


@pytest.mark.parametrize(
    "split", ["train[2:50%]", "train[-3:]", "train[:2]+train[7:]", "train[10:]", "train[5:2]"]
)
def test_rows_of_a_split_are_those_that_llamafactory_takes(call, registered, split):
    rows = [ROW | {"output": None if place % 4 == 0 else "休息"} for place in range(10)]
    folder = registered(rows, {"split": split})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--json")
    found, real = last_line(answer), train_in(folder, "mine", "sft")
    assert found["usable"] == real.usable
    ends = [each["rule"] for each in found["findings"] if each["effect"] == "stops"]
    assert ends == ["no_rows"] * bool(real.error)


def test_places_are_those_of_the_file(call, registered):
    folder = registered([ROW, ROW, ROW, ROW | {"output": None}], {"split": "train[2:]"})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine")
    assert "1 of 2 rows usable, 2 left out" in answer.out
    told = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--json")
    assert last_line(told)["findings"][0]["places"] == ["rows.jsonl, line 4"]


def test_preference_before_and_after(call, public):
    answer = call("doctor", "--input", public("dpo_zh.jsonl"), "--fix", "--json")
    assert answer.code == 0
    found = last_line(answer)
    after = found["fixed"][0]
    assert found["usable"] == 0
    assert [each["rule"] for each in found["findings"]] == ["bare_responses"]
    assert found["findings"][0]["count"] == found["rows"] == after["usable"] == after["rows"]
    assert len(found["findings"][0]["ids"]) == 5
    assert train_in("data", "dpo_zh_fixed", "dpo").usable == found["rows"]


def test_what_is_lost_ends_with_1(call, registered):
    folder = registered([ROW, ROW | {"output": None}], {})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine")
    assert answer.code == 1
    assert "response_not_text" in answer.out
    assert "1 of 2 rows usable" in answer.out


def test_left_out_rows_end_with_1_even_when_fixed(call, registered):
    folder = registered([ROW, ROW | {"output": None}], {})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--fix", "--json")
    assert answer.code == 1
    assert last_line(answer)["fixed"][0]["dropped"] == {"empty_response": 1}


def test_a_loss_without_a_dropped_row(call, registered):
    folder = registered([ROW | {"input": "三天"}], {"columns": {"prompt": "instruction"}})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--stage", "pt")
    assert answer.code == 1
    assert "lost_query" in answer.out


def test_stage_that_does_not_fit(call, registered):
    folder = registered([ROW], {})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine", "--stage", "dpo")
    assert answer.code == 1
    assert "wrong_stage" in answer.out
    assert "0 of 1 rows usable" in answer.out


def test_a_typing_error_in_the_entry(call, registered):
    folder = registered([{"conversations": said("human", "gpt")}], {"format": "sharegpt"})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine")
    assert answer.code == 1
    assert "Did you mean 'formatting'?" in answer.out


def test_partial_tags_are_named(call, registered):
    tags = {tag: word for tag, word in TAGS.items() if tag != "system_tag"}
    folder = registered(
        [{"conversations": said("human", "gpt")}], {"formatting": "sharegpt", "tags": tags}
    )
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine")
    assert answer.code == 0  # no row has a system message
    assert "without system_tag" in answer.out


def test_placeholders(call, public):
    path = public("identity.json")
    answer = call("doctor", "--input", path)
    assert answer.code == 1
    assert "unfilled_placeholder" in answer.out
    answer = call(
        "doctor", "--input", path, "--fix", "--fill", "name=小医", "author=医院", "--json"
    )
    assert answer.code == 0
    assert last_line(answer)["fixed"][0]["usable"] == last_line(answer)["rows"]


def test_several_files(call, public):
    answer = call("doctor", public("alpaca_zh.json"), public("dpo_zh.jsonl"), "--json")
    assert answer.code == 1
    found = last_line(answer)
    assert len(found["files"]) == 2
    assert found["rows"] == sum(each["rows"] for each in found["files"])


def test_row_texts_are_no_markup(call, registered):
    row = ROW | {"output": ["[red]x[/red]", "[/nothing]"]}
    folder = registered([row], {"columns": {"prompt": "[/b]", "response": "output"}})
    answer = call("doctor", "--dataset-dir", folder, "--dataset", "mine")
    assert answer.code == 1
    assert "KeyError: '[/b]'" in answer.out


@pytest.mark.model
def test_a_cutoff(call, public, tmp_path, monkeypatch):
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    path = public("alpaca_en.json")
    options = ("--model", "smollm2", "--json")
    roomy = call("doctor", "--input", path, "--cutoff-len", 4096, *options)
    tight = call("doctor", "--input", path, "--cutoff-len", 16, *options)
    assert roomy.code == 0
    assert tight.code == 1
    counts = {each["rule"]: each["count"] for each in last_line(tight)["findings"]}
    assert 0 < counts["no_end_token"] <= last_line(tight)["rows"]


def test_wrong_usage(call, registered, tmp_path):
    folder = registered([ROW], {})
    mine = ("--dataset-dir", folder, "--dataset", "mine")
    call.refused("nothing to judge", "doctor")
    call.refused("nothing to judge", "doctor", "--dataset-dir", folder)
    call.refused("not both", "doctor", "--input", folder / "rows.jsonl", *mine)
    call.refused("--stage dop: .*Did you mean 'dpo'", "doctor", *mine, "--stage", "dop")
    call.refused("go together", "doctor", *mine, "--cutoff-len", 5)
    call.refused("goes with --fix", "doctor", *mine, "--fill", "name=x")
    call.refused("no file 'no.json'", "doctor", "--input", "no.json")
    call.refused("no dataset_info.json", "doctor", "--dataset-dir", tmp_path, "--dataset", "mine")
    call.refused(
        "has no data set 'mien'. Did you mean 'mine'",
        *("doctor", "--dataset-dir", folder, "--dataset", "mien"),
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file_name": "nowhere.json"}, "leads nowhere"),
        ({"file_name": None}, "has a file_name that is no text"),
        ({"hf_hub_url": None}, "hf_hub_url None is no OWNER/NAME"),
        ({"hf_hub_url": "a/b"}, "hf://a/b:train could not be fetched"),
        ({"script_url": "a.py"}, "takes it from elsewhere: a Python script"),
        ("rows.jsonl", 'no JSON object but "rows.jsonl"'),
    ],
)
def test_entries_that_lead_nowhere(call, registered, entry, message):
    folder = registered([ROW], entry)
    call.refused(message, "doctor", "--dataset-dir", folder, "--dataset", "mine")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": \x00}', "not JSON at all"])
@pytest.mark.parametrize("fix", [True, False])
def test_a_broken_registry_is_left_as_it_is(call, tmp_path, text, fix):
    path = tmp_path / "dataset_info.json"
    path.write_text(text)
    call.refused(
        "no JSON",
        *("doctor", "--dataset-dir", tmp_path, "--dataset", "a"),
        *(["--fix"] if fix else []),
    )
    assert path.read_text() == text


def test_nobody_elses_data_set_is_replaced(call, registered):
    folder = registered([ROW, ROW | {"output": None}], {})
    info = json.loads((folder / "dataset_info.json").read_text())
    info["mine_fixed"] = {"file_name": "other.json"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    arguments = ("doctor", "--dataset-dir", folder, "--dataset", "mine", "--fix")
    answer = call(*arguments)
    assert answer.code == 2
    assert "mine_fixed" in answer.errors[0]
    assert json.loads((folder / "dataset_info.json").read_text()) == info
    assert call(*arguments, "--overwrite").code == 1


def test_a_part_of_a_file_is_judged_as_a_file_that_llamafactory_does_not_load(call, tmp_path):
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name in ("a", "b"):
            packed.writestr(f"{name}.json", json.dumps([ROW, ROW | {"output": name}]))
    answer = call("doctor", "--input", f"{path}#b.json", "--fix", "--output", tmp_path, "--json")
    found = json.loads(answer.out.splitlines()[-1])
    assert [finding["rule"] for finding in found["findings"]] == ["file_type"]
    assert found["fixed"][0]["usable"] == 2
    call.refused("no file", "doctor", "--input", f"{path}x#b.json")


def test_what_has_no_effect_is_refused(call, registered):
    call.refused("--no-packing: only rows of stage pt", "doctor", "--input", "x", "--no-packing")
