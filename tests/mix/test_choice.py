"""Which rows a mixture takes: whatever the order of rows, files and sources."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import curate
from curate.errors import DataError, UsageError
from curate.mixture.spec import MixSource
from curate.recipes import mix as recipe
from tests.mix.mixing import rows, save

pytestmark = pytest.mark.usefixtures("scratch_cache")


def taken(mixed, side=None):
    """Return the ids that a mixture takes, each as often as it does."""
    frame = mixed.scores
    frame = frame if side is None else frame[frame["side"] == side]
    return sorted(frame["id"].repeat(frame["times"]))


@pytest.fixture
def domain(tmp_path):
    return save(tmp_path / "domain.json", rows("d", 20))


@pytest.fixture
def general(tmp_path):
    return save(tmp_path / "general.json", rows("g", 300))


def test_all_domain_rows_once_and_k_times_general_rows(domain, general):
    mixed = curate.mix(domain=domain, general=general, ratio="1:5")
    assert taken(mixed, "domain") == sorted(curate.read(domain).ids)
    chosen = taken(mixed, "general")
    assert len(chosen) == len(set(chosen)) == 100
    assert set(chosen) < set(curate.read(general).ids)


def test_the_order_of_rows_does_not_matter(tmp_path, domain, general):
    backwards = save(tmp_path / "backwards.json", rows("g", 300)[::-1])
    one, other = (curate.mix(domain, each, "1:5") for each in (general, backwards))
    assert taken(one) == taken(other)


def test_the_order_of_files_does_not_matter(tmp_path, domain):
    files = [save(tmp_path / f"{at}.json", rows("g", 100, at)) for at in (0, 100, 200)]
    folder = tmp_path / "folder"
    for at, path in enumerate(files):
        save(folder / f"{9 - at}.json", rows("g", 100, 100 * at))
        assert path.is_file()
    whole = save(tmp_path / "whole.json", rows("g", 300))
    found = [
        taken(curate.mix(domain, given, "1:5")) for given in (files, files[::-1], folder, whole)
    ]
    assert found[0] == found[1] == found[2] == found[3]


def test_another_seed_draws_others(domain, general):
    first, again, other = (
        taken(curate.mix(domain, general, "1:5", seed=seed), "general") for seed in (0, 0, 1)
    )
    assert first == again != other


def test_draws_are_even(tmp_path, domain):
    """Of 10 files as large as each other, each gives about a tenth (5 standard deviations)."""
    files = [save(tmp_path / f"{at}.json", rows("g", 200, 200 * at)) for at in range(10)]
    mixed = curate.mix(domain, files, "1:50")
    counts = [each.kept for each in mixed.sources if each.side == "general"]
    assert sum(counts) == 1000
    assert max(abs(np.array(counts) - 100)) < 5 * (1000 * 0.1 * 0.9 * 0.5) ** 0.5


def test_a_sweep_is_nested(domain, general):
    sweep = recipe.mix(recipe.mixture_of(domain, general, "1:0,1:1,1:2,1:5,1:10"))
    ids = [set(taken(each)) for each in sweep]
    assert [len(each) for each in ids] == [20, 40, 60, 120, 220]
    assert all(small < large for small, large in zip(ids, ids[1:], strict=False))


# What never enters


def test_rows_with_a_flaw_never_enter_and_are_counted(tmp_path, domain):
    broken = [{**row, "output": ""} for row in rows("x", 7)] + [{"instruction": 1, "output": "y"}]
    general = save(tmp_path / "general.json", rows("g", 20) + broken)
    mixed = curate.mix(domain, general, "1:1")
    assert len(taken(mixed, "general")) == 20
    assert mixed.summary().dropped == {"empty_response": 7, "not_text": 1}
    with pytest.raises(
        DataError, match=r"general.json: 8 of 28 rows never enter: 7 empty_response, 1 not_t"
    ):
        curate.mix(domain, general, "1:2")


def test_equal_rows_count_once_within_and_across_sources(tmp_path):
    domain = save(tmp_path / "domain.json", rows("d", 10) + rows("d", 3))
    general = save(tmp_path / "general.json", rows("g", 10) + rows("d", 2) + rows("g", 4))
    mixed = curate.mix(domain, general, "1:1")
    counts = {each.name: (each.kept, each.left_out) for each in mixed.sources}
    assert counts == {
        "domain.json": (10, {"duplicate": 3}),
        "general.json": (10, {"duplicate": 6}),
    }
    assert len(set(taken(mixed))) == 20
    frame = mixed.scores
    assert len(set(frame["id"])) == len(frame) == 29
    repeats = frame[frame["reason"] == "duplicate"]
    assert all("-" in each for each in repeats["id"])
    assert not repeats["kept"].any()


def test_the_same_words_in_another_format_are_the_same_row(tmp_path, domain):
    spoken = [
        {
            "conversations": [
                {"from": "human", "value": row["instruction"]},
                {"from": "gpt", "value": row["output"]},
            ]
        }
        for row in rows("d", 5) + rows("g", 25)
    ]
    general = save(tmp_path / "general.json", spoken)
    mixed = curate.mix(domain, general, "1:1")
    assert mixed.sources[1].left_out == {"duplicate": 5}


def test_which_of_equal_rows_is_kept_does_not_depend_on_the_order_of_files(tmp_path, domain):
    one = save(tmp_path / "one.json", [{**row, "note": "one"} for row in rows("g", 20)])
    two = save(tmp_path / "two.json", [{**row, "note": "two"} for row in rows("g", 20)])
    folders = tmp_path / "a", tmp_path / "b"
    for folder, given in zip(folders, ([one, two], [two, one]), strict=True):
        curate.emit(curate.mix(domain, given, "1:1"), folder, "x")
    data = [(folder / "x.jsonl").read_bytes() for folder in folders]
    assert data[0] == data[1]


def test_nor_on_the_names_of_files(tmp_path, domain):
    data = []
    for at, names in enumerate((("one", "two"), ("two", "one"))):
        files = [
            save(
                tmp_path / str(at) / f"{name}.json",
                [{**row, "note": note} for row in rows("g", 20)],
            )
            for name, note in zip(names, ("x", "y"), strict=True)
        ]
        curate.emit(curate.mix(domain, files, "1:1"), tmp_path / str(at), "x")
        data.append((tmp_path / str(at) / "x.jsonl").read_bytes())
    assert data[0] == data[1]


# Sources


def test_rows_and_selections_are_sources(domain, general):
    chosen = selection(curate.read(general), 50)
    mixed = curate.mix(domain=curate.read(domain), general=chosen, ratio="1:2")
    ids = set(chosen.rows.ids[chosen.choice.kept])
    assert set(taken(mixed, "general")) < ids
    assert mixed.sources[1].left_out == {"not_chosen": 250}
    with pytest.raises(DataError, match="has 50 rows"):
        curate.mix(domain, chosen, "1:5")


def selection(found, keep):
    from curate.choices.selection import Selection
    from curate.scorers.contract import Scores
    from curate.selectors.kept_and_dropped import Choice

    reason = np.array([""] * keep + ["below_cut"] * (len(found) - keep), dtype=object)
    scored = Scores(np.full(len(found), "ok", dtype=object), {})
    return Selection("ifd", None, found, scored, Choice(reason), "ifd_loss", {})


def test_a_limit_is_drawn_not_cut_off(general, domain):
    mixed = curate.mix(MixSource(domain, limit=10), general, "1:5")
    assert mixed.sources[0].left_out == {"over_limit": 10}
    ids = curate.read(domain).ids
    assert set(taken(mixed, "domain")) not in ({*ids[:10]}, {*ids[10:]})
    whole = curate.mix(MixSource(domain, limit=20), general, "1:5")
    assert whole.sources[0].left_out == {}


def test_repeats_are_counted_and_listed(tmp_path, domain):
    general = save(tmp_path / "general.json", rows("g", 30))
    mixed = curate.mix(domain, general, "1:2", shortage="repeat")
    assert (mixed.summary().kept, mixed.summary().written) == (50, 60)
    assert mixed.manifest()["repeated"] == {"rows": 10}
    twice = mixed.scores[mixed.scores["times"] > 1]
    assert set(twice["times"]) == {2}
    assert set(twice["id"]) < set(curate.read(general).ids)


@pytest.mark.parametrize("twice", ["domain", "general", "across"])
def test_a_file_given_twice_counts_once_and_is_told(tmp_path, domain, general, twice):
    copy = tmp_path / "copy.json"
    copy.write_bytes(general.read_bytes())
    mine, yours = {
        "domain": ([domain, domain], general),
        "general": (domain, [general, copy]),
        "across": (domain, [general, domain]),
    }[twice]
    mixed = curate.mix(mine, yours, "1:5")
    assert taken(mixed) == taken(curate.mix(domain, general, "1:5"))
    rows = 300 if twice == "general" else 20
    assert mixed.summary().dropped["duplicate"] == rows
    name = "general.json|copy.json" if twice == "general" else "domain.json"
    told = "\n".join(mixed.pool.left_out_lines())
    assert re.search(f"({name}): {rows} of {rows} rows never enter: {rows} duplicate", told)


# What cannot be mixed


def test_preference_pairs_and_verdicts_are_not_mixed(tmp_path, domain):
    pairs = [{"instruction": f"{at}?", "chosen": "a", "rejected": "b"} for at in range(30)]
    with pytest.raises(DataError, match=r"pairs.json holds preference pairs .* leave it out"):
        curate.mix(domain, save(tmp_path / "pairs.json", pairs), "1:1")
    judged = [{**row, "kto_tag": True} for row in rows("g", 30)]
    with pytest.raises(DataError, match=r"kto.json holds rows with verdicts .*--good-only"):
        curate.mix(domain, save(tmp_path / "kto.json", judged), "1:1")


def test_good_only_mixes_the_good_rows_and_drops_the_column(tmp_path, domain):
    judged = [{**row, "kto_tag": at % 3 > 0} for at, row in enumerate(rows("g", 30))]
    mixed = curate.mix(domain, save(tmp_path / "kto.json", judged), "1:1", good_only=True)
    assert mixed.summary().dropped["bad_verdict"] == 10
    data, *_, manifest = curate.emit(mixed, tmp_path / "data", name="good")
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    good = {row["instruction"] for row in judged if row["kto_tag"]}
    assert {line["instruction"] for line in lines if line["instruction"] in good}
    assert not {line["instruction"] for line in lines} & (
        {row["instruction"] for row in judged} - good
    )
    assert not any("kto_tag" in line for line in lines)
    assert json.loads(manifest.read_text())["params"]["good_only"] is True


def test_texts_are_not_fine_tuned_on(tmp_path, domain):
    texts = save(tmp_path / "texts.json", [{"text": f"text {at}"} for at in range(30)])
    with pytest.raises(DataError, match=r"texts.json holds texts without a response.*--stage pt"):
        curate.mix(domain, texts, "1:1")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"by": "row"}, r"--by row: allowed are rows, tokens. Did you mean 'rows'\?"),
        ({"stage": "dpo"}, "--stage dpo: allowed are sft, pt"),
        ({"shortage": "shrnk"}, "Did you mean 'shrink'"),
        ({"seed": -1}, "--seed -1: allowed are 0 and more"),
        ({"sed": 1}, r"mix has no option 'sed'. Did you mean 'seed'\?"),
        ({"ratio": "1:1,1:2"}, "give one ratio here"),
        ({"ratio": "0:0"}, "a mixture of nothing"),
        ({"general": ()}, "ratio 1:5 needs general data and none is given: give --general FILE"),
        ({"domain": ()}, "needs domain data and none is given"),
    ],
)
def test_options_that_do_not_fit(domain, general, option, told):
    with pytest.raises(UsageError, match=told):
        curate.mix(**{"domain": domain, "general": general, **option})


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_of_nothing(domain, limit):
    with pytest.raises(UsageError, match=f"limit {limit}: allowed are whole numbers from 1"):
        MixSource(domain, limit=limit)


# It shows itself


def test_it_shows_itself(domain, general):
    mixed = curate.mix(domain, general, "1:5")
    assert repr(mixed) == "mix 1:5: 120 rows, domain 20 : general 100 rows = 1:5"
    assert "<td style='text-align:right'>100</td>" in mixed._repr_html_()


def test_names_of_files_are_no_markup(tmp_path, domain):
    evil = save(tmp_path / "<script>x.json", rows("g", 300))
    shown = curate.mix(domain, evil, "1:5")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;x.json" in shown
