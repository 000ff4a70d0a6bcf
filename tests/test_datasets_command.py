"""`curate datasets` and its table."""

from __future__ import annotations

import json
import shlex

import pytest

from curate.data.formats import formats
from curate.data.public_sets import public_set, public_sets
from curate.data.read import read
from curate.errors import UsageError
from curate.system.hub import address, is_hub
from tests.calling import Caller


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.mark.parametrize("one", public_sets().values(), ids=lambda one: one.name)
def test_every_line_of_the_table_can_be_followed(one):
    assert one.format in formats()
    assert one.languages
    assert set(one.languages) <= {"en", "zh"}
    assert one.rows is None or one.rows > 0
    assert one.size
    assert one.licence
    assert "://" not in one.address
    assert shlex.split(one.command)[:4] == [*one.command.split()[:3], one.input]
    if is_hub(one.input):
        assert address(one.input).repo == one.where
        assert not one.fetch
    else:
        assert one.fetch
    assert all(len(each) < 200 and not each.endswith(".") for each in one.hazards)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("toyhom", "toyhom_internal_medicine_gb18030.csv"),
        ("disc-med-sft", "disc_med_sft.jsonl"),
        ("dpo-zh-500", "dpo_zh.jsonl"),
        ("identity", "identity.json"),
        ("alpaca-zh-demo", "alpaca_zh.json"),
        ("alpaca-en-demo", "alpaca_en.json"),
        ("dpo-en-demo", "dpo_en_demo.json"),
        ("kto-en-demo", "kto_en_demo.json"),
        ("c4-demo", "c4_demo.jsonl"),
    ],
)
@pytest.mark.usefixtures("scratch_cache")
def test_samples_are_read_as_the_table_says(name, file, real):
    rows = read(real(file))
    known = public_sets()[name]
    assert (rows.sources[0].format, rows.shape.kind) == (known.format, known.becomes)


def test_the_list(call):
    answer = call("datasets")
    assert answer.code == 0
    assert all(f"{name}: " in answer.out for name in public_sets())
    assert "meddialog: github.com/UCSD-AI4H/Medical-Dialogue-System" in answer.out
    told = json.loads(call("datasets", "--json").out)["datasets"]
    assert [each["name"] for each in told] == list(public_sets())
    line = next(line for line in answer.out.splitlines() if line.strip().startswith("meddialog "))
    assert line.split() == ["meddialog", "1,921,127", "1.09", "GB", "unknown", "zh", "sft"]


def test_one_whole_with_its_hazards_and_its_command_in_one_line(call):
    answer = call("datasets", "medical-book-zh")
    command = "curate dedup --input hf://shibing624/medical/pretrain/medical_book_zh.json"
    assert command in answer.out.splitlines()
    assert "in none of the set's splits" in answer.out
    told = call("datasets", "medical-book-zh", "--json")
    assert json.loads(told.out)["command"] == command
    assert "{{name}} and {{author}} stand in the rows" in call("datasets", "identity").out


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Flmc/DISC-Med-SFT", "disc-med-sft"),
        ("hf://Flmc/DISC-Med-SFT", "disc-med-sft"),
        ("ShenNong_TCM_Dataset", "shennong"),
        ("dpo_zh_500", "dpo-zh-500"),
        ("medical_book_zh", "medical-book-zh"),
        ("kto_en_demo", "kto-en-demo"),
    ],
)
def test_names_that_people_know_them_by(typed, name):
    assert public_set(typed).name == name


def test_a_name_that_is_not_there(call):
    line = call.refused("no data set 'huatuo' in the list", "datasets", "huatuo")
    assert "Did you mean 'huatuogpt'?" in line
    with pytest.raises(UsageError, match="no data set 'SFT'"):
        public_set("SFT")  # the end of a name is none
