"""Whatever the architecture, the chosen route gives transformers' own likelihoods."""

from __future__ import annotations

from typing import Any

import pytest

from curate.errors import ModelError
from curate.models import routes
from curate.models.architecture import LogitRule
from curate.models.causal_lm import CausalLM
from tests.models.tiny import make, naive, sequences

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "gpt2": ("GPT2", {}),
    "bloom": ("Bloom", {}),
    "gemma2, capped logits": ("Gemma2", {"head_dim": 8, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3Text", {"head_dim": 8, "sliding_window": 16}),
    "granite, scaled logits": ("Granite", {"logits_scaling": 8.0, "embedding_multiplier": 2.0}),
    "cohere, scaled logits": ("Cohere", {"logit_scale": 0.0625}),
    "mistral, sliding": ("Mistral", {"sliding_window": 16}),
    "phi, head bias": ("Phi", {}),
    "dynamic rope": (
        "Llama",
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 2.0}},
    ),
}


def causal_lm(make_model: Any) -> CausalLM:
    return CausalLM(
        make_model,
        None,  # type: ignore[arg-type]
        name="tiny",
        fingerprint="f",
        dtype="float32",
        device="cpu",
        max_positions=512,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("without", [(), ("packed",), ("packed", "selected")])
def test_every_route_gives_the_likelihoods_of_transformers(
    kind: str, without: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, changes = KINDS[kind]
    name = "Gemma3" if name == "Gemma3" else name
    for route in without:
        monkeypatch.setattr(routes, f"_{route}", lambda model: None)
    model = causal_lm(lambda: make(name, **changes))
    model.prepare()
    assert model.route == ["packed", "selected", "whole"][len(without)]
    batch = sequences(40, 7, 23, 3)
    reference = make(name, **changes)
    for given, sequence in zip(model.span_nll(batch), batch, strict=True):
        assert given == pytest.approx(naive(reference, sequence), rel=2e-5, abs=1e-4)


def test_a_way_that_is_wrong_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return make("Gemma2", head_dim=8, final_logit_softcapping=3.0)

    monkeypatch.setattr(routes, "logit_rule", lambda config: LogitRule())
    model = causal_lm(load)
    model.prepare()
    assert model.route == "whole"
    assert len(loads) == 2  # the first was taken apart by the packed way
    batch = sequences(20)
    assert model.span_nll(batch)[0] == pytest.approx(naive(load(), batch[0]), rel=1e-5)


def test_whole_logits_are_held_a_few_lines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("Llama")
    batch = sequences(30, 20, 10)
    expected = [naive(model, sequence) for sequence in batch]
    for route in ("_packed", "_selected"):
        monkeypatch.setattr(routes, route, lambda model: None)
    monkeypatch.setattr(routes, "_MOST_LOGITS", 1)
    lm = causal_lm(lambda: make("Llama"))
    lm.prepare()
    for given, wanted in zip(lm.span_nll(batch), expected, strict=True):
        assert given == pytest.approx(wanted, rel=1e-5)


def test_a_model_that_looks_ahead_is_refused() -> None:
    model = causal_lm(lambda: make("Bert", is_decoder=False).eval())
    with pytest.raises(ModelError, match="model 'tiny' is not causal"):
        model.prepare()


def test_bfloat16_takes_the_packed_route() -> None:
    model = causal_lm(lambda: make("Llama", initializer_range=0.05).bfloat16())
    model.prepare()
    assert model.route == "packed"
