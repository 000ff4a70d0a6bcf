"""What a request may say, and what engines are given for it."""

from __future__ import annotations

import json

import pytest

from deploy.engines import hf, vllm
from deploy.engines.contract import Adapter, Served
from deploy.gate.body import CHAT, TEXT, take
from deploy.gate.endings import Endings
from deploy.gate.keys import check_host, is_loopback, is_right, read_key
from deploy.gate.offer import Offer, Refused

HF = Offer("hf", ("tuned", "base"), hf.engine().fields, context=100)
VLLM = Offer("vllm", ("tuned", "base"), vllm.FIELDS, completions=True, context=100)
BOTH = pytest.mark.parametrize("offer", [HF, VLLM], ids=["hf", "vllm"])
HI = [{"role": "user", "content": "Hi there"}]


def words(text):
    return len(text.split())


def chat(offer=HF, **fields):
    return take(json.dumps({"messages": HI, **fields}).encode(), CHAT, offer, words)


def no(match, offer=HF, **fields):
    with pytest.raises(Refused, match=match) as raised:
        chat(offer, **fields)
    return raised.value


@BOTH
def test_nothing_is_left_to_the_engine(offer):
    taken = chat(offer)
    assert taken.fields == {
        "messages": HI,
        "model": "tuned",
        "temperature": 1.0,
        "top_p": 1.0,
        "stream": False,
        "max_tokens": 100 - 2 - 16 * 3,
    }
    assert taken.notes == ()


@BOTH
@pytest.mark.parametrize("name", ["max_new_tokens", "max_completion_tokens"])
def test_other_names_of_the_length_are_understood(offer, name):
    taken = chat(offer, **{name: 5, "temperature": 0})
    assert (taken.fields["max_tokens"], taken.fields["temperature"]) == (5, 0)
    assert taken.notes == (f"{name} was taken as max_tokens",)
    assert name not in taken.fields
    no("say different things", offer, max_tokens=6, **{name: 5})
    assert chat(offer, max_tokens=5, **{name: 5}).fields["max_tokens"] == 5


@BOTH
def test_llama_factorys_do_sample_is_understood(offer):
    assert chat(offer, do_sample=False).fields["temperature"] == 0
    assert chat(offer, do_sample=True).fields["temperature"] == 1.0
    no("another", offer, do_sample=False, temperature=0.7)
    no("true or false", offer, do_sample="no")


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
        {"temperature": None},
    ],
)
def test_what_changes_nothing_is_taken_everywhere(offer, fields):
    assert chat(offer, **fields).fields["max_tokens"] == 50


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
    [{"chat_template": "{{ x }}"}, {"stop_token_ids": [1]}, {"tools": [{}]}, {"guided_regex": "a"}],
)
def test_fields_of_nobody_are_refused(offer, fields):
    assert no("is nothing that engine", offer, **fields).code == "unknown_field"


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
        {"top_p": 0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"max_tokens": 99},
        {"stream": "yes"},
        {"stream": 1},
    ],
)
def test_out_of_range(offer, fields):
    (name,) = fields
    no(f"'{name}'|the model takes 100", offer, **fields)


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
def test_messages_that_are_none(offer, messages):
    assert no("message", offer, messages=messages).status == 400


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
        take(raw, CHAT, HF, words)
    assert (raised.value.status, raised.value.code) == (400, "not_json")


def test_models():
    assert chat(model="base").fields["model"] == "base"
    assert no("Did you mean 'tuned'", model="tunde").status == 404
    assert no("There is tuned, base", model=5).status == 404


def test_prompts_that_are_too_long():
    messages = [{"role": "user", "content": "word " * 101}]
    no("101 tokens of prompt: the model takes 100", messages=messages)
    messages = [{"role": "user", "content": "word " * 99}]
    assert chat(messages=messages).fields["max_tokens"] == 1
    no("99 tokens of prompt and 2 for the answer", messages=messages, max_tokens=2)


def test_completions():
    taken = take(b'{"prompt": "Once", "max_tokens": 3}', TEXT, VLLM, words)
    assert taken.fields["prompt"] == "Once"
    for prompt in ('""', '["a"]', "[1, 2]", "5"):
        with pytest.raises(Refused, match="'prompt' has to be a text"):
            take(f'{{"prompt": {prompt}}}'.encode(), TEXT, VLLM, words)


# What engines are given


def served(tmp_path, *adapters):
    config = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    return Served("m", tmp_path, adapters, None, "BASE", config, 2048, "float32", False)


