import json
from dataclasses import replace

import pytest

from curate.data.canonical import parse, text_of, tools_of
from curate.data.formats import formats, kto_column, mostly
from curate.data.read import read
from curate.data.schema import Converted, Parsed, Shape, Turn
from curate.errors import DataError

ALPACA, SHAREGPT = formats()["alpaca"], formats()["sharegpt"]


def user(text):
    return Turn("user", text)


def bot(text):
    return Turn("assistant", text)


def says(*pairs):
    return [{"from": role, "value": text} for role, text in pairs]


def test_every_format_is_found_and_keeps_the_contract():
    for name, each in formats().items():
        assert name == each.name
        assert each.keys
        assert each.detect([]) is None
        assert each.detect([{}]) is None
        assert each.detect([{"nothing": "x"}]) is None


# Alpaca


def test_alpaca_shape_names_the_columns_that_the_file_has():
    row = {"instruction": "a", "input": "", "output": "b", "_id": 1}
    assert ALPACA.detect([row]) == Shape(
        "alpaca", "alpaca", {"prompt": "instruction", "query": "input", "response": "output"}
    )
    late = [{"instruction": "a", "output": "b"}, {**row, "system": "s", "history": []}]
    assert ALPACA.detect(late).columns == {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "system": "system",
        "history": "history",
    }


def test_alpaca_preferences_and_verdicts():
    pair = {"instruction": "a", "chosen": "b", "rejected": "c"}
    assert ALPACA.detect([pair]) == Shape(
        "alpaca",
        "alpaca",
        {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"},
        ranking=True,
    )
    verdict = {"instruction": "a", "output": "b", "kto_tag": True}
    assert ALPACA.detect([verdict]).columns["kto_tag"] == "kto_tag"
    assert not ALPACA.detect([verdict]).ranking


@pytest.mark.parametrize("known", [1, 2, 3, 4])
def test_half_of_the_rows_decide(known):
    samples = [{"instruction": "a", "output": "b"}] * known + [{"x": 1}] * (4 - known)
    assert (ALPACA.detect(samples) is not None) == (known >= 2)
    samples = [{"messages": says(("human", "a"))}] * known + [{"x": 1}] * (4 - known)
    assert (SHAREGPT.detect(samples) is not None) == (known >= 2)


ALL = {"prompt": "instruction", **ALPACA.optional}
SFT = Shape("alpaca", "alpaca", ALL)
PAIRS = Shape(
    "alpaca", "alpaca", {**ALL, "chosen": "chosen", "rejected": "rejected"}, {}, ranking=True
)


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"instruction": "a", "output": "b"}, (user("a"), bot("b"))),
        ({"instruction": "a", "input": "x", "output": "b"}, (user("a\nx"), bot("b"))),
        ({"instruction": "", "input": "x", "output": "b"}, (user("x"), bot("b"))),
        ({"instruction": " a ", "input": None, "output": "b\n"}, (user(" a "), bot("b\n"))),
        (
            {"instruction": "c", "output": "d", "history": [["a", "b"]]},
            (user("a"), bot("b"), user("c"), bot("d")),
        ),
    ],
)
def test_alpaca_turns(row, turns):
    found = parse(row, SFT)
    assert found.turns == turns
    assert found.flaw == ""
    assert found.input == (row.get("input") or "")
    assert (found.chosen, found.rejected) == (None, None)


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ({"instruction": "a", "output": ""}, "empty_response"),
        ({"instruction": "a", "output": " \n\u3000"}, "empty_response"),
        ({"instruction": "a", "output": None}, "empty_response"),
        ({"instruction": "a"}, "empty_response"),
        ({"instruction": "", "output": "b"}, "empty_prompt"),
        ({"output": "b", "input": " "}, "empty_prompt"),
        ({"instruction": "", "output": ""}, "empty_response"),
        ({"instruction": ["a"], "output": "b"}, "not_text"),
        ({"instruction": "a", "output": 3}, "not_text"),
        ({"instruction": "a", "output": float("nan")}, "not_text"),
        ({"instruction": "a", "input": {}, "output": "b"}, "not_text"),
        ({"instruction": "a", "output": "b", "history": "[]"}, "bad_history"),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, "bad_history"),
        ({"instruction": "a", "output": "b", "history": [["a", None]]}, "bad_history"),
        ({"instruction": "a", "output": "b", "history": ["ab"]}, "bad_history"),
        ({"instruction": "a", "output": "b", "history": {"a": "b"}}, "bad_history"),
        ({"instruction": "a", "output": "b", "history": ""}, ""),
        ({"instruction": "a", "output": "b", "history": []}, ""),
        ({"instruction": "a", "output": "b", "chosen": 3}, ""),
    ],
)
def test_alpaca_flaws(row, flaw):
    assert parse(row, SFT).flaw == flaw


