"""The bundled model's likelihoods: as transformers computes them, and as recorded."""

from __future__ import annotations

import pytest

from curate.models.causal_lm import CausalLM, load_causal_lm
from curate.models.protocols import TokenSequence
from curate.models.resolve import resolve
from tests.models.tiny import naive

pytestmark = pytest.mark.model
# text: nats over all its tokens after <|im_start|>, float32
RECORDED: dict[str, float] = {
    "The capital of France is Paris. It lies on the river Seine.": 49.404,
    "Three primary colours: red, yellow and blue.\n1. Red\n2. Yellow\n3. Blue": 63.120,
    "def add(a, b):\n    return a + b\n": 32.458,
    "In 2020, 2148000 people lived there 😀.": 75.150,
    "法国的首都是巴黎。": 100.429,
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHello! How can I help you?": 70.430,
}


@pytest.fixture(scope="module")
def exact() -> CausalLM:
    lm = load_causal_lm("smollm2", "float32")
    lm.prepare()
    return lm


@pytest.fixture(scope="module")
def batch(exact: CausalLM) -> list[TokenSequence]:
    made = []
    for ids in exact.encoder.encode(list(RECORDED)):
        whole = (exact.encoder.first_token or 0, *ids)
        made.append(TokenSequence(whole, ((1, len(whole)),)))
    return made


def test_likelihoods_are_the_recorded_ones(exact: CausalLM, batch: list[TokenSequence]) -> None:
    assert exact.route == "selected"
    sums = [line[0] for line in exact.span_nll(batch)]
    assert sums == pytest.approx(list(RECORDED.values()), abs=1e-2)


def test_likelihoods_are_those_of_transformers(exact: CausalLM, batch: list[TokenSequence]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2").folder).eval()
    for sequence, given in zip(batch, exact.span_nll(batch), strict=True):
        assert given == pytest.approx(naive(model, sequence), rel=1e-4)


def test_bfloat16_is_near(exact: CausalLM, batch: list[TokenSequence]) -> None:
    rough = load_causal_lm("smollm2", "bfloat16")
    rough.prepare()
    assert rough.fingerprint != exact.fingerprint
    for given, wanted in zip(rough.span_nll(batch), exact.span_nll(batch), strict=True):
        assert given[0] == pytest.approx(wanted[0], rel=0.02)
