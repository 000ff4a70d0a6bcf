"""What `deploy serve` and `deploy ask` say when something is wrong: one line, exit code 2."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer

from curate.errors import UsageError
from curate.llamafactory import release as llamafactory
from curate.system import environments
from curate.system.failure import explain_server
from deploy.cli import app
from deploy.commands import models
from deploy.commands.ask import endpoint
from deploy.engines.contract import Adapter, ServeCall
from deploy.gate.app import token_counter
from deploy.serving import first_answer
from deploy.serving.served_model import served
from tests.calling import Caller, share_models
from tests.deploy.serving import DEPLOY, alive, descendants, until
from tests.train.making import model_in


@pytest.fixture
def deploy(capsys):
    return Caller(capsys, app, "deploy")


@pytest.fixture
def free():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def adapter(folder, **config):
    folder.mkdir(parents=True, exist_ok=True)
    told = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "smollm2", **config}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def run(folder, **told):
    (folder / "run.json").write_text(json.dumps({"format": 1, "state": "done", **told}))
    return folder


# serve


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["smolm2"], "no model 'smolm2'. Did you mean 'smollm2'?"),
        (["smollm2", "--engine", "tgi"], "--engine tgi: allowed are auto, vllm, hf"),
        (["smollm2", "--host", "0.0.0.0"], "there is no key: give --api-key-env"),
        (["smollm2", "--api-key-env", "NO_SUCH_NAME"], "no such environment variable"),
        (["smollm2", "--stop-timeout", "-1"], "--stop-timeout -1: give seconds above 0"),
        (["smollm2", "--port", "70000", "--engine", "hf"], "0 .* to 65535"),
        (["smollm2", "--dtype", "int3"], "--dtype int3: allowed are auto"),
        (["smollm2", "--max-length", "999999"], "1 to 8192"),
        (["smollm2", "--adapter", "x"], "--adapter x: give NAME=PATH"),
        (["smollm2", "--adapter", "x=/no/such"], "no folder /no/such"),
    ],
)
@pytest.mark.model
def test_serve_says_what_is_wrong(deploy, arguments, why):
    deploy.refused(why, "serve", *arguments)


@pytest.mark.model
def test_engines_that_are_not_installed_name_one_command(deploy, free, tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "python", lambda environment: None)
    arguments = ["serve", "smollm2", "--port", free, "--engine"]
    deploy.refused("not installed; `deploy setup vllm` installs it", *arguments, "vllm")
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory"])
    deploy.refused("`train setup` installs it", *arguments, "hf")
    deploy.refused("`train setup` installs it", *arguments, "auto")


def test_files_that_are_no_adapter_or_run(deploy, tmp_path):
    deploy.refused(
        "not finished.*'running'", "serve", run(adapter(tmp_path / "a"), state="running")
    )
    broken = run(adapter(tmp_path / "b"))
    (broken / "run.json").write_text("{")
    deploy.refused("run.json cannot be read", "serve", broken)
    deploy.refused("is no LoRA adapter", "serve", adapter(tmp_path / "c", peft_type="IA3"))
    deploy.refused("has use_dora.*`deploy merge`", "serve", adapter(tmp_path / "d", use_dora=True))
    (tmp_path / "e").mkdir()
    deploy.refused("'x' is no adapter", "serve", "smollm2", "--adapter", f"x={tmp_path / 'e'}")


@pytest.mark.model
def test_names_and_numbers_of_adapters(deploy, free, tmp_path):
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    twice = ["--adapter", f"a={one}", "--adapter", f"a={two}"]
    deploy.refused("named 'a'; rename", "serve", "smollm2", *twice)
    both = ["--adapter", f"a={one}", "--adapter", f"b={two}", "--engine", "hf", "--port", free]
    deploy.refused("--engine vllm serves several", "serve", "smollm2", *both)


@pytest.mark.model
def test_a_run_is_found_by_its_name_with_what_it_was_trained_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = run(adapter(tmp_path / "saves" / "medical"), model="smollm2", template="chatml")
    (folder / "chat_template.jinja").write_text("TEMPLATE")
    (folder / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|im_end|>"}}')
    added = {"added_tokens": [{"id": 1, "content": "x"}, {"id": 2, "content": "<|im_end|>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(added))
    found = served(ServeCall("medical"))
    assert found.name == "smollm2"
    assert found.adapters == (Adapter("medical", folder, 4, "chatml", "TEMPLATE", (2,)),)
    assert (found.dtype, found.context) == ("float32", 8192)


@pytest.mark.model
def test_a_model_without_a_chat_template_gets_alpacas_everywhere(tmp_path):
    import shutil

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from curate.models.resolve import resolve
    from curate.models.row_templates import alpaca_prompt

    folder = shutil.copytree(resolve("smollm2").folder, tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    found = served(ServeCall(str(folder)))
    assert found.template == "alpaca"
    template = ImmutableSandboxedEnvironment().from_string(found.chat_template)
    asked = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "a\n"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    for messages in (asked, asked[1:], asked[1:2]):
        text = template.render(messages=messages, add_generation_prompt=True)
        assert text == alpaca_prompt(messages)
    assert found.opening == ""
    # A tokenizer that writes BOS before texts wants it before the plain template, too.
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    bos = {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    opened = served(ServeCall(str(folder)))
    assert opened.opening == "<|im_start|>"
    assert opened.chat_template == f"<|im_start|>{found.chat_template}"
    # What a tokenizer was last asked to do before it was saved hides no BOS, and counts no tokens.
    count = token_counter(folder)
    lengths = [count("a b c"), count("a")]
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    core.enable_truncation(2)
    core.enable_padding(direction="left", length=9)
    core.save(str(folder / "tokenizer.json"))
    assert served(ServeCall(str(folder))).opening == "<|im_start|>"
    count = token_counter(folder)
    assert [count("a b c"), count("a")] == lengths


@pytest.mark.model
@pytest.mark.timeout(300)
def test_transformers_own_answer_is_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    found = served(ServeCall("smollm2"))
    said = []
    answers = asyncio.run(first_answer.expected(found, ("smollm2",), tmp_path, said.append))
    assert answers == {"smollm2": "The capital of France is Paris."}
    assert len(said) == 1
    assert asyncio.run(first_answer.expected(found, ("smollm2",), tmp_path, said.append)) == answers
    assert len(said) == 1


def test_answers_that_agree():
    paris = "The capital of France is Paris."
    assert first_answer.agree(paris, " The capital of  France is Paris .", "float32")
    assert not first_answer.agree(paris, "The capital of France is Lyon.", "float32")
    assert first_answer.agree(paris, "The capital of France is the city of", "bfloat16")
    assert not first_answer.agree(paris, "Theory", "bfloat16")
    assert not first_answer.agree(paris, "", "bfloat16")
    assert first_answer.agree("", "", "bfloat16")


@pytest.mark.parametrize(
    ("lines", "code", "told"),
    [
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory", 1,
         "out of memory"),
        ("(EngineCore) ERROR 11-25 [core.py:1] ValueError: No available memory for the cache "
         "blocks.\nRuntimeError: Engine core initialization failed. See root cause", 1,
         "out of memory .*No available memory"),
        ("INFO out of memory is not the matter\nKeyError: 'layers'", 1, "^KeyError: 'layers'$"),
        ("", 3, "ended with code 3"),
    ],
)  # fmt: skip
def test_why_a_program_ended(tmp_path, lines, code, told):
    import re

    (tmp_path / "log").write_text(lines)
    said = explain_server(tmp_path / "log", code)
    assert re.search(told, said), said
    assert "\n" not in said


# ask


class Canned(http.server.BaseHTTPRequestHandler):
    """Says what the model's name asks for; its model is loaded when it has been asked twice."""

    loads = 0

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = {
            "breaks": (200, b'data: {"choices": [{"delta": {"content": "Hal"}}]}\n\n'),
            "fails": (200, b'data: {"error": {"message": "no memory"}}\n\n'),
            "html": (502, b"<html>Bad gateway</html>"),
            "detail": (422, b'{"detail": "Field required"}'),
            "locked": (401, b'{"error": {"message": "the key is missing"}}'),
        }
        status, body = answers[told["model"]]
        if Canned.loads > 0:
            Canned.loads -= 1
            status, body = (
                503,
                b'{"error": {"message": "the server is loading", "code": "loading"}}',
            )
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def canned():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("html", "answered 502.*Bad gateway"),
        ("detail", "answered 422: Field required"),
        ("locked", "401: the key is missing.*--api-key-env NAME"),
        ("fails", "the server says: no memory"),
    ],
)
def test_ask_says_what_the_server_says(deploy, canned, model, why):
    deploy.refused(why, "ask", "Hi", "--url", canned, "--model", model)


