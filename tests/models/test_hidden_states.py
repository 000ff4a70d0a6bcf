"""RDS+'s vectors: by hand, and a tiny seeded model against a plain loop in torch."""

import json
import pickle

import numpy as np
import pytest
import torch

from curate.data.read import read
from curate.models.hidden_states import load_hidden_states, weighted_mean
from curate.models.recipe import ModelRecipe
from tests.models.tiny import make, save

TEMPLATE = (
    "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_by_hand():
    # Weights 1/6, 2/6, 3/6: (0.5 + 0 + 1.5, 0 + 1 + 0) = (2, 1), divided by the root of 5.
    states = np.array([[3, 0], [0, 3], [3, 0]], dtype=np.float32)
    np.testing.assert_allclose(weighted_mean(states), np.array([2, 1]) / 5**0.5, rtol=1e-6)


@pytest.fixture(params=["Llama", "GPT2"])
def folder(request, tmp_path):
    folder = save(make(request.param), tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def naive(folder, text, longest):
    """One text after the other, one token after the other."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"][:longest]
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    whole = sum(range(1, len(ids) + 1))
    vector = torch.zeros(states.shape[-1], dtype=torch.float64)
    for place, state in enumerate(states[0].double(), 1):
        vector += state * place / whole
    return (vector / vector.norm()).numpy()


def test_against_a_plain_loop(folder, scratch_cache):
    model = load_hidden_states(str(folder), "float32")
    model.prepare()
    texts = ["[user]Why?\n[assistant]So.\n", "短", "a long text " * 100]
    *lengths, longest = model.lengths(texts)
    assert lengths == [26, 3]
    assert longest in (512, 1024)  # what the model takes, of 1,200 tokens
    found = model.embed(texts)
    assert found.shape == (3, model.dimensions)
    for vector, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(vector, naive(folder, text, longest), atol=1e-5)
    # Later tokens weigh more: it is no plain mean of the states.
    assert np.abs(found[0] - found[2]).max() > 0.01


def test_rows_in_the_chat_template(folder, scratch_cache, write_json):
    values = {"instruction": "Why?", "input": "", "output": "So.", "system": "Be"}
    row = read(write_json([values]))[0]
    model = load_hidden_states(str(folder), "float32")
    assert model.text_of(row, True) == "[system]Be\n[user]Why?\n[assistant]So.\n"
    assert model.text_of(row, False) == "[system]Be\n[user]Why?\n[assistant]"


def test_a_worker_elsewhere_loads_the_same_by_its_recipe(folder, scratch_cache):
    model = load_hidden_states(str(folder), "float32")
    recipe: ModelRecipe = pickle.loads(pickle.dumps(model.recipe))  # noqa: S301
    other = recipe.load()
    model.prepare()
    other.prepare()
    assert other.fingerprint == model.fingerprint
    assert other.embed(["Hm"]).tobytes() == model.embed(["Hm"]).tobytes()
