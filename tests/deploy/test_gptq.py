"""GPTQ for real: `make test-gptq` builds the environment and quantises the bundled model."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from curate.system import environments, programs
from curate.system.model_folder import tensors
from deploy.cli import app
from deploy.engines.hf import free_port
from deploy.quantizing import gptq
from tests.calling import Caller
from tests.conftest import SAMPLE

pytestmark = [pytest.mark.gptq, pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    if environments.python(gptq.environment()) is None:
        pytest.skip("`deploy setup gptq` has not built the environment")
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    rows = json.loads((SAMPLE.parent / "alpaca_en.json").read_text(encoding="utf-8"))[:60]
    Path("data/rows.json").write_text(json.dumps(rows), encoding="utf-8")
    Path("data/dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}')
    return Caller(capsys, app, "deploy")


@pytest.mark.parametrize(("bits", "worse", "smaller"), [(4, 0.3, 4.0), (8, 0.02, 3.0)])
def test_the_bundled_model_in_few_bits(call, bits, worse, smaller):
    answer = call(
        "quantize", "smollm2", "--bits", bits, "--dataset", "rows", "--rows", 32, "--json"
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["folder"] == f"smollm2-{bits}bit"
    assert told["group_size"] == 64
    before, after = told["before"], told["after"]
    assert before["bytes"] / after["bytes"] > smaller
    assert math.log(after["perplexity"] / before["perplexity"]) < worse
    assert before["answer"]
    assert after["answer"]
    packed = [each for each in tensors(Path(told["folder"])) if each.name.endswith("qweight")]
    assert len(packed) == 30 * 7
    assert "offload_to_disk_path" not in Path(told["folder"], "config.json").read_text()
    if bits == 4:
        assert "Paris" in served(Path(told["folder"]))


def served(model: Path) -> str:
    """Return what LLaMA-Factory's api answers with the model."""
    backend = gptq.backend()
    port = free_port()
    variables = {
        **backend.variables,
        "API_HOST": "127.0.0.1",
        "API_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
    }
    arguments = ["--model_name_or_path", str(model.resolve()), "--template", "chatml"]
    child = programs.start(backend.command("api", arguments), Path("api.log"), variables)
    asked = {"role": "user", "content": "What is the capital of France?"}
    body = {"model": "m", "messages": [asked], "temperature": 0.01, "max_tokens": 20}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with programs.stopping(child, 10):
        until = time.monotonic() + 600
        while time.monotonic() < until:
            assert child.code() is None, Path("api.log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    return str(json.load(answer)["choices"][0]["message"]["content"])
            except urllib.error.URLError:
                time.sleep(1)
    raise AssertionError("it did not answer")
