"""IFD on paper: a model whose NLL is 1 / (tokens before) leaves every number to be worked out."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.errors import ModelError, OutputError, UsageError
from curate.scorers.contract import Scores
from curate.scorers.ifd import IFDParams, ifd_loss, ifd_ppl, score
from curate.scorers.sequences import Block
from tests.fake import BOS, Characters, FakeModel

Write = Callable[..., Path]


@pytest.fixture
def scored(
    scratch_cache: Path, tmp_path: Path, write_json: Write
) -> Callable[..., tuple[Scores, FakeModel]]:
    def run(rows: list[Any], template: str = "none", **options: Any) -> tuple[Scores, FakeModel]:
        model = options.pop("model", None) or FakeModel()
        params = IFDParams(template, options.pop("max_length", 1024))
        found = read(write_json(rows))
        engine = LocalEngine(tmp_path / "cache")
        return score(found, params, model, engine), model

    return run


def row(instruction: str, output: Any, **more: Any) -> dict[str, Any]:
    return {"instruction": instruction, "input": "", "output": output, **more}


def test_the_two_published_formulas_order_differently() -> None:
    prompted, alone = np.array([1.0, 3.0]), np.array([2.0, 4.5])
    assert ifd_loss(prompted, alone).tolist() == [0.5, 3 / 4.5]
    assert ifd_ppl(prompted, alone).round(2).tolist() == [0.37, 0.22]


def test_none_is_prompt_newline_response_after_bos_in_both_passes(scored: Any) -> None:
    scores, model = scored([row("ab", "xyz")])
    asked = {each.ids: each.spans for each in model.asked}
    assert asked == {
        (BOS, *map(ord, "ab\nxyz")): ((4, 7),),
        (BOS, *map(ord, "xyz")): ((1, 4),),
    }
    prompted, alone = (1 / 4 + 1 / 5 + 1 / 6) / 3, (1 / 1 + 1 / 2 + 1 / 3) / 3
    assert scores.values("nll_prompted")[0] == pytest.approx(prompted)
    assert scores.values("nll_alone")[0] == pytest.approx(alone)
    assert scores.values("ifd_loss")[0] == pytest.approx(prompted / alone)
    assert scores.values("ifd_ppl")[0] == pytest.approx(math.exp(prompted - alone))
    assert scores.columns["prompt_tokens"].to_pylist() == [4]
    assert scores.columns["response_tokens"].to_pylist() == [3]


def test_alpaca_keeps_the_response_header_alone(scored: Any) -> None:
    _, model = scored([row("Add.", "42", input="40 + 2")], "alpaca")
    texts = sorted(("".join(map(chr, each.ids[1:])) for each in model.asked), key=len)
    assert texts[0] == "### Response:42"
    assert texts[1] == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n40 + 2\n\n### Response:42"
    )
    assert all(each.ids[0] == BOS for each in model.asked)


def test_chat_keeps_the_header_alone_and_leaves_the_system_prompt_out(scored: Any) -> None:
    _, model = scored([row("q", "yes", system="be kind")], "chat")
    texts = sorted(("".join(map(chr, each.ids[1:])) for each in model.asked), key=len)
    assert texts == ["[a]yes", "[s]be kind[u]q[a]yes"]


def test_bos_is_not_doubled_where_the_template_has_it(scored: Any) -> None:
    class WithBos(Characters):
        def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
            return chr(BOS) + super().render(messages, generation_prompt)

    _, model = scored([row("q", "yes")], "chat", model=FakeModel(encoder=WithBos()))
    assert [each.ids.count(BOS) for each in model.asked] == [1, 1]
    assert all(each.ids[0] == BOS for each in model.asked)


def test_a_model_without_bos_begins_with_eos_only_where_nothing_else_comes_first(
    scored: Any,
) -> None:
    class NoBos(Characters):
        bos = None
        first_token = 2

    _, chat = scored([row("q", "yes")], "chat", model=FakeModel(encoder=NoBos()))
    assert all(each.ids[0] == ord("[") for each in chat.asked)
    _, none = scored([row("q", "yes")], "none", model=FakeModel(encoder=NoBos()))
    assert all(each.ids[0] == 2 for each in none.asked)


def test_every_turn_is_scored_given_all_before_and_weighted_by_tokens(scored: Any) -> None:
    turns = [("human", "a"), ("gpt", "wx"), ("human", "b"), ("gpt", "y")]
    talk = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    scores, model = scored([talk])
    # BOS a \n w x \n b \n y
    assert model.asked[0].spans == ((3, 5), (8, 9)) or model.asked[-1].spans == ((3, 5), (8, 9))
    prompted, alone = [1 / 3 + 1 / 4, 1 / 8], [1 + 1 / 2, 1]
    assert scores.columns["turn_tokens"].to_pylist() == [[2, 1]]
    assert scores.columns["turn_nll_prompted"].to_pylist()[0] == pytest.approx(
        [prompted[0] / 2, prompted[1]]
    )
    assert scores.columns["turn_nll_alone"].to_pylist()[0] == pytest.approx([alone[0] / 2, 1.0])
    assert scores.values("ifd_loss")[0] == pytest.approx(sum(prompted) / sum(alone))


def test_a_template_that_rewrites_earlier_turns_gets_one_sequence_a_turn(scored: Any) -> None:
    class Forgetful(Characters):
        def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
            return super().render(messages[-1:], generation_prompt)

    turns = [("human", "a"), ("gpt", "wx"), ("human", "b"), ("gpt", "yz")]
    talk = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    scores, model = scored([talk], "chat", model=FakeModel(encoder=Forgetful()))
    texts = sorted("".join(map(chr, each.ids[1:])) for each in model.asked)
    assert texts == ["[a]wx", "[a]yz", "[u]a[a]wx", "[u]b[a]yz"]
    assert scores.columns["turn_tokens"].to_pylist() == [[2, 2]]


def test_each_turn_alone_stands_behind_its_own_header_and_a_guessed_frame_is_noted(
    scored: Any,
) -> None:
    class Thinking(Characters):
        def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
            text = super().render(messages, generation_prompt)
            return text + "<think>" * generation_prompt

    turns = [("human", "a"), ("gpt", "<think>m</think>wx"), ("human", "b"), ("gpt", "yz")]
    more = [("human", "q"), ("gpt", "rs")]
    talks = [
        {"conversations": [{"from": who, "value": text} for who, text in each]}
        for each in (turns, more)
    ]
    scores, model = scored(talks, "chat", model=FakeModel(encoder=Thinking()))
    texts = sorted("".join(map(chr, each.ids[1:])) for each in model.asked)
    assert texts == [
        "[a]<think></think>rs",
        "[a]<think></think>yz",
        "[a]<think>m</think>wx",
        "[u]a[a]<think>m</think>wx[u]b[a]<think></think>yz",
        "[u]q[a]<think></think>rs",
    ]
    assert len(scores.notes) == 1
    assert scores.notes[0].endswith("framed with '<think></think>'")


def test_an_empty_turn_in_the_middle_is_passed_over(scored: Any) -> None:
    turns = [("human", "a"), ("gpt", ""), ("human", "b"), ("gpt", "yz")]
    talk = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    scores, _ = scored([talk])
    assert scores.columns["turn_tokens"].to_pylist() == [[2]]
    assert scores.status.tolist() == ["ok"]


def test_what_cannot_be_scored_says_why_and_has_no_number(scored: Any) -> None:
    rows = [
        row("q", "fine"),
        row("q", ""),
        row("q", "   \n"),
        row("q", "1"),
        row("", "no question"),
        row("q" * 30, "too long for twenty"),
        row("q", None),
        {"instruction": "q", "input": "", "output": 7},
        row("q", "half \ud83d a pair"),
    ]
    scores, model = scored(rows, max_length=20)
    assert scores.status.tolist() == [
        "ok",
        "empty_response",
        "empty_response",
        "too_short",
        "empty_prompt",
        "truncated",
        "empty_response",
        "not_text",
        "lone_surrogate",
    ]
    for name in ("nll_prompted", "nll_alone", "ifd_loss", "ifd_ppl"):
        assert np.isnan(scores.values(name)).tolist() == [False] + [True] * 8
    assert scores.columns["turn_tokens"].to_pylist()[1:] == [None] * 8
    assert len(model.asked) == 2


def test_a_truncated_row_says_how_long_it_is(scored: Any) -> None:
    scores, _ = scored([row("q" * 30, "r" * 10), row("q", "ok")], max_length=20)
    # BOS, 30, newline, 10
    assert scores.columns["prompt_tokens"].to_pylist() == [32, 3]
    assert scores.columns["response_tokens"].to_pylist() == [10, 2]
    assert "the longest has 42" in scores.notes[0]
    fits, _ = scored([row("q" * 30, "r" * 10)], max_length=42)
    assert fits.status.tolist() == ["ok"]


def test_numbers_that_are_none_become_a_status(scored: Any) -> None:
    broken = FakeModel(lambda before, token: float("nan") if token == ord("!") else 1.0)
    zero = FakeModel(lambda before, token: 0.0)
    scores, _ = scored([row("q", "ab!"), row("q", "abc")], model=broken)
    assert scores.status.tolist() == ["non_finite", "ok"]
    assert np.isnan(scores.values("nll_prompted")[0])
    nothing, _ = scored([row("q", "ab")], model=zero)
    assert nothing.status.tolist() == ["non_finite"]


def test_rows_that_the_chat_template_refuses_are_told_and_the_others_scored(scored: Any) -> None:
    scores, _ = scored([row("refuse me", "abc"), row("q", "abc")], "chat")
    assert scores.status.tolist() == ["template_refused", "ok"]
    assert "refuses" in scores.notes[0]
    with pytest.raises(ModelError, match="refuses"):
        scored([row("refuse me", "abc")], "chat")


@pytest.mark.parametrize("length", [0, 1, -5, 5000])
def test_a_length_out_of_range_is_refused_with_the_range(scored: Any, length: int) -> None:
    with pytest.raises(UsageError, match=f"--max-length {length}.*2 to 4,096"):
        scored([row("q", "abc")], max_length=length)


def test_the_default_length_falls_to_the_models(scored: Any) -> None:
    model = FakeModel()
    model.max_positions = 20
    rows = [row("q" * 5, "r" * 5), row("q" * 30, "r" * 5)]
    scores, _ = scored(rows, model=model, max_length=None)
    assert scores.status.tolist() == ["ok", "truncated"]
    assert scores.notes[0] == "fake takes 20 tokens, so that is --max-length here"
    with pytest.raises(UsageError, match="--max-length 1024: fake takes 2 to 20 tokens"):
        scored(rows, model=model, max_length=1024)


def test_an_unknown_template_is_refused_with_a_hint(scored: Any) -> None:
    with pytest.raises(UsageError, match="alpaca.*Did you mean 'alpaca'"):
        scored([row("q", "abc")], "alpacca")


def test_batches_and_order_do_not_change_a_number(scored: Any) -> None:
    rows = [row("q" * n, "r" * (2 + n % 5)) for n in range(1, 40)]
    small, _ = scored(rows, model=FakeModel(budget=8))
    large, _ = scored(rows[::-1], model=FakeModel(budget=4096))
    for name in ("ifd_loss", "ifd_ppl", "nll_alone"):
        assert small.values(name).tolist() == large.values(name)[::-1].tolist()


def test_a_second_run_asks_the_model_nothing_and_gives_the_same(scored: Any) -> None:
    rows = [row("q" * n, "answer") for n in range(1, 9)]
    first, asked = scored(rows)
    second, silent = scored(rows)
    assert len(asked.asked) == 16
    assert not silent.asked
    assert not silent.prepared
    assert first.columns == second.columns


def test_a_full_disk_while_tokens_are_written_names_the_folder(
    scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Block.packed

    def packed(self: Block, *told: Any, **columns: Any) -> bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return whole(self, *told, **columns)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(Block, "packed", packed)
    try:
        with pytest.raises(
            OutputError, match="tokens.*cache/tokens: File too large.*CURATRAIN_CACHE"
        ):
            scored([row("q", "abc")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
