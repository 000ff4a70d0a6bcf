"""Numbers that each row has by itself: in several processes the same as in this one."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

import curate
from curate.models.packaged_models import use_folder
from curate.models.resolve import resolve
from curate.models.text_tokenizer import HFEncoder, load_tokenizer, token_counter
from curate.recipes.mix import count_tokens
from curate.scorers import by_row, length, response_tokens
from tests.benchmarks import made_rows
from tests.models import tiny

ROWS = 4000


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    made_rows.write("mixed", path, ROWS)
    path.write_text(path.read_text() + '{"instruction": "?", "output": " "}\n')
    return curate.read(path)


@pytest.fixture
def twice(monkeypatch):
    """Work something out in this process and in several."""
    monkeypatch.setattr(by_row, "cores", lambda: 2)

    def twice(work):
        results = []
        for many in (ROWS, ROWS + 2):
            monkeypatch.setattr(by_row, "_MANY", many)
            monkeypatch.setattr(
                response_tokens, "kept_bytes", lambda folder, what, key, make: make()
            )
            results.append(work())
        return results

    return twice


def test_lengths(rows, twice):
    several, one = twice(lambda: length.score(rows))
    assert several.status.tolist() == one.status.tolist()
    assert one.status[-1] == "empty_response"
    for name in length.COLUMNS:
        np.testing.assert_array_equal(several.values(name), one.values(name))
    last = rows[ROWS - 1]
    assert one.values("response_characters")[ROWS - 1] == len(last.response)


@pytest.mark.parametrize("name", ["use", "folder", "slow"])
def test_tokens(rows, twice, name, tmp_path):
    if name != "use":
        folder = tiny.save(tiny.make("Llama"), tmp_path)
        if name == "slow":
            folder = tmp_path / "slow"
            folder.mkdir()
            (folder / "tokenizer.model").write_bytes((use_folder() / "sp.model").read_bytes())
            named = json.dumps({"tokenizer_class": "T5Tokenizer"})
            (folder / "tokenizer_config.json").write_text(named)
        name = str(folder)
    counter = token_counter(name)
    several, one = twice(lambda: response_tokens.response_tokens(rows, counter).counts)
    assert several.tolist() == one.tolist()
    assert one[0] == counter.count([rows[0].response])[0] + 1
    assert one[-1] == 0


def test_settings_of_an_earlier_batch_do_not_cut_or_fill_texts(tmp_path):
    """A tokenizer that was saved after training with them, as transformers saves it."""
    folder = tiny.save(tiny.make("Llama"), tmp_path / "tiny")
    texts = ["one two three", "a"]
    whole = token_counter(str(folder)).count(texts)
    saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved.enable_truncation(2)
    saved.enable_padding()
    saved.save(str(folder / "tokenizer.json"))
    assert token_counter(str(folder)).count(texts) == whole
    assert whole[0] > 2 > whole[1]


@pytest.mark.model
def test_tokens_in_a_template(rows, twice):
    files = resolve("smollm2")
    encoder = HFEncoder(load_tokenizer(files), files.name)
    several, one = twice(lambda: count_tokens(rows, False, encoder, "chat", ""))
    assert several.tolist() == one.tolist()
    assert one[0] > 0