def test_hf_gets_its_own_name_of_the_penalty(tmp_path):
    told = hf.translate(served(tmp_path), {"repetition_penalty": 1.2, "model": "m"})
    assert told == {"presence_penalty": 1.2, "model": "m"}


def test_vllm_gets_what_an_adapter_was_trained_with(tmp_path):
    adapter = Adapter("a", tmp_path, 8, "chatml", "TEMPLATE", (7,))
    both = served(tmp_path, adapter)
    assert vllm.translate(both, {"model": "m", "messages": HI}) == {"model": "m", "messages": HI}
    told = vllm.translate(both, {"model": "a", "messages": HI})
    assert (told["chat_template"], told["stop_token_ids"]) == ("TEMPLATE", [7])
    assert "chat_template" not in vllm.translate(both, {"model": "a", "prompt": "x"})


def test_vllm_is_started_privately_eager_on_a_cpu_and_without_secrets(tmp_path, monkeypatch):
    monkeypatch.setattr(vllm.environments, "python", lambda environment: tmp_path / "python")
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    adapters = [Adapter("a", tmp_path / "x", 4), Adapter("b", tmp_path / "y", 24)]
    launch = vllm.launch(served(tmp_path, *adapters), tmp_path, "SECRET")
    line = " ".join(launch.arguments)
    assert "SECRET" not in line
    assert launch.variables["VLLM_API_KEY"] == "SECRET"
    assert launch.variables["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert launch.socket == tmp_path / "engine.sock"
    assert f"--uds {launch.socket}" in line
    assert "--port" not in line
    assert "--enforce-eager" in line
    assert "--max-lora-rank 32 --max-loras 2" in line
    assert f"--lora-modules a={tmp_path / 'x'} b={tmp_path / 'y'}" in line


def test_hf_is_started_on_this_machine_alone_and_without_secrets(tmp_path):
    launch = hf.launch(served(tmp_path, Adapter("a", tmp_path, 4, "chatml")), tmp_path, "SECRET")
    line = " ".join(launch.arguments)
    assert "SECRET" not in line
    assert launch.variables["API_HOST"] == "127.0.0.1"
    assert launch.variables["API_KEY"] == "SECRET"
    assert "--template chatml" in line


# How streams end


@pytest.mark.parametrize(("most", "reason"), [(3, "length"), (4, "stop")])
def test_cut_off_streams_say_so(most, reason):
    endings = Endings(most, words)
    for text in ("one ", "two ", "three"):
        line = f'data: {{"choices": [{{"delta": {{"content": "{text}"}}}}]}}\n'.encode()
        assert endings.line(line) == line
    last = endings.line(b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n')
    assert json.loads(last[6:])["choices"][0]["finish_reason"] == reason
    assert endings.line(b"data: [DONE]\n") == b"data: [DONE]\n"


# Keys


@pytest.mark.parametrize("text", ["", " \n", "two words", "zwei\nzeilen", "schlüssel"])
def test_keys_that_can_be_none(tmp_path, monkeypatch, text):
    from curate.errors import UsageError

    (tmp_path / "key").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SERVE_KEY", text)
    for named in (("SERVE_KEY", None), (None, tmp_path / "key")):
        with pytest.raises(UsageError, match="--api-key-") as raised:
            read_key(*named)
        assert not text.strip() or text.strip() not in str(raised.value)


def test_keys_are_read(tmp_path, monkeypatch):
    from curate.errors import UsageError

    (tmp_path / "key").write_text("abc\n")
    assert read_key(None, tmp_path / "key") == "abc"
    assert read_key(None, None) is None
    monkeypatch.delenv("SERVE_KEY", raising=False)
    with pytest.raises(UsageError, match="no such environment variable"):
        read_key("SERVE_KEY", None)
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(None, tmp_path / "nothing")
    with pytest.raises(UsageError, match="one of them"):
        read_key("SERVE_KEY", tmp_path / "key")


def test_right_keys():
    assert is_right("bearer abc", "abc")
    for wrong in (None, "", "abc", "Bearer", "Bearer ab", "Bearer abcd", "Basic abc", "Bearer é"):
        assert not is_right(wrong, "abc")


def test_hosts():
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    said = []
    check_host("0.0.0.0", "short", said.append)
    assert "can be guessed" in said[0]
    check_host("0.0.0.0", "x" * 32, said.append)
    check_host("127.0.0.1", None, said.append)
    assert len(said) == 1
