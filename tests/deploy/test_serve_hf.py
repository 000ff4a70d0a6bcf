"""`deploy serve` and `deploy ask` with the bundled model and LLaMA-Factory's api, for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curate.llamafactory.release import STUB
from curate.models.generate import load_generator
from curate.system.cache import cache_dir
from tests.deploy.odd_requests import check
from tests.deploy.runs import make_run
from tests.deploy.serving import DEPLOY, JSON, alive, serving

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(600)]
KEY = "a-key-that-is-long-enough-for-tests"
VARIABLES = {"SERVE_KEY": KEY, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    arguments = ["serve", "smollm2", "--engine", "hf", "--port", 0, "--stop-timeout", 6, "--json"]
    arguments += ["--api-key-env", "SERVE_KEY"]
    with serving(DEPLOY, *arguments, folder=folder, **VARIABLES) as found:
        found.key = KEY
        yield found


def log_of(server):
    port = server.url.rpartition(":")[2]
    return (cache_dir() / "logs" / f"serve-hf-{port}.log").read_text()


def ask(server, *arguments, key=True):
    command = [*DEPLOY, "ask", "--url", server.url, *map(str, arguments)]
    command += ["--api-key-env", "SERVE_KEY"] if key else []
    environment = {**os.environ, **VARIABLES}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_it_is_ready_and_says_so(server):
    assert server.models == ["smollm2"]
    assert server.request("GET", "/health").json == {"status": "ready"}
    assert "engine hf loads smollm2" in server.err.read_text()
    assert "Try: deploy ask" in server.err.read_text()


def test_ask_streams_the_greedy_answer(server):
    said = ask(server, "What is the capital of France?")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == "The capital of France is Paris.\n"


def test_ask_says_when_an_answer_was_cut_off_and_how_it_ended(server):
    said = ask(server, "Tell me a long story.", "--max-tokens", 8, "--json")
    told = json.loads(said.stdout)
    assert told["finish_reason"] == "length"
    assert "note: cut off after 8 tokens" in said.stderr
    assert told["model"] == "smollm2"
    assert told["answer"]


def test_ask_without_the_key_says_what_to_do(server):
    said = ask(server, "Hi", key=False)
    assert said.returncode == 2
    assert "401" in said.stderr
    assert "--api-key-env NAME" in said.stderr


def test_ask_for_a_model_that_is_not_there_names_those_that_are(server):
    for named in (("--model", "smolm2"), ("--url", f"{server.url}/v1#smolm2")):
        said = ask(server, "Hi", *named)
        assert said.returncode == 2
        assert "no model 'smolm2' here. Did you mean 'smollm2'?" in said.stderr


def test_a_stream_comes_in_pieces(server):
    events = server.chat("Count from one to five.", max_tokens=16, stream=True).events
    assert events[-1] == "[DONE]"
    assert len(events) > 5


def test_the_official_clients_calls(server):
    import openai

    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    assert [model.id for model in client.models.list()] == ["smollm2"]
    assert client.models.retrieve("smollm2").id == "smollm2"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4' here"):
        client.models.retrieve("gpt-4")
    ask = client.chat.completions.create
    asked = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}]}
    few = {"temperature": 0, "max_tokens": 8}
    whole = ask(**asked, **few)
    pieces = list(ask(**asked, **few, stream=True, stream_options={"include_usage": True}))
    text = "".join(x.choices[0].delta.content or "" for x in pieces if x.choices)
    assert text == whole.choices[0].message.content
    assert pieces[-1].usage == whole.usage
    for fields in ({"n": 2}, {"stop": ["x"]}):
        with pytest.raises(openai.BadRequestError, match="Engine vllm does"):
            ask(**asked, **few, **fields)
    tool = {"name": "weather", "description": "of a city", "parameters": {"type": "object"}}
    tool["parameters"]["properties"] = {"city": {"type": "string", "description": "its name"}}
    called = ask(**asked, **few, tools=[{"type": "function", "function": tool}])
    assert called.choices[0].message.role == "assistant"
    # What LLaMA-Factory's template writes of a tool is what the engine has read more of.
    code = "import json, sys; from llamafactory.data.tool_utils import DefaultToolUtils as Tools; "
    code += "print(Tools.tool_formatter(json.loads(sys.argv[1])))"
    command = [sys.executable, "-c", code, json.dumps([tool])]
    paths = {**os.environ, "PYTHONPATH": str(STUB)}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout
    encoder = load_generator("smollm2").encoder
    before = encoder.tokenizer.apply_chat_template(asked["messages"], tokenize=False)
    assert "system" in before  # the bundled template has a system text of its own
    [more] = encoder.encode([told.strip()])
    assert called.usage.prompt_tokens - whole.usage.prompt_tokens in range(
        len(more) - 24, len(more) + 24
    )
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turns = [*asked["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    turns.append({"role": "tool", "tool_call_id": "1", "content": "sunny"})
    answer = ask(model="smollm2", messages=turns, **few)
    assert answer.choices[0].finish_reason in ("stop", "length")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0).models.list()


def test_a_conversation_in_the_terminal(server):
    words = ["chat", f"{server.url}/v1", "--api-key-env", "SERVE_KEY", "--max-tokens", "24"]
    typed = "What is the capital of France?\n\nOf which country is it?\n/reset\nAnd again?\n"
    environment = {**os.environ, **VARIABLES}
    done = subprocess.run(
        [*DEPLOY, *words], input=typed, capture_output=True, text=True, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert answers[0] == "The capital of France is Paris."
    assert "France" in answers[1]  # it has been told the first question
    assert "what was said is forgotten" in done.stderr


def test_ctrl_c_ends_the_answer_and_not_the_conversation(server):
    words = ["chat", server.url, "--api-key-env", "SERVE_KEY", "--max-tokens", "2000"]
    with subprocess.Popen(
        [*DEPLOY, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, **VARIABLES},
    ) as chat:  # fmt: skip
        chat.stdin.write("Tell me a very long story.\n")
        chat.stdin.flush()
        assert chat.stdout.read(4)
        chat.send_signal(signal.SIGINT)
        rest, told = chat.communicate("What is the capital of France?\n", timeout=240)
    assert chat.returncode == 0, told
    assert "stopped" in told
    assert len(rest.splitlines()[-1]) > 5


def test_the_tutorials_body_and_plain_answers(server):
    plain = server.chat("What is the capital of France?", max_tokens=24)
    tutorial = server.chat("What is the capital of France?", max_new_tokens=24, model="smollm2")
    assert plain.said == tutorial.said == "The capital of France is Paris."
    assert "max_new_tokens" in tutorial.headers["X-Curatrain-Note"]
    assert plain.json["usage"]["completion_tokens"] > 5


def test_repetition_is_punished_and_no_answer_is_the_same_by_chance(server):
    fields = {"max_tokens": 24, "repetition_penalty": 1.8}
    question = "Repeat the word dog twenty times."
    assert server.chat(question, **fields).said != server.chat(question, max_tokens=24).said


BAD = [
    (b"{", 400),
    (b"\xff\xfe", 400),
    (b"[" * 5000, 400),
    (b"null", 400),
    ({"messages": [{"role": "user", "content": "x"}], "top_p": 7}, 400),
    ({"messages": [{"role": "user", "content": "long " * 9000}]}, 400),
    ({"messages": [{"role": "user", "content": "x"}], "model": "gpt-4"}, 404),
    ({"messages": [{"role": "user", "content": "x"}], "presence_penalty": 1}, 400),
    ({"messages": [{"role": "user", "content": "\ud83d"}]}, 400),
]


@pytest.mark.parametrize(("body", "status"), BAD)
def test_bad_bodies_are_refused_and_the_server_lives_on(server, body, status):
    answer = server.request("POST", "/v1/chat/completions", body)
    assert answer.status == status
    assert answer.error
    assert server.request("GET", "/health").status == 200


def test_who_leaves_midway_does_not_stop_the_others(server):
    connection = server.connect()
    body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 40}
    headers = {**JSON, "Authorization": f"Bearer {KEY}"}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps({**body, "stream": True}), headers
    )
    assert connection.getresponse().read(20)
    connection.close()
    assert server.chat("What is the capital of France?", max_tokens=24).said.endswith("Paris.")


def test_keys_and_questions_are_in_no_log_and_the_engine_is_for_this_machine_alone(server):
    server.chat("xylophone", max_tokens=2)
    told = log_of(server) + server.err.read_text()
    assert "xylophone" not in told
    for pid in (server.process.pid, *server.group()):
        told += Path(f"/proc/{pid}/cmdline").read_text()
    assert KEY not in told
    assert "Uvicorn running on http://127.0.0.1:" in told
    assert "0.0.0.0" not in told


TUTORIAL = """{"model": "string", "messages": [{"role": "user", "content": "我身体疼痛"}],
"temperature": 0, "top_p": 0, "max_new_tokens": 0, "stream": false}"""


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A server whose answers are short, whatever is asked."""
    folder = tmp_path_factory.mktemp("short")
    arguments = ["serve", "smollm2", "--engine", "hf", "--port", 0, "--max-length", 96, "--json"]
    arguments += ["--api-key-env", "SERVE_KEY"]
    with serving(DEPLOY, *arguments, folder=folder, **VARIABLES) as found:
        found.key = KEY
        yield found


