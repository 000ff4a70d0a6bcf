"""Tokens of rows as they are trained on: by hand, with characters for tokens."""

from __future__ import annotations

import pytest

from curate.data.read import read
from curate.errors import OutputError
from curate.mixture.common_shape import text_of_row
from curate.recipes.mix import count_tokens
from tests.mix.mixing import save

pytestmark = pytest.mark.usefixtures("scratch_cache")


class Letters:
    """A tokenizer whose tokens are characters."""

    has_chat_template = True
    bos = first_token = None

    def encode(self, texts):
        return [[ord(each) for each in text] for text in texts]

    def render(self, messages, generation_prompt):
        return "".join(f"<{m['role'][0]}>{m['content']}" for m in messages) + (
            "<a>" if generation_prompt else ""
        )


class Rewrites(Letters):
    """One whose template changes earlier turns: every lead is a whole context."""

    def render(self, messages, generation_prompt):
        return f"[{len(messages)}]" + super().render(messages, generation_prompt)


TALK = [
    {"from": "human", "value": "abc"},
    {"from": "gpt", "value": "de"},
    {"from": "human", "value": "f"},
    {"from": "gpt", "value": "ghij"},
]


@pytest.fixture
def talks(tmp_path):
    values = [{"conversations": TALK}, {"conversations": TALK[:2]}, {"conversations": TALK[:1]}]
    return read(save(tmp_path / "talks.json", values))


def test_prompt_response_and_one_for_the_end(talks):
    counts = count_tokens(talks, False, Letters(), "none", "m")
    # "abc\n" "de" "\nf\n" "ghij" and the end; "abc\n" "de" and the end; no answer, not counted
    assert counts.tolist() == [4 + 2 + 3 + 4 + 1, 4 + 2 + 1, 0]


def test_the_models_own_template(talks):
    counts = count_tokens(talks, False, Letters(), "chat", "m")
    assert counts.tolist() == [3 + 3 + 3 + 2 + 3 + 1 + 3 + 4 + 1, 3 + 3 + 3 + 2 + 1, 0]
    rewritten = count_tokens(talks, False, Rewrites(), "chat", "other")
    assert rewritten.tolist() == [3 + 22 + 1, 3 + 11 + 1, 0]


def test_as_text_for_pre_training(talks):
    counts = count_tokens(talks, True, Letters(), "chat", "m")
    assert counts.tolist() == [len("abc\nde\n\nf\nghij") + 1, len("abc\nde") + 1, 0]


def test_counts_are_kept_for_the_same_rows_model_and_way(talks):
    first = count_tokens(talks, False, Letters(), "none", "m")
    assert (count_tokens(talks, False, None, "none", "m") == first).all()
    with pytest.raises(AttributeError):
        count_tokens(talks, False, None, "none", "another model")
    with pytest.raises(AttributeError):
        count_tokens(talks, True, None, "none", "m")


def test_a_damaged_count_is_made_again(talks, scratch_cache):
    first = count_tokens(talks, False, Letters(), "none", "m")
    (path,) = (scratch_cache / "tokens").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert (count_tokens(talks, False, Letters(), "none", "m") == first).all()


def test_a_cache_folder_that_cannot_be_written(talks, scratch_cache):
    (scratch_cache / "tokens").write_text("no folder")
    with pytest.raises(OutputError, match="token counts cannot be written to .*CURATRAIN_CACHE"):
        count_tokens(talks, False, Letters(), "none", "m")


@pytest.mark.parametrize(
    ("system", "turns", "text"),
    [
        ("", ["q", "a"], "q\na"),
        ("s", ["q", "a"], "s\n\nq\na"),
        ("", ["q", "a", "r", "b"], "q\na\n\nr\nb"),
        ("", ["one text"], "one text"),
    ],
)
def test_instructions_as_text(system, turns, text):
    assert text_of_row(system, turns) == text
