"""Controls that are as large as a choice in tokens, or as long; what is said of equal rows."""

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp, spearmanr

import curate
from curate.commands.with_options import spread
from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.controls import CONTROLS, ENDINGS
from curate.parameters.option import Option
from curate.parameters.select import SelectParams
from curate.recipes.controls import as_long, beside_as_many, control, spearman
from curate.recipes.select import select


def long_and_short(size=300, seed=0):
    """Rows whose answers differ much in length."""
    lengths = np.random.default_rng(seed).lognormal(3, 1, size).astype(int) + 1
    words = ["salt", "sugar", "water", "bread", "stone", "cloud", "river", "house", "ink", "tea"]
    return [
        {"instruction": f"Say {i}", "output": " ".join(words[(i + at) % 10] for at in range(n))}
        for i, n in enumerate(lengths.tolist())
    ]


@pytest.fixture
def by_length(write_json, scores_file, scratch_cache):
    """A choice of the longest rows with some noise, as IFD's is."""
    path = write_json(long_and_short())
    lengths = np.array([len(row.response) for row in read(path)])
    noise = np.random.default_rng(1).normal(size=len(lengths))
    run = scores_file(path, a=np.log(lengths) + 0.5 * noise)
    return select(read(path), SelectParams(by="a", keep="20%", seed=3), [run])


def tokens_in(selection):
    return int(selection.tokens.counts[selection.choice.kept].sum())


@pytest.mark.parametrize("kind", ["tokens", "clusters", "longest"])
def test_controls_have_the_tokens_of_the_choice_within_one_row(by_length, kind):
    drawn = control(by_length, kind)
    counts, kept = drawn.tokens.counts, drawn.choice.kept
    assert 0 <= tokens_in(by_length) - tokens_in(drawn) < counts.max()
    assert drawn.choice.order[0] != by_length.choice.order[0] or kind == "longest"
    assert drawn.params.tokens == tokens_in(by_length)
    assert kept.sum() != by_length.choice.kept.sum()
    assert (control(by_length, kind).choice.kept == kept).all()


def test_tokens_at_random_end_before_the_first_row_that_does_not_fit(by_length):
    order = control(by_length, "tokens").choice.order
    counts, budget = by_length.tokens.counts, tokens_in(by_length)
    naive = []
    everything = control(by_length, "rows")  # its draw begins alike
    for place in everything.choice.order:
        if counts[naive].sum() + counts[place] > budget:
            break
        naive.append(place)
    assert order.tolist()[: len(naive)] == naive


def test_lengths_are_distributed_as_in_the_choice(by_length):
    drawn, many = control(by_length, "length"), control(by_length, "rows")
    counts = by_length.tokens.counts
    own, alike, random = (counts[each.choice.kept] for each in (by_length, drawn, many))
    assert len(alike) == len(own)
    assert ks_2samp(own, alike).statistic < 0.15 < ks_2samp(own, random).statistic
    assert alike.sum() == pytest.approx(own.sum(), rel=0.05)
    assert (drawn.choice.kept != by_length.choice.kept).any()


def test_strata_by_hand(monkeypatch):
    monkeypatch.setattr("curate.recipes.controls._PER_STRATUM", 2)
    lengths = np.array([10, 11, 30, 31, 10, 12, 30, 33, 9, 40])
    kept = np.array([True] * 4 + [False] * 6)
    order = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    # Kept are lengths 10, 11 | 30, 31: 9, 33 and 40 are none of theirs, 12 is of the first stratum.
    assert as_long(lengths, kept, order).tolist() == [5, 4, 6, 3]
    assert as_long(lengths, np.zeros(10, bool), order).tolist() == []


def test_rank_correlation_as_published():
    generator = np.random.default_rng(5)
    one = generator.integers(0, 6, 200)
    other = one + generator.normal(0, 3, 200).round()
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert np.isnan(spearman(np.ones(4), np.arange(4)))
    assert np.isnan(spearman(np.ones(1), np.ones(1)))


