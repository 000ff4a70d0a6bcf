"""complexity and quality on paper: the mean of 1 to 6 by the chances of the six digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.errors import ModelError, UsageError
from curate.models.protocols import TokenSequence
from curate.scorers import complexity, quality
from curate.scorers.contract import Scores
from curate.scorers.score_tokens import TokenParams, expectation
from tests.fake import BOS, Characters, FakeModel


class FakeJudge(FakeModel):
    """The chance of digit d is proportional to rule(text asked, d)."""

    def __init__(self, chance: Callable[[str, int], float], encoder: Any = None) -> None:
        super().__init__(encoder=encoder, budget=600)
        self.chance = chance

    def next_nll(self, batch: Sequence[TokenSequence], tokens: Sequence[int]) -> list[list[float]]:
        assert self.prepared
        self.asked += batch
        texts = ["".join(map(chr, each.ids[1:])) for each in batch]
        return [
            [-math.log(c) if (c := self.chance(text, t - 48)) else math.inf for t in tokens]
            for text in texts
        ]


def only(digit: int) -> Callable[[str, int], float]:
    return lambda text, each: float(each == digit)


@pytest.fixture
def scored(scratch_cache: Path, tmp_path: Path, write_json: Any) -> Any:
    def run(scorer: Any, rows: list[Any], model: Any, **options: Any) -> Scores:
        engine = LocalEngine(tmp_path / "cache")
        found = read(write_json(rows))
        made: Scores = scorer.score(found, TokenParams(**options), model, engine)
        return made

    return run


def row(instruction: str, output: Any, **more: Any) -> dict[str, Any]:
    return {"instruction": instruction, "input": "", "output": output, **more}


def talk(*turns: str) -> dict[str, Any]:
    who = ("human", "gpt") * len(turns)
    return {"conversations": [{"from": w, "value": t} for w, t in zip(who, turns, strict=False)]}


def test_expectation_by_hand() -> None:
    chances = np.array([[0.1, 0.2, 0.3, 0.2, 0.1, 0.1], [0, 0, 0, 0, 0, 0.02], [1, 1, 1, 1, 1, 1]])
    with np.errstate(divide="ignore"):
        found = expectation(-np.log(chances))
    assert found.tolist() == pytest.approx([3.3, 6.0, 3.5])
    assert np.isnan(expectation(np.full((1, 6), np.inf))).all()
    assert expectation(np.full((1, 6), 2000.0)).tolist() == [3.5]


def test_a_digit_without_a_chance_does_not_make_it_3(scored: Any) -> None:
    # deita's path through vLLM: KeyError for the digit that is not in the top, so 3.0.
    never_2 = FakeJudge(lambda text, digit: [0.9, 0.0, 0.0, 0.0, 0.0, 1e-30][digit - 1])
    found = scored(complexity, [row("q", "a b")], never_2)
    assert found.values("complexity").tolist() == pytest.approx([1.0])


def test_the_published_prompts(scored: Any) -> None:
    model = FakeJudge(only(4))
    scored(complexity, [row("Add.", "42", input="40 + 2")], model)
    scored(quality, [row("Add.", "42", input="40 + 2")], model)
    assert [each.ids[0] for each in model.asked] == [BOS, BOS]
    assert ["".join(map(chr, each.ids[1:])) for each in model.asked] == [
        "You are a helpful assistant. Please identify the complexity score of the following user "
        "query. \n##Query: Add.\n40 + 2  \n##Complexity: ",
        "You are a helpful assistant. Please identify the quality score of the Response "
        "corresponding to the Question. \n #Question#:\nAdd.\n40 + 2\n#Response#:\n42 \n"
        "##Quality: ",
    ]


def test_a_dialogue_is_the_sum_of_its_turns_each_judged_alone(scored: Any) -> None:
    model = FakeJudge(lambda text, digit: float(digit == (5 if "Query: b" in text else 2)))
    found = scored(complexity, [talk("a", "x y", "b", "z"), talk("b", "x y")], model)
    assert found.values("complexity").tolist() == [7.0, 5.0]
    assert found.columns["turn_complexity"].to_pylist() == [[2.0, 5.0], [5.0]]
    assert not any("x y" in "".join(map(chr, each.ids)) for each in model.asked)


def test_braces_are_text(scored: Any) -> None:
    model = FakeJudge(only(3))
    found = scored(quality, [row("{output} {0}", "{instruction}")], model)
    assert found.status.tolist() == ["ok"]
    assert "#Question#:\n{output} {0}\n" in "".join(map(chr, model.asked[0].ids))


def test_what_has_no_score_says_why(scored: Any) -> None:
    rows = [row("q", "fine"), row("q", ""), row("q" * 300, "too long"), row("q", 7), row("!", "a")]
    broken = FakeJudge(lambda text, digit: 0.0 if "Query: !" in text else 1.0)
    found = scored(complexity, rows, broken, max_length=200)
    assert found.status.tolist() == ["ok", "empty_response", "truncated", "not_text", "non_finite"]
    assert np.isnan(found.values("complexity")).tolist() == [False] + [True] * 4
    assert found.columns["turn_complexity"].to_pylist()[:4] == [[3.5], None, None, None]
    assert "for 1 row with a turn of more than 200 tokens" in found.notes[0]


def test_how_sure_the_model_is_of_a_digit_is_told(scored: Any) -> None:
    sure, unsure = FakeJudge(lambda t, d: 1 / 6), FakeJudge(lambda t, d: 0.01)
    assert scored(quality, [row("q", "a b")], sure).notes == ()
    assert (
        "answers with one of the scores 1 to 6 is 6%"
        in (scored(quality, [row("q", "a c")], unsure).notes[0])
    )


def test_a_space_before_a_digit_is_no_part_of_it(scored: Any) -> None:
    class WithSpace(Characters):
        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            return [[9601, *map(ord, text)] for text in texts]  # SentencePiece's "▁"

    found = scored(complexity, [row("q", "a b")], FakeJudge(only(6), encoder=WithSpace()))
    assert found.values("complexity").tolist() == [6.0]


@pytest.mark.parametrize("ids", [[[5]] * 6, [[1, n, 9] for n in range(6)], [[]] * 6])
def test_a_tokenizer_without_the_digits_is_refused(scored: Any, ids: Any) -> None:
    class Odd(Characters):
        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            return ids if list(texts) == list("123456") else super().encode(texts)

    with pytest.raises(ModelError, match="does not write each of the digits 1 to 6"):
        scored(complexity, [row("q", "a b")], FakeJudge(only(6), encoder=Odd()))


def test_a_length_out_of_range_is_refused(scored: Any) -> None:
    with pytest.raises(UsageError, match="--max-length 5000: fake takes 2 to 4,096"):
        scored(complexity, [row("q", "a b")], FakeJudge(only(6)), max_length=5000)


def test_a_second_run_asks_the_model_nothing(scored: Any) -> None:
    model = FakeJudge(lambda text, digit: digit / len(text))
    first = scored(quality, [row("q" * n, "a b") for n in range(1, 9)], model)
    asked = len(model.asked)
    assert asked == 8
    again = scored(quality, [row("q" * n, "a b") for n in range(1, 9)], model)
    assert again.columns == first.columns
    assert len(model.asked) == asked