def test_ask_waits_for_a_server_that_loads(deploy, canned, monkeypatch):
    monkeypatch.setattr(Canned, "loads", 2)
    answer = deploy("ask", "Hi", "--url", canned, "--model", "breaks")
    assert answer.out == "Hal"
    assert answer.err.count("the server loads its model; waiting") == 1


def test_ask_says_that_an_answer_broke_off(deploy, canned):
    answer = deploy("ask", "Hi", "--url", canned, "--model", "breaks")
    assert answer.code == 2
    assert answer.out == "Hal"
    assert "broke off in the middle" in answer.errors[0]


def test_ask_without_a_server(deploy, free):
    deploy.refused(
        "no server answers .*`deploy serve smollm2`", "ask", "Hi", "--url", f"127.0.0.1:{free}"
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([" "], "the question is empty"),
        (["Hi", "--max-tokens", "0"], "--max-tokens.*greater than or equal to 1"),
        (["Hi", "--temperature", "3"], "--temperature.*less than or equal to 2"),
        (["Hi", "--url", "ftp://x"], "give an address"),
        (["Hi", "--url", "http://"], "names no server; give http"),
        (["Hi", "--url", "http://x:99999"], "cannot be read .*; give http"),
        (["Hi", "--api-key-env", "NO_SUCH_NAME"], "no such environment variable"),
    ],
)
def test_ask_says_what_is_wrong(deploy, arguments, why):
    deploy.refused(why, "ask", *arguments)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "http://localhost:8000/", "localhost:8000/v1", "localhost:8000/v1/",
     "http://localhost:8000/v1/chat/completions"],
)  # fmt: skip
def test_addresses_as_people_write_them(url):
    assert endpoint(url) == "http://localhost:8000/v1"


