"""--fix: what it writes is what LLaMA-Factory's own program uses, every row of it."""

from __future__ import annotations

import hashlib
import json

import pytest

import curate
from curate.data.read import read
from curate.errors import DataError
from curate.llamafactory.doctor.data_set import of_entry, of_file
from curate.llamafactory.doctor.diagnose import diagnose
from curate.llamafactory.doctor.repair import repair
from tests.converter import train_in
from tests.doctor.conftest import FILES
from tests.doctor.mutating import said


@pytest.fixture(autouse=True)
def _own_cache(scratch_cache):
    """Rows that these tests read are kept nowhere else."""


def fixed(subject, folder, fill=None):
    made = repair(subject, folder, fill=fill)
    after = diagnose(made.data_set)
    real = train_in(folder, after.name, after.stage)
    assert real.error == ""
    assert [each.verdict for each in real.rows] == ["usable"] * made.written
    assert after.usable == after.rows == made.written
    assert after.found == ()
    return made, real


@pytest.mark.parametrize("name", FILES)
def test_every_public_file(public, name, tmp_path):
    path = public(name)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    fill = {"name": "小医", "author": "医院"} if name == "identity.json" else {}
    made, real = fixed(of_file(path), tmp_path, fill)
    rows = read(path, fill=fill)
    assert made.written + sum(made.dropped.values()) == len(rows)
    usable = [row for row in rows if not row.flaw]
    for row, became in zip(usable, real.rows, strict=True):
        assert became.prompt[-1]["content"] == row.prompt
        assert became.system == row.system
        if row.parsed.chosen is not None:
            told = [each["content"] for each in became.response]
            assert told == [row.parsed.chosen, row.parsed.rejected]
        elif became.response:
            assert row.response in [each["content"] for each in became.response]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_preference_of_bare_texts_is_saved(public, tmp_path):
    subject = of_file(public("dpo_zh.jsonl"))
    before = diagnose(subject)
    assert before.stage == "dpo"
    assert (before.usable, before.rows) == (0, len(subject.rows))
    made, _ = fixed(subject, tmp_path)
    assert made.written == before.rows


def test_a_wrong_entry_is_understood(registered):
    rows = [{"conversations": said("human", "gpt"), "system": "医生"}] * 3
    folder = registered(rows, {"format": "sharegpt"})
    before = diagnose(of_entry(folder, "mine"))
    assert before.ended
    assert "unknown_key" in [each.rule for each in before.found]
    _, real = fixed(of_entry(folder, "mine"), folder)
    assert real.rows[0].system == "医生"


def test_columns_that_only_the_entry_knows(registered):
    rows = [{"q": "头痛", "more": "三天", "a": "休息", "system": "医生"}] * 2
    folder = registered(rows, {"columns": {"prompt": "q", "query": "more", "response": "a"}})
    before = diagnose(of_entry(folder, "mine"))
    assert [each.rule for each in before.found] == ["lost_system"]
    made, real = fixed(of_entry(folder, "mine"), folder)
    assert made.written == 2
    assert real.rows[0].prompt[0]["content"] == "头痛\n三天"
    assert real.rows[0].response[0]["content"] == "休息"
    assert real.rows[0].system == "医生"


def test_answers_that_the_entry_does_not_name_are_kept(registered):
    rows = [{"q": "头痛", "input": "三天", "output": "休息"}] * 2
    folder = registered(rows, {"columns": {"prompt": "q"}})
    _, real = fixed(of_entry(folder, "mine"), folder)
    assert real.rows[0].prompt[0]["content"] == "头痛\n三天"
    assert real.rows[0].response[0]["content"] == "休息"


def test_a_verdict_in_words(registered):
    columns = {"prompt": "instruction", "response": "output", "kto_tag": "label"}
    rows = [
        {"instruction": str(place), "output": "休息", "label": word}
        for place, word in enumerate(["true", "false", "True", "?"])
    ]
    folder = registered(rows, {"columns": columns})
    made, real = fixed(of_entry(folder, "mine"), folder)
    assert made.dropped == {"no_verdict": 1}
    good = [bool(each.response[0]["content"]) for each in real.rows]
    assert good == [True, False, True]


def test_openai_loses_what_was_added(registered):
    rows = [{"messages": said("user", "assistant", role="role", text="content")}] * 2
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
    tags["assistant_tag"] = "assistant"
    entry = {"formatting": "openai", "columns": {"messages": "messages"}, "tags": tags}
    folder = registered(rows, entry)
    assert "openai_system_prompt" in [e.rule for e in diagnose(of_entry(folder, "mine")).found]
    _, real = fixed(of_entry(folder, "mine"), folder)
    assert [each.system for each in real.rows] == ["", ""]


def test_pairs_under_names_of_their_own(registered):
    rows = [{"conversations": said("human"), "good": "休息", "bad": "忍"}] * 2
    columns = {"messages": "conversations", "chosen": "good", "rejected": "bad"}
    entry = {"formatting": "sharegpt", "ranking": True, "columns": columns}
    folder = registered(rows, entry)
    _, real = fixed(of_entry(folder, "mine"), folder)
    assert [each["content"] for each in real.rows[0].response] == ["休息", "忍"]


def test_nothing_that_can_be_repaired(registered):
    folder = registered([{"instruction": "a", "input": "", "output": None}], {})
    with pytest.raises(DataError, match="no row can be repaired.*1 empty_response"):
        repair(of_entry(folder, "mine"), folder)
    assert list(json.loads((folder / "dataset_info.json").read_text())) == ["mine"]


def test_python(public, tmp_path):
    path = public("dpo_zh.jsonl")
    found = curate.doctor(path)
    assert found.usable == 0
    assert found.findings["rule"].tolist() == ["bare_responses"]
    assert found.findings["ids"][0][0] == read(path)[0].id
    after = curate.doctor(path, fix=True, output=tmp_path)
    assert after.usable == after.rows == found.rows
    # Rows are judged as they would be emitted: with their responses made messages.
    assert curate.doctor(read(path)).usable == found.rows
    assert "0 of" in repr(found)


def test_html_escapes_what_stands_in_the_data(registered):
    folder = registered([{"instruction": "a"}], {"columns": {"prompt": "<b>x</b>"}})
    html = curate.doctor(dataset_dir=folder, dataset="mine")._repr_html_()
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html
