"""LlamaForward against transformers' own forward pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from curate.models.llama import LlamaForward, _Layout, _layout, fits
from tests.models.tiny import VOCABULARY, make

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "grouped": ("Llama", {}),
    "every head its own": ("Llama", {"num_key_value_heads": 4}),
    "one group": ("Llama", {"num_key_value_heads": 1}),
    "head_dim apart": ("Llama", {"head_dim": 16}),
    "attention bias": ("Llama", {"attention_bias": True}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "untied": ("Llama", {"tie_word_embeddings": False}),
    "odd eps": ("Llama", {"rms_norm_eps": 0.1}),
    "qwen2, q k v biases": ("Qwen2", {}),
    "mistral": ("Mistral", {"sliding_window": None}),
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
ROPES: dict[str, dict[str, Any]] = {
    "llama3": LLAMA3,
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
    "linear": {"rope_type": "linear", "factor": 2.0},
}


def difference(model: Any, batch: int, length: int) -> float:
    torch.manual_seed(2)
    ids = torch.randint(0, VOCABULARY, (batch, length))
    with torch.inference_mode():
        expected = model.model(input_ids=ids).last_hidden_state.flatten(0, 1)
        assert fits(model.config)
        given = LlamaForward(copy.deepcopy(model))(ids)
    return float((given - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("batch", "length"), [(3, 17), (1, 1), (2, 128), (2, 300)])
def test_hidden_states_are_those_of_transformers(variant: str, batch: int, length: int) -> None:
    kind, changes = VARIANTS[variant]
    assert difference(make(kind, **changes), batch, length) < 1e-5


@pytest.mark.parametrize("shared", [1, 8, 23, 70, 99, 100])
@pytest.mark.parametrize("variant", ["grouped", "every head its own", "qwen2, q k v biases"])
def test_a_common_start_is_computed_once_and_changes_nothing(variant: str, shared: int) -> None:
    kind, changes = VARIANTS[variant]
    model = make(kind, **changes)
    torch.manual_seed(3)
    ids = torch.randint(0, VOCABULARY, (4, 100))
    ids[:, :shared] = ids[0, :shared]
    with torch.inference_mode():
        expected = model.model(input_ids=ids).last_hidden_state.flatten(0, 1)
        given = LlamaForward(copy.deepcopy(model))(ids)
    assert float((given - expected).abs().max() / expected.abs().max()) < 1e-5


def test_lines_of_a_batch_with_a_common_start() -> None:
    ids = torch.arange(20).repeat(3, 1)
    ids[1, 17:] = 0
    assert _layout(ids) == _Layout(batch=3, length=20, shared=16)
    assert _layout(ids).lines == 16 + 3 * 4
    assert _layout(ids[:1]).shared == 0
    assert _layout(ids[::2]).shared == 16  # equal sequences keep a rest of their own
    lines = _layout(ids).lined(ids)
    assert lines.tolist() == [*range(16), 16, 17, 18, 19, 16, 0, 0, 0, 16, 17, 18, 19]
    back = torch.empty_like(ids)
    _layout(ids).padded(lines, back)
    assert torch.equal(back, ids)


@pytest.mark.parametrize("rope", ROPES)
def test_scaled_rotations_are_those_of_transformers(rope: str) -> None:
    parameters = {"rope_theta": 10000.0, **ROPES[rope]}
    model = make("Llama", rope_parameters=parameters)
    assert difference(model, 2, 300) < 1e-5


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Llama", {"hidden_act": "gelu"}),
        ("Llama", {"mlp_bias": True}),
        ("Mistral", {"sliding_window": 64}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0}),
        ("Llama", {"rope_parameters": {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 2.0}}),
        ("Gemma2", {}),
        ("Granite", {}),
        ("Qwen3", {}),
    ],
)
def test_what_it_does_not_compute_is_refused(kind: str, changes: dict[str, Any]) -> None:
    assert not fits(make(kind, **changes).config)


def test_bfloat16_is_as_near_to_float32_as_transformers_is() -> None:
    model = make("Llama", initializer_range=0.1)
    ids = torch.arange(200)[None]
    with torch.inference_mode():
        exact = model.model(input_ids=ids).last_hidden_state.flatten(0, 1)
        theirs = model.bfloat16().model(input_ids=ids).last_hidden_state.flatten(0, 1)
        ours = LlamaForward(model)(ids)
    assert float((ours - exact).norm()) < 1.2 * float((theirs - exact).norm())


def test_layers_are_taken_out_as_they_are_packed() -> None:
    model = make("Llama")
    LlamaForward(model)
    assert len(model.model.layers) == 0
