"""Which engine serves which model."""

from pathlib import Path

import pytest

from curate.errors import UsageError
from curate.system import environments
from deploy.engines.contract import Served
from deploy.serving.served_model import choose


def served(bits=None, gpu=False):
    config = {"quantization_config": {"quant_method": "gptq", "bits": bits}} if bits else {}
    return Served("m", Path("m"), (), None, "x", config, 2048, "float32", gpu)


@pytest.fixture
def vllm(monkeypatch):
    """Say whether vLLM's environment is built."""

    def built(there):
        monkeypatch.setattr(environments, "python", lambda given: Path("p") if there else None)

    return built


def test_auto_is_vllm_where_it_is_built_and_takes_the_model(vllm):
    vllm(True)
    assert [choose("auto", served(bits)).name for bits in (None, 4, 8)] == ["vllm", "vllm", "hf"]
    assert choose("auto", served(8, gpu=True)).name == "vllm"
    vllm(False)
    assert choose("auto", served()).name == "hf"


def test_what_vllm_does_not_take_is_refused_before_it_starts(vllm):
    vllm(True)
    with pytest.raises(UsageError, match="GPTQ models of 4 bits, and this one has 8; --engine hf"):
        choose("vllm", served(8))
    assert choose("hf", served(8)).name == "hf"


def test_unknown_engines():
    with pytest.raises(UsageError, match="--engine tgi: allowed are auto, vllm, hf"):
        choose("tgi", served())
