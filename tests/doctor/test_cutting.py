"""What a cutoff leaves, token by token, against LLaMA-Factory's processors."""

from __future__ import annotations

import functools
import random

import pytest

from curate.errors import ModelError, UsageError
from curate.llamafactory.doctor.converting import Example, message
from curate.llamafactory.doctor.data_set import attributes
from curate.llamafactory.doctor.stages import Verdict, judge
from curate.llamafactory.doctor.templates import TEMPLATES, Tokens
from curate.llamafactory.doctor.truncation import Cutoff, cutoff_of, room
from curate.models.resolve import resolve
from curate.models.text_tokenizer import load_tokenizer
from curate.parameters.doctor import DoctorParams
from tests.converter import factory

WORDS = ["pain", "头痛", "{{idx}}", "'", "{{content}}", "the end.", "a" * 30, "<|im_end|>", "\n"]
CALL = '{"name": "clock", "arguments": {"zone": "东"}}'


def lf_arguments(template, cutoff, packing=False):
    arguments = factory().DataArguments(
        template=None if template == "own" else template,
        dataset="rows",
        dataset_dir=".",
        cutoff_len=cutoff,
    )
    # As the training sets it where nobody has: an explicit `packing: true` costs a token a block.
    arguments.packing = packing
    return arguments


def lf_processor(template, cutoff, stage, packing=False):
    arguments = lf_arguments(template, cutoff, packing)
    return factory().loader._get_dataset_processor(arguments, stage, *lf_parts(template), None)


@functools.cache
def lf_parts(template):
    tokenizer = load_tokenizer(resolve("smollm2"))
    arguments = lf_arguments(template, 1)
    return factory().template.get_template_and_fix_tokenizer(tokenizer, arguments), tokenizer


@functools.cache
def parts(template):
    whole = cutoff_of(DoctorParams(model="smollm2", cutoff_len=1, template=template))
    return whole.template, whole.tokenizer


def batch(*rows):
    return {
        "_prompt": [row.prompt for row in rows],
        "_response": [row.response for row in rows],
        "_system": [row.system for row in rows],
        **{name: [None] * len(rows) for name in ("_tools", "_images", "_videos", "_audios")},
    }


def some_text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 25)))


def some_row(rng, stage):
    turns = rng.choice([1, 1, 2, 3])
    prompt = [
        message("assistant" if place % 2 else "user", some_text(rng))
        for place in range(2 * turns - 1)
    ]
    if turns > 1 and rng.random() < 0.3:
        prompt[1:3] = [message("function", CALL), message("observation", some_text(rng))]
    response = [message("assistant", some_text(rng))]
    if stage == "rm":
        response.append(message("assistant", some_text(rng)))
    if stage == "kto":
        response.insert(rng.choice([0, 1]), message("assistant", ""))
    return Example(prompt, response, rng.choice(["", "You are a doctor.", None]))


@pytest.mark.model
@pytest.mark.parametrize("stage", ["sft", "rm", "kto"])
@pytest.mark.parametrize("template", ["own", *TEMPLATES])
def test_tokens_are_those_of_the_processors(template, stage):
    rng = random.Random(f"{template} {stage}")
    for cutoff in (8, 16, 33, 64, 128, 300):
        ours = Cutoff(*parts(template), cutoff)
        theirs = lf_processor(template, cutoff, stage)
        for _ in range(8):
            row = some_row(rng, stage)
            made = theirs.preprocess_dataset(batch(row))
            if stage == "sft":
                real = [made["input_ids"], made["labels"]]
            elif stage == "rm":
                real = [made["chosen_input_ids"], made["rejected_input_ids"]]
            else:
                real = [made["input_ids"]]
            assert kept_of(ours, row, stage) == [each[0] for each in real], row


def kept_of(cutoff, row, stage):
    parts = [(kept, pair) for kept, pair in cutoff.kept(row, stage) if kept]
    if stage == "sft":
        ids = [one for kept, (s, t) in parts for one in s[: kept[0]] + t[: kept[1]]]
        labels = [one for kept, (_, t) in parts for one in [-100] * kept[0] + t[: kept[1]]]
        return [ids, labels]
    ((kept, (source, *answers)),) = parts
    return [source[: kept[0]] + each[: kept[1]] for each in answers]