def test_the_tutorials_own_request_is_answered(short):
    answer = short.request("POST", "/v1/chat/completions", TUTORIAL.encode())
    assert (answer.status, bool(answer.said)) == (200, True)
    assert "model 'string' was taken as not given" in answer.headers["X-Curatrain-Note"]


def test_odd_requests(short):
    check(short, lambda: log_of(short))


def test_prompt_and_answer_are_never_longer_than_max_length(short):
    messages = []
    for turn in range(2):
        messages += [{"role": "user", "content": f"Tell a long story, part {turn}."}]
        usage = short.request(
            "POST", "/v1/chat/completions", {"messages": messages, "temperature": 0}
        )
        assert 80 < usage.json["usage"]["total_tokens"] <= 96
        messages += [{"role": "assistant", "content": "Once."}]


def test_zz_stopped_while_it_answers_nothing_is_left(server):
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(server.chat("Tell a story.", max_tokens=4000, stream=True))
    )
    asking.start()
    time.sleep(2)
    started = server.group()
    assert started
    assert server.stop() < 6 + 2
    asking.join()
    assert server.process.returncode == 0
    assert not alive(started)
    assert answers[0].events[-1] != "[DONE]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "tuned")


def test_a_run_answers_as_its_adapter_does(run, tmp_path):
    from tests.models.tiny import answers

    arguments = ["serve", run, "--engine", "hf", "--port", 0, "--json"]
    with serving(DEPLOY, *arguments, folder=tmp_path, **VARIABLES) as found:
        assert found.models == ["tuned"]
        question = "Give three tips for staying healthy."
        said = found.chat(question, max_tokens=12).said
    asked = [{"role": "user", "content": question}]
    assert said.strip() == answers(load_generator(str(run)), [asked], 12)[0]
    assert said.strip() != answers(load_generator("smollm2"), [asked], 12)[0]
