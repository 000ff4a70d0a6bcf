"""What engines are given: how they are started, how their streams end, and which keys there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from curate.llamafactory.release import STUB
from curate.system.keys import read_key
from deploy.engines import hf, vllm
from deploy.engines.contract import Adapter, Served
from deploy.gate.app import StreamEndings, is_right
from deploy.serving.served_model import check_host, is_loopback

HI = [{"role": "user", "content": "Hi there"}]


def words(text):
    return len(text.split())


def served(tmp_path, *adapters):
    config = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}
    return Served("m", tmp_path, adapters, None, "BASE", config, 2048, "float32", False)


def test_hf_gets_its_own_name_of_the_penalty(tmp_path):
    told = hf.translate(served(tmp_path), {"repetition_penalty": 1.2, "model": "m"})
    assert told == {"presence_penalty": 1.2, "model": "m"}


def test_hf_writes_the_opening_that_the_plain_template_lacks(tmp_path):
    plain = replace(served(tmp_path), opening="<bos>")
    system, *others = hf.translate(plain, {"messages": HI})["messages"]
    assert system["content"].startswith("<bos>Below is an instruction that describes a task.")
    assert others == HI
    typed = [{"role": "system", "content": "Be kind."}, *HI]
    system, *others = hf.translate(plain, {"messages": typed})["messages"]
    assert (system["content"], others) == ("<bos>Be kind.", HI)
    # A run's own template is LLaMA-Factory's affair.
    tuned = replace(plain, adapters=(Adapter("a", tmp_path, template="gemma"),))
    assert hf.translate(tuned, {"messages": HI})["messages"] == HI


def test_hf_gets_tools_as_llamafactory_reads_them(tmp_path):
    tool = {"type": "function", "function": {"name": "f"}}
    told = hf.translate(served(tmp_path), {"tools": [tool], "tool_choice": "auto"})
    (function,) = (each["function"] for each in told["tools"])
    assert set(told) == {"tools"}
    assert (function["name"], function["description"]) == ("f", "")
    assert hf.translate(served(tmp_path), {"tools": [tool], "tool_choice": "none"}) == {}


@pytest.mark.slow
def test_hf_gets_calls_as_rows_have_them(tmp_path):
    call = {"name": "天气", "arguments": '{"city": "巴黎"}'}
    broken = {"name": "x", "arguments": "{"}
    calls = [{"id": "1", "type": "function", "function": each} for each in (call, broken)]
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": calls}]
    told = hf.translate(served(tmp_path), {"messages": turns})["messages"]
    assert told[0] == turns[0]
    assert told[1]["role"] == "function"
    assert json.loads(told[1]["content"])[1] == broken
    code = "import sys; from llamafactory.data.formatter import FunctionFormatter as F; "
    code += "print(F(slots=['{{content}}'], tool_format='default').apply(content=sys.argv[1])[0])"
    command = [sys.executable, "-c", code, json.dumps(json.loads(told[1]["content"])[:1])]
    paths = {**os.environ, "PYTHONPATH": str(STUB)}
    written = subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout
    assert written.strip() == 'Action: 天气\nAction Input: {"city": "巴黎"}'


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("{{ tools }}<tool_call>", "hermes"),
        ("{{ tools }}<|python_tag|>", "llama3_json"),
        ("{{ tools }}[TOOL_CALLS]", "mistral"),
        ("<tool_call>", ""),
    ],
)
def test_vllm_is_told_how_a_model_writes_its_calls(tmp_path, monkeypatch, template, parser):
    monkeypatch.setattr(vllm.environments, "python", lambda environment: tmp_path / "python")
    launch = vllm.launch(replace(served(tmp_path), chat_template=template), tmp_path, "SECRET")
    line = " ".join(launch.arguments)
    assert (f"--enable-auto-tool-choice --tool-call-parser {parser}" in line) == bool(parser)
    assert ("--tool-call-parser" in line) == bool(parser)


def test_the_usage_of_a_stream_stands_before_its_end():
    endings = StreamEndings(9, words, 5)
    chunk = {"id": "1", "choices": [{"delta": {"content": "one two"}, "finish_reason": "stop"}]}
    endings.line(f"data: {json.dumps(chunk)}\n".encode())
    usage, end = endings.line(b"data: [DONE]\n").split(b"\n\n")
    told = json.loads(usage.removeprefix(b"data: "))
    assert (told["id"], told["choices"]) == ("1", [])
    assert told["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert end == b"data: [DONE]\n"
    assert StreamEndings(9, words).line(end) == end


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
    endings = StreamEndings(most, words)
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
