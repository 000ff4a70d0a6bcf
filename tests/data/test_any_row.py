"""Whatever a row is: it is read, it is fine or has a flaw, and counts add up."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curate.data.canonical import parse
from curate.data.formats import _VERDICTS, formats
from curate.data.json_values import Record
from curate.data.layout import Layout, Reading, Spread
from curate.data.read import read
from curate.data.row_lines import Tally, lines
from curate.data.schema import STRUCTURAL

KEYS = sorted(
    {
        *[
            "conversations",
            "messages",
            "conversation",
            "data",
            "dialogue",
            "dialogue_turns",
            "speaker",
            "utterance",
            "utterances",
            "Dialogue",
            "Description",
        ],
        *[
            "from",
            "value",
            "role",
            "content",
            "instruction",
            "input",
            "output",
            "history",
            "system",
            "tools",
            "chosen",
        ],
        *[
            "rejected",
            "question",
            "answer",
            "title",
            "ask",
            "department",
            "text",
            "label",
            "kto_tag",
            "tool_calls",
        ],
        *[
            "function_call",
            "function",
            "name",
            "arguments",
            "images",
            "prompt",
            "response",
            "completion",
        ],
        *["answers", "output", "chat", "options", "option", "rank", "replies", "role", "text"],
        *["weight", "reasoning_content", "functions", "image", "kto_tag", "context", "A", "B"],
        *["response_chosen", "response_rejected", "description", "type", "问", "答"],
    }
)
WORDS = [
    "human",
    "gpt",
    "user",
    "assistant",
    "tool",
    "system",
    "developer",
    "function",
    "observation",
]
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [*WORDS, "问：a", "答:b", "医生：", "病人：c", "无", "\0", "\ud800", "{{name}}", "[]"]
    ),
)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
SAID = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
WRITTEN = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CALLED = [WRITTEN[0], {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]
ANSWER = {"text": "b", "role": "assistant", "replies": [], "rank": 0}
# A good row of each format, by which the file is told.
GOOD = {
    "alpaca": {"instruction": "a", "output": "b", "input": "", "history": [], "tools": ""},
    "sharegpt": {"conversations": SAID, "system": "", "tools": "", "images": []},
    "openai": {"messages": CALLED},
    "huatuogpt": {"data": ["问：a", "答：b"]},
    "meddialog": {"dialogue": ["病人：a", "医生：b"]},
    "toyhom": {"department": "c", "title": "t", "ask": "a", "answer": "b"},
    "pretraining": {"text": "a"},
    "reward": {"question": "a", "response_chosen": "b", "response_rejected": "c"},
    "qa": {"question": "a", "answer": "b", "label": True},
    "exam": {"question": "a", "options": {"A": "x", "B": "y"}, "answer": "B"},
    "pairs": {"chosen": WRITTEN, "rejected": WRITTEN},
    "listed_pairs": {"instruction": "a", "output": ["b", "c"]},
    "exchanges": {"conversation": [{"human": "a", "assistant": "b"}]},
    "moss": {"chat": {"turn_1": {"Human": "a", "MOSS": "b"}}},
    "calls": {
        "query": "a",
        "answers": [{"name": "f", "arguments": {}}],
        "tools": [{"name": "f", "description": "d", "parameters": {"properties": {}}}],
    },
    "oasst": {"prompt": {"text": "a", "role": "prompter", "replies": [ANSWER]}},
    "belle": {"instruction": "Human: a\nAssistant:", "output": "b"},
    "prompt_messages": {"prompt": WRITTEN[:1], "completion": "b"},
}
PAIRS = {"conversations": SAID[:1], "chosen": SAID[1], "rejected": "c"}


def kept(form, good, value):
    shape = form.detect([good])
    shape = shape.with_columns(form.optional, form.optional.values())
    tally, record = Tally(template=True), Record(value, "row 1")
    (line,) = lines(iter([record]), Layout(form, shape), Reading(), tally, Spread([good]))
    return line, shape


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_row_is_fine_or_flawed_and_can_be_read_again(name, data):
    form, good = formats()[name], GOOD[name]
    broken = st.builds(
        lambda key, value: {**good, key: value}, st.sampled_from([*good, *KEYS]), VALUES
    )
    line, shape = kept(form, good, data.draw(VALUES | broken))
    again = json.loads(line.raw)
    if line.flaw == "":
        view = parse(again, shape)
        assert view.flaw == ""
        assert view.turns
        assert (view.prompt, view.response) == (view.prompt, view.response)
        assert len(view.prompt) == line.prompt_characters
        assert len(view.response) == line.response_characters
        assert view.responses == line.responses
    elif line.flaw not in STRUCTURAL:
        parse(again, shape)
    line.raw.encode("utf-8")


@settings(max_examples=150)
@given(value=st.builds(lambda key, value: {**PAIRS, key: value}, st.sampled_from([*PAIRS]), VALUES))
def test_a_preference_is_fine_or_flawed(value):
    line, shape = kept(formats()["sharegpt"], PAIRS, value)
    if line.flaw == "":
        row = json.loads(line.raw)
        for key in ("chosen", "rejected"):
            assert row[key]["from"] in ("gpt", "function_call")
            assert row[key]["value"].strip()
        assert parse(row, shape).rejected


@settings(max_examples=60)
@given(st.lists(VALUES, max_size=6))
@example([{"chosen": False}])
@example([["问：a"], [["x"]], "text", None, 3, {"": ["more"]}])
def test_a_file_of_anything_is_read_and_counts_add_up(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATRAIN_CACHE", str(folder / "cache"))
        for name, good in GOOD.items():
            path = folder / f"{name}.json"
            whole = [good] * (len(values) + 1) + values
            path.write_text(json.dumps(whole))
            rows = read(path, format=name)
            flaws = [row.flaw for row in rows]
            assert len(rows) == len(flaws) == len(whole)
            # One row with a verdict makes the others rows without one.
            keys = {
                key.strip().lower() for each in values if isinstance(each, dict) for key in each
            }
            fine = {"", "no_verdict"} if keys & {"kto_tag", *_VERDICTS} else {""}
            assert set(flaws[: len(values) + 1]) <= fine
            assert sum(rows.flaws().values()) == sum(flaw != "" for flaw in flaws)
            told = rows.description()
            readable = sum(flaw not in STRUCTURAL for flaw in flaws)
            assert sum(told.turns.values()) == sum(told.languages.values()) == readable
            assert len(set(rows.ids)) == len(rows)
            assert rows._repr_html_().isprintable() or "\n" in rows._repr_html_()


# Characters that no text should have


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("a\0b", "nul_character"),
        ("\0", "nul_character"),
        ("\\\0", "nul_character"),
        ("\\\\\0", "nul_character"),
        ("\\u0000", ""),
        ("\\\\u0000", ""),
        ("a\ud800b", "lone_surrogate"),
        ("\0\ud800", "lone_surrogate"),
        ("\ud83d\ude00", "lone_surrogate"),  # two halves that no JSON joined
        ("😀", ""),
        ("\u2028\x7f\ufffe", ""),
    ],
)
@pytest.mark.parametrize("name", ["alpaca", "huatuogpt", "toyhom"])
def test_nul_and_lone_surrogates(name, text, flaw):
    key = {"alpaca": "output", "huatuogpt": "data", "toyhom": "answer"}[name]
    value = ["问：a", f"答：x{text}"] if name == "huatuogpt" else f"x{text}"
    line, _ = kept(formats()[name], GOOD[name], {**GOOD[name], key: value})
    assert line.flaw == flaw


def test_a_row_that_says_nothing_keeps_its_flaw_and_a_hash_of_its_own():
    form = formats()["alpaca"]
    first, second = (
        kept(form, GOOD["alpaca"], {**GOOD["alpaca"], "output": ["\ud800", each]})[0]
        for each in "ab"
    )
    assert first.flaw == second.flaw == "not_text"
    assert first.hash != second.hash


def test_nul_and_surrogates_in_a_file(scratch_cache, write):
    good, name = GOOD["alpaca"], "a\\u0000\\ud800.json"
    values = [good, {**good, "output": "a\0"}, {**good, "output": "\ud800"}, {**good, "\0": 1}]
    rows = read(write(json.dumps(values), name))
    assert [row.flaw for row in rows] == ["", "nul_character", "lone_surrogate", "nul_character"]
    assert [row.value for row in rows] == values
    assert "nul_character: 2" in repr(rows)
