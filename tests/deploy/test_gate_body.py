"""What a request may say, and what engines are given for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.engines import hf, vllm
from deploy.engines.contract import Adapter, Served
from deploy.gate.accepted_requests import CHAT, TEXT, Refused, Room, check_body

NAMES = ("tuned", "base")
HF = replace(hf.engine(), names=lambda served: NAMES)
VLLM = replace(vllm.ENGINE, names=lambda served: NAMES)
SERVED = Served("base", Path("base"), (), None, "", {}, 100, "float32", False)
BOTH = pytest.mark.parametrize("engine", [HF, VLLM], ids=["hf", "vllm"])
HI = [{"role": "user", "content": "Hi there"}]


def words(text):
    return len(text.split())


def chat(engine=HF, **fields):
    return checked(json.dumps({"messages": HI, **fields}).encode(), CHAT, engine)


def checked(raw, kind, engine=HF):
    fields, notes = check_body(raw, kind, engine, SERVED, Room(), words)
    return SimpleNamespace(fields=fields, notes=tuple(notes))


def no(match, engine=HF, **fields):
    with pytest.raises(Refused, match=match) as raised:
        chat(engine, **fields)
    return raised.value


@BOTH
def test_nothing_is_left_to_the_engine(engine):
    taken = chat(engine)
    assert taken.fields == {
        "messages": HI,
        "model": "tuned",
        "temperature": 1.0,
        "top_p": 1.0,
        "stream": False,
        "max_tokens": 100 - 2 - 16,
    }
    assert taken.notes == ()


def test_sampling_is_the_requests_then_the_models_then_openais():
    raw, own = json.dumps({"messages": HI}).encode(), replace(SERVED, sampling={"top_p": 0.8})
    fields, _ = check_body(raw, CHAT, HF, own, Room(), words)
    assert (fields["temperature"], fields["top_p"]) == (1.0, 0.8)
    raw = json.dumps({"messages": HI, "top_p": 0.5}).encode()
    assert check_body(raw, CHAT, HF, own, Room(), words)[0]["top_p"] == 0.5


@BOTH
@pytest.mark.parametrize("name", ["max_new_tokens", "max_completion_tokens"])
def test_other_names_of_the_length_are_understood(engine, name):
    taken = chat(engine, **{name: 5, "temperature": 0})
    assert (taken.fields["max_tokens"], taken.fields["temperature"]) == (5, 0)
    assert taken.notes == (f"{name} was taken as max_tokens",)
    assert name not in taken.fields
    no("say different things", engine, max_tokens=6, **{name: 5})
    assert chat(engine, max_tokens=5, **{name: 5}).fields["max_tokens"] == 5


@BOTH
def test_llama_factorys_do_sample_is_understood(engine):
    assert chat(engine, do_sample=False).fields["temperature"] == 0
    assert chat(engine, do_sample=True).fields["temperature"] == 1.0
    no("another", engine, do_sample=False, temperature=0.7)
    no("true or false", engine, do_sample="no")


@BOTH
@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"stop": []},
        {"presence_penalty": 0},
        {"frequency_penalty": 0.0},
        {"logprobs": False},
        {"user": "me"},
        {"response_format": {"type": "text"}},
        {"best_of": 1, "echo": False, "tools": [], "tool_choice": "none"},
        {"temperature": None},
    ],
)
def test_what_changes_nothing_is_taken_everywhere(engine, fields):
    assert chat(engine, **fields).fields["max_tokens"] == 82


@pytest.mark.parametrize(
    "fields", [{"n": 2}, {"stop": ["x"]}, {"presence_penalty": 0.5}, {"seed": 1}, {"top_k": 5}]
)
def test_what_only_vllm_can_do_is_refused_by_hf_and_not_ignored(fields):
    (name,) = fields
    assert chat(VLLM, **fields).fields[name] == fields[name]
    assert no(f"'{name}' is nothing that engine hf understands", HF, **fields).status == 400


@BOTH
@pytest.mark.parametrize(
    "fields",
    [{"chat_template": "{{ x }}"}, {"stop_token_ids": [1]}, {"guided_regex": "a"}],
)
def test_fields_of_nobody_are_refused(engine, fields):
    assert no("is nothing that engine", engine, **fields).code == "unknown_field"


def test_a_misspelt_field_gets_a_hint():
    no("Did you mean 'temperature'", temprature=1)


@BOTH
@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": "0"},
        {"temperature": True},
        {"top_p": 1.1},
        {"temperature": 1e-320},
        {"temperature": 0.0001},
        {"repetition_penalty": 0},
        {"repetition_penalty": -1},
        {"repetition_penalty": 1e-300},
        {"repetition_penalty": 1e308},
        {"repetition_penalty": True},
        {"repetition_penalty": "x"},
        {"max_tokens": -1},
        {"max_tokens": 10**30},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"max_tokens": 99},
        {"stream": "yes"},
        {"stream": 1},
    ],
)
def test_out_of_range(engine, fields):
    (name,) = fields
    no(f"'{name}'|the model takes 100", engine, **fields)


@BOTH
@pytest.mark.parametrize(
    "messages",
    [
        [],
        "Hi",
        [5],
        [{"role": "user"}],
        [{"content": "x"}],
        [{"role": "tool", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "assistant", "content": "x"}],
        [*HI, *HI],
        [*HI, {"role": "assistant", "content": "x"}],
        [{"role": "system", "content": "x"}],
        [*HI, {"role": "system", "content": "x"}, *HI],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "\ud83d"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}],
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        [{"role": "user", "content": "x", "tool_calls": []}],
    ],
)
def test_messages_that_are_none(engine, messages):
    assert no("message", engine, messages=messages).status == 400


def test_parts_of_text_become_one_text():
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts, "name": "me"},
    ]
    assert chat(messages=messages).fields["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi\nthere"},
    ]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b"[]", b"5", b"[" * 99_999, b'{"messages": NaN}', b'{"a": Infinity}'],
)
def test_bodies_that_are_no_json_object(raw):
    with pytest.raises(Refused) as raised:
        checked(raw, CHAT)
    assert (raised.value.status, raised.value.code) == (400, "not_json")


def test_models():
    assert chat(model="base").fields["model"] == "base"
    assert no("Did you mean 'tuned'", model="tunde").status == 404
    assert no("'model' has to be a valid string, and is 5", model=5).status == 400


def test_prompts_that_are_too_long():
    messages = [{"role": "user", "content": "word " * 101}]
    no("117 tokens of prompt and 1 for the answer: the model takes 100", messages=messages)
    messages = [{"role": "user", "content": "word " * 83}]
    assert chat(messages=messages).fields["max_tokens"] == 1
    no("99 tokens of prompt and 2 for the answer", messages=messages, max_tokens=2)


def test_the_chat_template_is_counted_as_measured():
    room = Room(question=10, system=5, pair=20)
    assert [room.around(texts) for texts in (1, 2, 3, 4)] == [10, 10 + 5 + 2, 10 + 20 + 4, 41]
    assert Room(question=10, system=-3, pair=20).around(2) == 12


@BOTH
def test_placeholders_of_pages_are_not_given(engine):
    raw = {"model": "string", "temperature": 0, "top_p": 0, "max_new_tokens": 0, "stream": False}
    taken = chat(engine, **raw)
    assert taken.fields == {**chat(engine, temperature=0).fields}
    assert taken.notes == (
        "top_p 0 was taken as not given",
        "max_new_tokens 0 was taken as not given",
        "model 'string' was taken as not given",
    )
    assert chat(engine, max_tokens=0).fields["max_tokens"] == 82
    no("'max_tokens' has to be", engine, max_tokens=False)


def test_all_that_is_wrong_is_said_at_once():
    found = no(
        "has to be|nothing|model|more", model="x", temperature=9, nonsense=1, repetition_penalty=0
    )
    assert found.status == 400
    penalty = "'repetition_penalty' has to be greater than or equal to 0.1, and is 0"
    for told in ("no model 'x'", "'temperature' has to be", "'nonsense' is nothing", penalty):
        assert told in found.message


def test_what_is_said_back_is_short():
    for fields in ({"model": "m" * 9000}, {"x" * 9000: 1}, {"temperature": "t" * 9000},
                   {"messages": HI * 9000}, {f"x{each}": 1 for each in range(9000)}):  # fmt: skip
        assert len(no("has to be|nothing|model|more", **fields).message) < 1500


def test_another_engines_field_is_not_taken_for_a_slip():
    told = no("vllm", stop=["。"]).message
    assert "Did you mean" not in told
    assert "where it serves the model. Engine hf takes messages, model" in told


@pytest.mark.parametrize(
    "fields",
    [{"n": 0}, {"n": 99}, {"n": True}, {"seed": 2**64}, {"stop": [5]}, {"top_k": -7}, {"min_p": 2},
     {"presence_penalty": 3}, {"frequency_penalty": "1"}, {"logprobs": 1}, {"top_logprobs": 99},
     {"ignore_eos": 1}, {"min_tokens": -1}, {"response_format": "json"}, {"stream_options": [1]}],
)  # fmt: skip
def test_fields_of_vllm_are_checked_under_their_own_names(fields):
    (name,) = fields
    no(f"'{name}' has to be ", VLLM, **fields)


WEATHER = {"type": "function", "function": {"name": "weather", "description": "of a city"}}
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = [
    *HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
]
WITH_TOOLS = replace(SERVED, chat_template="{% if tools %}<tool_call>{% endif %}", context=900)


def with_tools(engine, served=WITH_TOOLS, messages=HI, **fields):
    raw = json.dumps({"messages": messages, "tools": [WEATHER], **fields}).encode()
    return check_body(raw, CHAT, engine, served, Room(), words)[0]


@BOTH
def test_tools_and_what_they_said_are_taken(engine):
    assert with_tools(engine)["tools"] == [WEATHER]
    taken = with_tools(engine, messages=CALLED)["messages"]
    assert taken[1]["tool_calls"] == [CALL]
    assert taken[2] == CALLED[2]
    for wrong, told in (
        ({"tools": [{}]}, "'tools.0.function' is missing"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools.0.function.name' has"),
        ({"messages": [*HI, {"role": "assistant", "content": None}, *HI]}, "content' is missing"),
        ({"messages": [*HI, CALLED[1], *HI, CALLED[2]]}, "has to be user, assistant"),
    ):
        with pytest.raises(Refused, match=told):
            with_tools(engine, **wrong)


def test_what_an_engine_cannot_do_with_tools_is_refused_and_says_which_can():
    several = [*CALLED, {"role": "tool", "tool_call_id": "2", "content": "rain"}]
    assert len(with_tools(VLLM, messages=several, stream=True)["messages"]) == 4
    for fields in ({"messages": several}, {"stream": True}, {"tool_choice": "required"}):
        with pytest.raises(Refused, match="engine hf .*vllm"):
            with_tools(HF, **fields)
    assert "stream" in with_tools(HF, stream=True, tool_choice="none")
    with pytest.raises(Refused, match="template of this model has none that vLLM could read"):
        with_tools(VLLM, SERVED)
    # An adapter's own template is what its requests are rendered by.
    adapter = Adapter("tuned", Path("tuned"), chat_template="{{ messages }}")
    both = replace(WITH_TOOLS, adapters=(adapter,))
    assert with_tools(VLLM, both, model="base")["tools"] == [WEATHER]
    with pytest.raises(Refused, match="template of this model has none that vLLM could read"):
        with_tools(VLLM, both, model="tuned")


def test_the_template_is_told_to_think_or_not_and_nothing_else():
    taken = chat(VLLM, chat_template_kwargs={"enable_thinking": False}).fields
    assert taken["chat_template_kwargs"] == {"enable_thinking": False}
    no("may not have chat_template", VLLM, chat_template_kwargs={"chat_template": "{{ x }}"})
    no("Engine vllm does", HF, chat_template_kwargs={"enable_thinking": False})


def test_completions():
    taken = checked(b'{"prompt": "Once", "max_tokens": 3}', TEXT, VLLM)
    assert taken.fields["prompt"] == "Once"
    for prompt in ('""', '["a"]', "[1, 2]", "5"):
        with pytest.raises(Refused, match="'prompt' has to "):
            checked(f'{{"prompt": {prompt}}}'.encode(), TEXT, VLLM)
