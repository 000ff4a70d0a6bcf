"""`deploy serve` with vLLM, for real: `make test-vllm`."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from curate.models.generate import load_generator
from curate.models.packaged_models import PACKAGED, ensure
from curate.models.resolve import ModelFiles
from curate.models.text_tokenizer import load_tokenizer
from curate.system.cache import cache_dir
from curate.system.model_folder import TOKENIZER_CONFIG
from tests.deploy.odd_requests import check
from tests.deploy.runs import make_run
from tests.deploy.serving import DEPLOY, JSON, alive, serving
from tests.models.tiny import answers

pytestmark = [pytest.mark.vllm, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(1200)]
KEY = "a-key-that-is-long-enough-for-tests"
QUESTION = "Give three tips for staying healthy."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "tuned")


@pytest.fixture(scope="module")
def server(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    arguments = ["serve", "smollm2", "--adapter", f"tuned={run}", "--engine", "vllm", "--json"]
    arguments += ["--port", 0, "--api-key-env", "SERVE_KEY", "--stop-timeout", 10]
    with serving(DEPLOY, *arguments, folder=folder, SERVE_KEY=KEY) as found:
        found.key = KEY
        yield found


def log_of(server):
    port = server.url.rpartition(":")[2]
    return (cache_dir() / "logs" / f"serve-vllm-{port}.log").read_text()


def test_model_and_adapter_answer_side_by_side_as_transformers_does(server, run):
    assert server.models == ["tuned", "smollm2"]
    asked = [[{"role": "user", "content": QUESTION}]]
    said = {}
    for name, model in (("smollm2", "smollm2"), ("tuned", str(run))):
        said[name] = server.chat(QUESTION, model=name, max_tokens=16).said.strip()
        assert said[name] == answers(load_generator(model), asked, 16)[0]
    assert said["smollm2"] != said["tuned"]


def test_the_tutorials_body_streams_and_stop_words(server):
    tutorial = server.chat("What is the capital of France?", max_new_tokens=24, model="smollm2")
    assert tutorial.said == "The capital of France is Paris."
    assert "max_new_tokens" in tutorial.headers["X-Curatrain-Note"]
    events = server.chat(QUESTION, model="smollm2", max_tokens=8, stream=True).events
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    stopped = server.chat(
        "What is the capital of France?", model="smollm2", max_tokens=24, stop=["is"]
    )
    assert stopped.said.strip() == "The capital of France"


def test_bare_texts_are_gone_on_with(server):
    body = {"model": "smollm2", "prompt": "One, two, three,", "max_tokens": 4, "temperature": 0}
    assert "four" in server.request("POST", "/v1/completions", body).json["choices"][0]["text"]


@pytest.mark.parametrize(
    "path", ["/tokenize", "/metrics", "/docs", "/invocations", "/v1/load_lora_adapter", "/pause"]
)
def test_what_of_vllm_ignores_its_key_is_not_there(server, path):
    assert server.request("GET", path).status == 404
    assert server.request("POST", path, {"prompt": "x"}).status == 404
    assert server.request("POST", path, {}, Authorization="Bearer x").status == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        ({"messages": [{"role": "user", "content": "x"}], "chat_template": "{{ x }}"}, 400),
        ({"messages": [{"role": "user", "content": "long " * 9000}]}, 400),
        ({"messages": [{"role": "user", "content": "x"}], "top_k": -7}, 400),
        ({"messages": [{"role": "user", "content": "x"}], "model": "gpt-4"}, 404),
    ],
)
def test_bad_bodies(server, body, status):
    answer = server.request("POST", "/v1/chat/completions", body)
    assert (answer.status, bool(answer.error)) == (status, True)
    assert server.request("GET", "/health").status == 200


def test_who_leaves_ends_the_work(server):
    connection = server.connect()
    body = {"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 4000}
    headers = {**JSON, "Authorization": f"Bearer {KEY}"}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({**body, "stream": True}), headers
    )
    assert connection.getresponse().read(20)
    connection.close()
    # 4,000 tokens would keep it busy for minutes.
    began = time.monotonic()
    assert server.chat("What is the capital of France?", model="smollm2", max_tokens=24).said
    assert time.monotonic() - began < 60


def test_keys_and_questions_are_in_no_log_and_no_port_is_open_but_ours(server):
    server.chat("xylophone", max_tokens=2)
    told = log_of(server) + server.err.read_text()
    assert "xylophone" not in told
    for pid in (server.process.pid, *server.group()):
        told += Path(f"/proc/{pid}/cmdline").read_text()
    assert KEY not in told
    assert "Starting vLLM server on unix:" in told


def test_odd_requests(server):
    check(server, lambda: log_of(server))


def test_zz_stopped_while_it_answers_nothing_is_left(server):
    asking = threading.Thread(
        target=lambda: server.chat("Tell a story.", max_tokens=4000, stream=True)
    )
    asking.start()
    time.sleep(3)
    started = server.group()
    assert len(started) >= 2
    assert server.stop() < 10 + 2
    asking.join()
    assert server.process.returncode == 0
    assert not alive(started)


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "blood_pressure",
            "description": "Of a patient.",  # which vLLM writes as null where there is none
            "parameters": {
                "type": "object",
                "properties": {"patient": {"type": "string", "maxLength": 20}},
                "required": ["patient"],
            },
        },
    }
]
CALLING = (
    "{% if tools %}<|im_start|>system\nTools: {% for tool in tools %}{{ tool | tojson }}"
    '{% endfor %}; answer <tool_call>{"name": …, "arguments": …}</tool_call><|im_end|>\n{% endif %}'
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% endif %}"
)


ASKED = {"role": "user", "content": "Ask for the blood pressure of Mr Li."}
CALL = {"name": "blood_pressure", "arguments": '{"patient": "Li"}'}


def calling_model(folder):
    """Write smollm2 with a template that has tools, taught to answer ASKED with CALL."""
    import torch
    from transformers import AutoModelForCausalLM

    bundled = ensure(PACKAGED["smollm2"])
    model = AutoModelForCausalLM.from_pretrained(bundled, dtype=torch.float32)
    model.save_pretrained(folder)
    for file in bundled.iterdir():
        if not (folder / file.name).exists() and file.name != "chat_template.jinja":
            shutil.copy(file, folder)
    settings = json.loads((bundled / TOKENIZER_CONFIG).read_text())
    (folder / TOKENIZER_CONFIG).write_text(json.dumps({**settings, "chat_template": CALLING}))
    tokenizer = load_tokenizer(ModelFiles("calling", folder))
    ids = tokenizer.apply_chat_template([ASKED], TOOLS, add_generation_prompt=True)["input_ids"]
    told = json.dumps({**CALL, "arguments": json.loads(CALL["arguments"])})
    answer = tokenizer.encode(f"<tool_call>{told}</tool_call><|im_end|>")
    whole, labels = torch.tensor([ids + answer]), torch.tensor([len(ids) * [-100] + answer])
    learning = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(60):
        loss = model(whole, labels=labels).loss
        if loss < 0.01:
            break
        loss.backward()
        learning.step()
        learning.zero_grad()
    model.save_pretrained(folder)
    return len(ids)


def test_tools_stand_in_the_prompt_and_calls_are_read_out_of_answers(tmp_path):
    model = tmp_path / "calling"
    model.mkdir()
    length = calling_model(model)
    calls = [{"id": "c1", "type": "function", "function": CALL}]
    turns = [ASKED, {"role": "assistant", "content": "", "tool_calls": calls}]
    turns += [{"role": "tool", "tool_call_id": "c1", "content": "150/95"}]
    line = ["serve", model, "--engine", "vllm", "--json", "--port", 0, "--stop-timeout", 10]
    with serving(DEPLOY, *line, folder=tmp_path) as server:
        how = {"model": "calling", "tools": TOOLS, "max_tokens": 60, "temperature": 0}
        answers = []
        for messages in ([ASKED], turns):
            answer = server.request("POST", "/v1/chat/completions", {**how, "messages": messages})
            assert answer.status == 200, answer.error
            answers.append(answer.json)
        first, second = (answer["usage"]["prompt_tokens"] for answer in answers)
        assert first == length
        assert second > first + 20, "the call and its result are in the prompt"
        (choice,) = answers[0]["choices"]
        (made,) = choice["message"]["tool_calls"]
        assert (choice["finish_reason"], made["function"]["name"]) == ("tool_calls", CALL["name"])
        assert json.loads(made["function"]["arguments"]) == json.loads(CALL["arguments"])