def test_a_model_whose_config_names_no_length_has_one_all_the_same(tmp_path):
    folder = str(model_in(tmp_path / "alibi", kind="bloom"))
    notes = []
    assert served(ServeCall(folder), notes.append).context == 2048
    assert "names no length; 2,048 tokens" in "".join(notes)
    assert served(ServeCall(folder, max_length=4096), notes.append).context == 4096
    for length in (100_000_000, 0):
        with pytest.raises(UsageError, match="1 to 32768"):
            served(ServeCall(folder, max_length=length), notes.append)


def test_what_a_models_authors_recommend_is_taken_where_a_request_says_nothing(tmp_path):
    folder = model_in(tmp_path / "small")
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "top_p": 2, "top_k": 20}')
    assert served(ServeCall(str(folder))).sampling == {"temperature": 0.6}


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_chat_that_is_killed_leaves_no_server(tmp_path):
    words = ["chat", "smollm2", "--engine", "hf"]
    with subprocess.Popen(
        [*DEPLOY, *words], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as chat:
        until(lambda: bool(descendants(chat.pid)), 150)
        started = descendants(chat.pid)
        chat.kill()
    until(lambda: not alive(started), 150)


def test_a_reward_model_is_not_served(deploy, tmp_path):
    told = {"format": 1, "state": "done", "stage": "rm", "model": "smollm2"}
    (tmp_path / "run.json").write_text(json.dumps(told))
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "smollm2"}')
    deploy.refused("is a reward model: it judges answers", "serve", tmp_path, "--port", 0)


def test_what_is_to_be_pasted_is_quoted(capsys):
    agreement = SimpleNamespace(answers=(), ties=0, changed=1, same=0)
    folder = Path("saves/运行 一-merged")
    models._show(agreement, {"folder": folder, "repaired": [], "bytes": 1, "dtype": "x"})
    assert (
        f"deploy serve '{folder}', or smaller: deploy quantize '{folder}'"
        in capsys.readouterr().err
    )


def test_a_chat_with_no_such_model_ends_with_the_one_line_of_its_server(tmp_path):
    line = [*DEPLOY, "chat", "nosuch"]
    chat = subprocess.run(
        line, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (chat.returncode, chat.stderr.count("error:")) == (2, 1), chat.stderr
    assert "no model 'nosuch'" in chat.stderr
