"""Mean hidden state and perplexity of instructions, by hand and against transformers."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.models.causal_lm import load_causal_lm
from curate.models.resolve import resolve
from curate.scorers.instruction import read_instructions
from tests.fake import FakeModel


class FakeStates(FakeModel):
    """Each token's state is (its id, its place, 1), its NLL 1 / tokens before it."""

    width = 3

    def span_states(self, batch):
        assert self.prepared
        self.asked += batch
        found = []
        for each in batch:
            places = [at for start, end in each.spans for at in range(start, end)]
            states = torch.tensor([[float(each.ids[at]), float(at), 1.0] for at in places])
            found.append((states, torch.tensor([self.rule(each.ids[:at], 0) for at in places])))
        return found


def rows_of(folder, *values):
    path = folder / "rows.json"
    path.write_text(json.dumps([{"instruction": a, "output": b} for a, b in values]))
    return read(path)


def test_by_hand(tmp_path):
    rows = rows_of(tmp_path, ("ab", "x"), ("", "y"), ("c", "z"))
    found = read_instructions(rows, 100, FakeStates(), LocalEngine(tmp_path))
    a, b, c = map(ord, "abc")
    assert found.status.tolist()[0::2] == ["ok", "ok"]
    assert found.status[1] != "ok"
    np.testing.assert_allclose(found.states[0], [(a + b) / 2, 1.5, 1])
    np.testing.assert_allclose(found.states[2], [c, 1, 1])
    np.testing.assert_allclose(found.nll[[0, 2]], [(1 + 1 / 2) / 2, 1])
    assert np.isnan(found.nll[1])
    assert np.isnan(found.states[1]).all()


def test_a_long_instruction_is_read_by_its_beginning(tmp_path):
    rows = rows_of(tmp_path, ("abcdefgh", "x"))
    model = FakeStates()
    read_instructions(rows, 4, model, LocalEngine(tmp_path))
    assert [len(each.ids) for each in model.asked] == [4]


def test_a_second_time_the_model_is_not_asked(tmp_path):
    rows = rows_of(tmp_path, ("ab", "x"), ("cd", "y"))
    engine = LocalEngine(tmp_path)
    first = read_instructions(rows, 100, FakeStates(), engine)
    model = FakeStates()
    again = read_instructions(rows, 100, model, engine)
    assert not model.asked
    assert not model.prepared
    assert again.states.tobytes() == first.states.tobytes()
    assert again.nll.tobytes() == first.nll.tobytes()


@pytest.mark.model
def test_against_transformers(tmp_path):
    texts = ["Name three colours.", "Why is the sky blue?\nAnswer briefly.", "Sort: 3, 1, 2"]
    rows = rows_of(tmp_path, *((text, "ok") for text in texts))
    folder = resolve("smollm2").folder
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = read_instructions(
        rows, 512, load_causal_lm("smollm2", "float32"), LocalEngine(tmp_path)
    )
    for at, text in enumerate(texts):
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
        with torch.no_grad():
            whole = model(input_ids=ids, labels=ids, output_hidden_states=True)
        state = whole.hidden_states[-1][0, 1:].mean(0).numpy()
        assert found.nll[at] == pytest.approx(float(whole.loss), rel=1e-4)
        np.testing.assert_allclose(found.states[at], state, atol=2e-3)