@pytest.mark.model
def test_room_is_theirs():
    from llamafactory.data.processor.processor_utils import infer_seqlen

    rng = random.Random(0)
    for _ in range(5000):
        lengths = rng.randint(0, 60), rng.randint(0, 60), rng.randint(1, 60)
        assert room(*lengths) == infer_seqlen(*lengths)


@pytest.mark.model
@pytest.mark.parametrize("packing", [True, False])
def test_pretraining_blocks_are_theirs(packing):
    rng = random.Random(1)
    rows = [Example([message("user", some_text(rng))], []) for _ in range(30)]
    ours = Cutoff(*parts("chatml"), 50, unpacked=not packing)
    made = lf_processor("chatml", 50, "pt", packing).preprocess_dataset(batch(*rows))
    attr = attributes({"columns": {"prompt": "text"}})
    found = [ours.row("pt", judge({"text": row.prompt[0]["content"]}, attr, "pt")) for row in rows]
    ours.batch_ends()
    whole = dict(ours.whole())
    if packing:
        tokens = sum(map(len, made["input_ids"]))
        assert all(len(ids) == 50 for ids in made["input_ids"])
        rest, of = (int(each.replace(",", "")) for each in whole["packing_rest"].split()[:3:2])
        assert of - rest == tokens
    else:
        assert whole == {}
        # A cut row is as long as there is room for, and has lost its end token.
        cut = [ids[-1] != ours.tokenizer.end for ids in made["input_ids"]]
        assert [bool(rules) for rules in found] == cut
        assert any(cut)
        assert not all(cut)


class Words:
    """A tokenizer whose tokens are characters; the end token is a bar."""

    end = ord("|")

    def encode(self, text):
        return [ord(each) for each in text.replace("<|im_end|>", "|")]


def rules(cutoff, *words, stage="sft"):
    row = {"conversations": [{"from": who, "value": text} for who, text in words]}
    found = judge(row, attributes({"formatting": "sharegpt"}), "sft")
    return list(Cutoff(TEMPLATES["default"], Words(), cutoff).row(stage, found))


def test_rules_by_hand():
    # "Human: hi|\nAssistant:" has 21 tokens, "yes|\n" has 5.
    assert rules(26, ("human", "hi"), ("gpt", "yes")) == []
    assert rules(25, ("human", "hi"), ("gpt", "yes")) == ["cut_prompt"]
    # Long responses: 21 and 102 tokens.
    long = ("gpt", "y" * 100)
    assert rules(123, ("human", "hi"), long) == []
    assert rules(122, ("human", "hi"), long) == []  # only the line break behind the end is cut
    assert rules(121, ("human", "hi"), long) == ["no_end_token"]
    assert rules(120, ("human", "hi"), long) == ["cut_response", "no_end_token"]
    assert "lost_turns" in rules(26, ("human", "hi"), ("gpt", "yes"), ("human", "x"), ("gpt", "y"))


def test_nothing_left():
    assert "no_response_left" in rules(1, ("human", "h" * 50), ("gpt", "yes"))


def test_rows_with_tools_are_not_measured():
    made = Example([message("user", "a")], [message("assistant", "b")], tools="[]")
    cutoff = Cutoff(TEMPLATES["default"], Words(), 5)
    assert cutoff.row("sft", Verdict(example=made)) == ["not_measured"]


@pytest.mark.model
def test_what_is_refused():
    assert cutoff_of(DoctorParams()) is None
    for alone in ({"model": "smollm2"}, {"cutoff_len": 512}, {"template": "chatml"}):
        with pytest.raises(UsageError, match="go together"):
            DoctorParams(**alone)
    with pytest.raises(UsageError, match="--cutoff-len 0"):
        DoctorParams(model="smollm2", cutoff_len=0)
    with pytest.raises(UsageError, match="--stage spo.*dpo.*Did you mean"):
        DoctorParams(stage="spo")
    with pytest.raises(UsageError, match="--template qwen.*chatml"):
        cutoff_of(DoctorParams(model="smollm2", cutoff_len=5, template="qwen"))
    with pytest.raises(ModelError, match="smolm2"):
        cutoff_of(DoctorParams(model="smolm2", cutoff_len=5))


@pytest.mark.model
def test_template_of_the_bundled_model():
    cutoff = cutoff_of(DoctorParams(model="smollm2", cutoff_len=512))
    assert cutoff.about == "template chatml, cutoff 512 tokens"
    assert isinstance(cutoff.tokenizer, Tokens)