def test_a_choice_that_goes_by_length_says_so(by_length):
    told, drawn = beside_as_many(by_length)
    counts, kept = by_length.tokens.counts, by_length.choice.kept
    bias = told.manifest()["length_bias"]
    assert bias["tokens"] == counts[kept].sum()
    assert bias["random_tokens"] == counts[drawn.choice.kept].sum()
    expected = spearmanr(by_length.scored.values("a"), counts).statistic
    assert bias["spearman"] == pytest.approx(expected, abs=1e-4)
    note = told.notes[-1]
    assert f"{bias['ratio']:.2f} times" in note
    assert f"score and length {bias['spearman']:.2f}" in note


def test_a_choice_that_does_not_go_by_length_says_nothing(write_json, scores_file, scratch_cache):
    path = write_json(long_and_short())
    lengths = np.array([len(row.response) for row in read(path)])
    run = scores_file(path, a=-np.abs(lengths - np.median(lengths)).astype(float))
    chosen = select(read(path), SelectParams(by="a", keep="20%"), [run])
    told, _ = beside_as_many(chosen)
    assert "length_bias" not in told.details
    assert told.notes == chosen.notes


def test_the_command_writes_every_control(call, write_json, scores_file, tmp_path):
    path, out = write_json(long_and_short()), tmp_path / "out"
    run = scores_file(path, a=[float(len(row.response)) for row in read(path)])
    given = ("select", path, "--scores", run, "--by", "a", "--output", out, "--json")
    answer = call(*given, "--with-control", *CONTROLS)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["length_bias"]["ratio"] > 2
    assert "rank correlation of score and length 1.00" in answer.err
    registered = json.loads((out / "dataset_info.json").read_text())
    for kind, each in zip(CONTROLS, told["controls"], strict=True):
        assert (each["kind"], each["name"]) == (kind, f"rows_select{ENDINGS[kind]}")
        assert each["name"] in registered
        assert len(read(out / f"{each['name']}.jsonl")) == each["kept"]
    assert told["control"]["name"] == "rows_select_random"
    by_kind = {each["kind"]: each["tokens"]["kept"] for each in told["controls"]}
    assert by_kind["rows"] < by_kind["tokens"] <= told["tokens"]["kept"]
    again = call(*given, "--with-control", *CONTROLS)
    assert again.code == 0, again.err


def test_words_after_the_option_that_are_none_are_files(call, write_json, scores_file, tmp_path):
    path = write_json(long_and_short(30))
    run = scores_file(path, a=np.arange(30.0))
    own = ("select", "--by", "a", "--scores", run, "--output", tmp_path / "o", "--json")
    bare = json.loads(call(*own, "--with-control", path).out.splitlines()[-1])
    assert [each["kind"] for each in bare["controls"]] == ["rows"]
    both = json.loads(call(*own, "--with-control", "tokens", "rows", path).out.splitlines()[-1])
    assert [each["kind"] for each in both["controls"]] == ["tokens", "rows"]
    call.refused("no file 'token'", *own, "--with-control", "token", path)
    call.refused("--with-control token: allowed are rows", *own, path, "--with-control=token")
    call.refused(
        "is by longest itself", "select", path, "--recipe", "longest", "--with-control", "longest"
    )


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["--c"], ["--c", "a"]),
        (["--c", "b", "f"], ["--c", "b", "f"]),
        (["f", "--c", "--j"], ["f", "--c", "a", "--j"]),
        (["--c", "b", "a", "--c"], ["--c", "b", "--c", "a", "--c", "a"]),
        (["--", "--c"], ["--", "--c"]),
        (["a", "--c=b", "a"], ["a", "--c=b", "a"]),
    ],
)
def test_words_of_an_option(typed, wanted):
    assert spread(typed, {"--c": Option("", words=("a", "b"))}) == wanted


def test_a_kind_that_is_none(by_length):
    with pytest.raises(UsageError, match="control tokns: allowed are rows.*Did you mean 'tokens'"):
        curate.control(by_length, "tokns")