def test_alpaca_preference():
    row = {"instruction": "a", "chosen": "b", "rejected": "c", "output": "unused"}
    found = parse(row, PAIRS)
    assert found == Parsed(turns=(user("a"),), chosen="b", rejected="c")
    assert parse({**row, "rejected": ""}, PAIRS).flaw == "empty_response"
    assert parse({**row, "chosen": ["b", "c"]}, PAIRS).flaw == "not_text"
    assert parse({"instruction": "a"}, PAIRS).flaw == "empty_response"


# What formats share


def test_shared_parts():
    assert [text_of(each) for each in (None, "", "a", 3, ["a"])] == ["", "", "a", None, None]
    assert [tools_of(each) for each in (None, "", [], "[]")] == ["", "", "", "[]"]
    assert tools_of([{"name": "剂量"}]) == '[{"name": "剂量"}]'
    assert not mostly([], "a")
    assert mostly([{"a": 1, "b": 1}, {"a": 1}], "a", "b")
    assert not mostly([{"a": 1}, {"b": 1}, {}], "a")
    assert kto_column([{"label": True}, {}]) == {"kto_tag": "label"}
    assert kto_column([{"label": True}, {"label": "a"}]) == kto_column([{"label": None}]) == {}
    assert kto_column([{"label": True}] + [{}] * 9) == {"kto_tag": "label"}
    assert kto_column([{"label": "good"}] + [{}] * 9) == {}
    assert kto_column([{"": "0"}, {"": "1"}]) == {}  # pandas' index
    assert kto_column([{"kto_tag": "true"}]) == {"kto_tag": "kto_tag"}
    assert kto_column([{"label": False}, {"label": True}]) == {"kto_tag": "label"}


def test_a_shape_in_words_and_as_json():
    plain = Shape("alpaca", "alpaca", {"prompt": "instruction", "response": "output"})
    assert str(plain) == "alpaca (prompt=instruction, response=output)"
    assert str(replace(PAIRS, columns={"prompt": "a"})) == "alpaca ranking (prompt=a)"
    assert Shape(**json.loads(json.dumps(PAIRS.as_dict()))) == PAIRS


# Real rows


@pytest.mark.parametrize(
    ("name", "kind", "flawed"),
    [
        ("alpaca_en.json", "alpaca", {}),
        ("alpaca_zh.json", "alpaca", {}),
        ("identity.json", "alpaca", {}),
        ("medical_sft_zh.jsonl", "sharegpt", {}),
        ("disc_med_sft.jsonl", "sharegpt", {"bad_turn_order": 2}),
        ("dpo_zh.jsonl", "sharegpt ranking", {}),
        ("dpo_zh_demo.json", "sharegpt ranking", {}),
        ("dpo_en_demo.json", "sharegpt ranking", {}),
        ("kto_en_demo.json", "sharegpt", {}),
    ],
)
def test_real_files(real, name, kind, flawed):
    text = real(name).read_text(encoding="utf-8")
    lines = (line for line in text.split("\n") if line)
    rows = json.loads(text) if text[0] == "[" else [json.loads(line) for line in lines]
    shape = next(found for form in formats().values() if (found := form.detect(rows[:200])))
    assert str(shape).startswith(f"{kind} (")
    flaws = [parse(row, shape).flaw for row in rows]
    assert {flaw: flaws.count(flaw) for flaw in set(flaws) - {""}} == flawed


def test_bare_texts_to_compare_become_messages():
    row = {"conversations": says(("human", "a")), "chosen": "b", "rejected": "c"}
    shape = SHAREGPT.detect([row])
    made = SHAREGPT.convert(row, shape).row
    assert made["chosen"] == {"from": "gpt", "value": "b"}
    assert made["rejected"] == {"from": "gpt", "value": "c"}
    assert parse(made, shape) == parse(row, shape)
    assert SHAREGPT.convert(made, shape) == Converted(made)
    assert SHAREGPT.convert({"chosen": 3}, shape) == Converted({"chosen": 3})


def test_objects_without_a_key_are_not_called_no_objects(scratch_cache, write_json):
    with pytest.raises(DataError, match="has rows without a key: no format that is read"):
        read(write_json([{}, {}]))
