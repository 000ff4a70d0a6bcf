"""`deploy compare` as a shell calls it: a real model, servers, killed runs, wrong words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import app
from tests.calling import Caller, share_models
from tests.conftest import SAMPLE


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Caller:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    Path("ask.txt").write_text("".join(f"问题{at}？\n" for at in range(12)), encoding="utf-8")
    return Caller(capsys, app, "deploy")


class Server:
    """OpenAI's interface, and a function in the place of a model; counts what it is asked."""

    def __init__(self, answer: Callable[[str], str | int]) -> None:
        self.asked: list[str] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = body["messages"][-1]["content"]
                told.asked.append(said)
                self._send(answer(said))

            def _send(self, found: str | int) -> None:
                message = {"role": "assistant", "content": found}
                body: dict[str, Any] = {"choices": [{"message": message, "finish_reason": "stop"}]}
                if isinstance(found, int):
                    body = {"error": {"message": "no"}}
                data = json.dumps(body).encode()
                self.send_response(found if isinstance(found, int) else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                # Who asked may have gone: one refusal ends all that was asked beside it.
                with suppress(ConnectionError):
                    self.wfile.write(data)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1#model"


@contextmanager
def serving(answer: Callable[[str], str | int]) -> Iterator[Server]:
    made = Server(answer)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join(10)


def adapter(folder: Path) -> Path:
    """A LoRA adapter of the bundled model that has learned nothing but noise, in one layer."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    config = LoraConfig(r=2, target_modules=["down_proj"], layers_to_transform=[15])
    config.base_model_name_or_path, config.task_type = "smollm2", "CAUSAL_LM"
    config.save_pretrained(folder)
    torch.manual_seed(0)
    layer = "base_model.model.model.layers.15.mlp.down_proj"
    noise = {"lora_A": torch.randn(2, 1536), "lora_B": torch.randn(576, 2)}
    weights = {f"{layer}.{name}.weight": each for name, each in noise.items()}
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_model_and_its_adapter_side_by_side(call, tmp_path):
    rows = json.loads(SAMPLE.read_text(encoding="utf-8"))[:3]
    Path("rows.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    folder = adapter(tmp_path / "saves" / "noise")
    words = ("--base", "smollm2", "--tuned", folder, "--prompts", "rows.json", "--max-tokens", 6)
    answer = call("compare", *words, "--judge", "pairs", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["name"] == "noise_beside_smollm2"
    assert (told["asked"], told["answered"], told["failed"]) == (3, 3, {"base": 0, "tuned": 0})
    judge = told["judge"]
    assert judge["wins"] + judge["losses"] + judge["ties"] == 3
    assert {"bleu", "rouge_l", "characters"} <= set(told["measures"])
    page, lines, manifest = (Path(each) for each in told["files"])
    assert "3 prompts of rows.json; 3 with a reference" in page.read_text(encoding="utf-8")
    first = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert first[0]["messages"][-1]["content"] == rows[0]["conversations"][0]["value"]
    assert any(each["base"]["text"] != each["tuned"]["text"] for each in first)
    assert str(tmp_path) not in manifest.read_text(encoding="utf-8")
    before = page.read_bytes()
    again = call("compare", *words, "--judge", "pairs")
    assert again.code == 0
    assert page.read_bytes() == before
    assert "3 prompts: too few to tell a difference" in again.err


def test_two_servers_and_a_judge_that_is_asked_in_both_orders(call):
    def judge(said: str) -> str:
        better = "A" if said.index("微调") < said.index("基础") else "B"
        return "hm" if "问题3" in said else "A" if "问题4" in said else better

    with (
        serving(lambda said: f"基础：{said}") as base,
        serving(lambda said: 400 if "问题5" in said else f"微调：{said}") as tuned,
        serving(judge) as judging,
    ):
        words = ("--base", base.address, "--tuned", tuned.address, "--prompts", "ask.txt")
        answer = call("compare", *words, "--judge", judging.address, "--name", "x", "--json")
        assert answer.code == 0, answer.err
        assert len(judging.asked) == 22
        told = json.loads(answer.out.splitlines()[-1])
        assert told["failed"] == {"base": 0, "tuned": 1}
        how = {"agreed": 9, "malformed": 1, "position": 1}
        assert told["judge"]["how"] == how
        assert (told["judge"]["wins"], told["judge"]["ties"]) == (9, 2)
        assert told["judge"]["told"] == "better"
        assert told["kinds"] == {"better": 9, "failed": 1, "tie": 2}
        # A server's answers are not kept: it may serve another model tomorrow.
        before = len(base.asked)
        assert call("compare", *words, "--name", "x").code == 0
        assert len(base.asked) == 2 * before
    page = Path("reports/x.html").read_text(encoding="utf-8")
    assert "no answer: http://127.0.0.1" in page
    assert "answered 400: no" in page


def test_worse_beyond_doubt_is_a_finding(call):
    with serving(lambda said: "好") as base, serving(lambda said: "坏") as tuned:
        rows = [{"instruction": f"问{at}", "input": "", "output": "好"} for at in range(12)]
        Path("rows.json").write_text(json.dumps(rows), encoding="utf-8")
        words = ("--base", base.address, "--tuned", tuned.address, "--prompts", "rows.json")
        answer = call("compare", *words)
        assert answer.code == 1
        assert "finding: the tuned model is worse by the references (ROUGE-L)" in answer.err
        turned = ("--base", tuned.address, "--tuned", base.address, "--prompts", "rows.json")
        assert call("compare", *turned).code == 0


def test_a_run_that_was_killed_goes_on_and_writes_the_same_bytes(call, tmp_path):
    halt = threading.Event()

    def slow(said: str) -> str:
        if "问题9" in said:
            halt.wait(20)
        return f"基础：{said}"

    with serving(slow) as base, serving(lambda said: f"微调：{said}") as tuned:
        words = ["compare", "--base", base.address, "--tuned", tuned.address]
        words += ["--prompts", "ask.txt", "--name", "x"]
        code = "from deploy.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, *words],
            env={**os.environ},
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        ) as process:
            limit = time.monotonic() + 60
            while not any("问题9" in each for each in base.asked) and time.monotonic() < limit:
                time.sleep(0.02)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not Path("reports/x.html").exists()
        halt.set()
        assert call(*words).code == 0
        assert base.asked.count("问题0？") == 1  # of the batch that was done before
        assert tuned.asked.count("问题0？") == 1
        first = [Path(f"reports/x.{ending}").read_bytes() for ending in ("html", "jsonl")]
        assert call(*words).code == 0
        assert base.asked.count("问题0？") == 2
        second = [Path(f"reports/x.{ending}").read_bytes() for ending in ("html", "jsonl")]
        assert first == second


def test_a_server_that_wants_a_key_says_so_once(call, monkeypatch):
    monkeypatch.delenv("CURATRAIN_API_KEY", raising=False)
    with serving(lambda said: 401) as server:
        words = ("--base", server.address, "--tuned", "smollm2", "--prompts", "ask.txt")
        line = call.refused(
            "answered 401: the key is missing; it is read from CURA", "compare", *words
        )
        assert line.count("401") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--base": "smolm2"}, r"--base: no model 'smolm2'. Did you mean 'smollm2'\?"),
        ({"--tuned": "empty"}, "--tuned: model directory 'empty' has no config.json of a tr"),
        ({"--tuned": "http://127.0.0.1:9/v1#m"}, "no server answers at http://127.0.0.1:9/v1"),
        ({"--judge": "pear"}, "--judge: no ranker or reward model 'pear'.*Did you mean 'pairs'"),
        ({"--judge": "http://127.0.0.1:9/v1#m"}, "no server answers at http://127.0.0.1:9/v1"),
        ({"--prompts": "nowhere.txt"}, "no file 'nowhere.txt'"),
        ({"--prompts": None}, "no run.json says .*; give --prompts FILE, or --dataset NAME"),
        ({"--tuned": "nothing", "--prompts": None}, "--tuned: no model 'nothing'"),
        ({"--prompts": "blank.txt"}, "blank.txt is empty"),
        ({"--limit": 0}, "--limit"),
        ({"--max-tokens": 0}, "--max-tokens.*greater than or equal to 1"),
        ({"--name": "a/b"}, "--name a/b: allowed are"),
        ({"--tuned": None}, "--tuned"),
    ],
)
def test_wrong_words_are_answered_in_a_line(call, changes, message):
    Path("empty").mkdir()
    Path("blank.txt").write_text("\n \n")
    given = {"--base": "smollm2", "--tuned": "smollm2", "--prompts": "ask.txt", **changes}
    words = [str(each) for pair in given.items() if pair[1] is not None for each in pair]
    call.refused(message, "compare", *words)
    assert not list(Path().glob("reports/*"))
