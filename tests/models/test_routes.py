"""Whatever the architecture, the chosen route gives transformers' own likelihoods."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from curate.errors import ModelError
from curate.models import likelihood_routes as routes
from curate.models.causal_lm import load_causal_lm, open_lm
from curate.models.likelihood_routes import LogitRule
from curate.models.protocols import TokenSequence
from curate.models.resolve import resolve
from tests.models.tiny import VOCABULARY, causal_lm, make, naive, save, sequences

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("without", [(), ("selected",)])
def test_every_route_gives_the_likelihoods_of_transformers(
    kind: str, without: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, changes = KINDS[kind]
    name = "Gemma3" if name == "Gemma3" else name
    for route in without:
        monkeypatch.setattr(routes, f"_{route}", lambda *given: None)
    model = causal_lm(lambda: make(name, **changes))
    model.prepare()
    assert model.route == ["selected", "whole"][len(without)]
    batch = sequences(40, 7, 23, 3)
    # Of two that begin alike, the start is computed once.
    twin = TokenSequence((*batch[0].ids[:29], 7, 8, 9), ((1, 32),))
    reference = make(name, **changes)
    for given, sequence in zip(model.span_nll(batch), batch, strict=True):
        assert given == pytest.approx(naive(reference, sequence), rel=2e-5, abs=1e-4)
    for given, sequence in zip(model.span_nll([batch[0], twin]), [batch[0], twin], strict=True):
        assert given == pytest.approx(naive(reference, sequence), rel=2e-5, abs=1e-4)


def test_a_way_that_is_wrong_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        return make("Gemma2", head_dim=8, final_logit_softcapping=3.0)

    monkeypatch.setattr(routes, "logit_rule", lambda config: LogitRule())
    model = causal_lm(load)
    model.prepare()
    assert model.route == "whole"
    batch = sequences(20)
    assert model.span_nll(batch)[0] == pytest.approx(naive(load(), batch[0]), rel=1e-5)


def test_whole_logits_are_held_a_few_lines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("Llama")
    batch = sequences(30, 20, 10)
    expected = [naive(model, sequence) for sequence in batch]
    monkeypatch.setattr(routes, "_selected", lambda *given: None)
    monkeypatch.setattr(routes, "_MOST_LOGITS", 1)
    lm = causal_lm(lambda: make("Llama"))
    lm.prepare()
    for given, wanted in zip(lm.span_nll(batch), expected, strict=True):
        assert given == pytest.approx(wanted, rel=1e-5)


def test_a_model_that_looks_ahead_is_refused() -> None:
    model = causal_lm(lambda: make("Bert", is_decoder=False).eval())
    with pytest.raises(ModelError, match="model 'tiny' is not causal"):
        model.prepare()


def test_bfloat16_takes_the_selected_route() -> None:
    model = causal_lm(lambda: make("Llama", initializer_range=0.05).bfloat16())
    model.prepare()
    assert model.route == "selected"


def test_rounding_turns_no_way_down() -> None:
    made = make("Llama", initializer_range=1.0)
    ids = torch.arange(48).view(2, -1) * 37 % VOCABULARY
    places = torch.arange(23)
    with torch.inference_mode():
        exact = routes._whole(made, ids, places, ids[0, 1:])
        rough = routes._whole(made.bfloat16(), ids, places, ids[0, 1:])
    assert float((rough - exact).abs().max()) > 0.5  # more than some wrong formulas are off by
    weights = {name: weight.clone() for name, weight in made.state_dict().items()}
    model = causal_lm(lambda: made)
    model.prepare()
    assert model.route == "selected"
    for name, weight in made.state_dict().items():
        assert weight.dtype == weights[name].dtype
        assert torch.equal(weight, weights[name])


def test_a_formula_that_rounding_would_hide_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "logit_rule", lambda config: LogitRule(scale=0.99))
    model = causal_lm(lambda: make("Llama").bfloat16())
    model.prepare()
    assert model.route == "whole"


@pytest.mark.model
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_bundled_model_is_judged_in_float32(dtype: str) -> None:
    with torch.inference_mode():
        made = open_lm("smollm2", dtype).load()
        probe = routes._Probe(made)
        whole = AutoModelForCausalLM.from_pretrained(resolve("smollm2").folder, dtype=made.dtype)
        exact = routes._whole(whole.float(), probe.ids, probe.places, probe.targets)
        torch.testing.assert_close(probe.expected, exact, rtol=0, atol=1e-3)
        assert probe.accepted(True)
        assert {weight.dtype for weight in made.parameters()} == {getattr(torch, dtype)}


def test_a_common_start_is_computed_once() -> None:
    ids = torch.arange(20).repeat(3, 1)
    ids[1, 17:] = 0
    assert [routes._common_start(each) for each in (ids, ids[:1], ids[::2])] == [16, 0, 16]
    model = make("Llama")
    seen = []
    model.model.register_forward_pre_hook(
        lambda module, given, named: seen.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    with torch.inference_mode():
        hidden = routes._selected(model, True, torch.float32).hidden(ids)
        expected = model.model(input_ids=ids).last_hidden_state.flatten(0, 1)
    assert seen == [(1, 16), (3, 4), (3, 20)]
    torch.testing.assert_close(hidden, expected, rtol=1e-5, atol=1e-5)


def test_the_answer_is_kept_for_the_same_weights(tmp_path, scratch_cache, monkeypatch) -> None:
    folder = save(make("Llama"), tmp_path / "model")
    first = load_causal_lm(str(folder), "float32")
    first.prepare()
    monkeypatch.setattr(routes, "_Probe", None)  # nothing is judged any more
    again = load_causal_lm(str(folder), "float32")
    again.prepare()
    assert again.route == first.route == "selected"
    assert again.span_nll(sequences(20, 9)) == first.span_nll(sequences(20, 9))
    other = load_causal_lm(
        str(save(make("Llama", num_hidden_layers=1), tmp_path / "other")), "float32"
    )
    with pytest.raises(TypeError):
        other.prepare()
