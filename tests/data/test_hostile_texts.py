"""Texts of marks alone, as loops of models and scraped pages have them: reading stays linear."""

import time

import pytest

import curate
from curate.content.gate import flaws, identifiers
from curate.data.canonical import canonical_shape
from curate.data.ends_training import parts_of_call
from curate.data.formats.dialogues import said_in
from curate.data.schema import Parsed, Turn

MANY = 20_000
SHAPE = canonical_shape("sft")
QUOTED = "ASSISTANT: <functioncall> {" + '"arguments": \'' * MANY + "}"


def learned(answer):
    return flaws(Parsed(turns=(Turn("user", "?"), Turn("assistant", answer))), SHAPE)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (said_in, "[INST] a [/INST] b" + "[INST]" * MANY),
        (said_in, "USER: a\n" + QUOTED),
        (parts_of_call, "{}" + "<tool_call>" * MANY),
        (parts_of_call, "{}" + "<think>\n" * MANY),
        (learned, "<think>" * MANY + "."),
        (learned, "a" + "\n" * MANY + "a"),
        (identifiers, "-A" * MANY),
    ],
)
def test_marks_without_an_end_take_linear_time(read, text):
    start = time.process_time()
    try:
        read(text)
    except ValueError:
        assert read is parts_of_call  # no JSON
    assert time.process_time() - start < 2


def test_a_dialogue_of_thousands_of_turns_takes_linear_time():
    turns = tuple(
        Turn(("user", "assistant")[n % 2], f"好的，第{n}次回答。" * 5) for n in range(4000)
    )
    start = time.process_time()
    flaws(Parsed(turns=turns), SHAPE)
    assert time.process_time() - start < 5


def test_the_dialogue_before_a_mark_that_is_not_answered_is_read():
    said = said_in("<s>[INST] a [/INST] b </s>[INST] c [/INST] d[INST] e")
    assert [turn.content for turn in said.turns] == ["a", "b", "c", "d"]


def test_a_letter_that_an_answer_names_often_is_one_option(scratch_cache):
    row = {"question": "?", "options": {"A": "x" * MANY, "B": "y"}, "answer": "A" * MANY}
    assert curate.read([row])[0].response == "A. " + "x" * MANY
