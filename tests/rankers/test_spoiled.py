"""What responses are spoiled how, and what a head learns from it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from curate.data.preference_pairs import Pair
from curate.models.ranking.learn import Material, fit_head, margins
from curate.models.ranking.trained_head import look
from curate.models.ranking.writing_style import is_chinese
from curate.recipes.ranker import SOURCE, spoil
from tests.rankers.fake import FakeFeatures

ENGLISH = [
    Pair(f"Name fruit {n}.", f"Fruit {n} is an apple, and it is red.", "no", "a.json", str(n))
    for n in range(200)
]
CHINESE = [
    Pair(f"第{n}种水果是什么？", f"第{n}种水果是苹果，它是红色的。", "不", "a.json", str(n))
    for n in range(200)
]
KINDS = {"no_answer", "loop", "echo", "other"}


def by_kind(pairs):
    return {
        kind: [pair for pair in pairs if pair.source == SOURCE + kind]
        for kind in {pair.source.removeprefix(SOURCE) for pair in pairs}
    }


def test_every_kind_is_what_it_is_called():
    made = by_kind(spoil([*ENGLISH, *CHINESE], 0))
    assert set(made) == KINDS
    betters = {pair.prompt: pair.better for pair in (*ENGLISH, *CHINESE)}
    for pairs in made.values():
        assert len(pairs) > 50
        for pair in pairs:
            assert pair.better == betters[pair.prompt]
            assert pair.worse != pair.better
    assert all(pair.worse == pair.prompt for pair in made["echo"])
    for pair in made["other"]:
        assert pair.worse in betters.values()
        assert is_chinese(pair.worse) == is_chinese(pair.prompt)
    for pair in made["loop"]:
        start = pair.worse[: len(pair.worse) // pair.worse.count(pair.better[:4])]
        assert pair.worse == start * (len(pair.worse) // len(start))
        assert pair.worse.count(start) >= 4
        assert pair.better.startswith(start.strip())
    for pair in made["no_answer"]:
        assert len(pair.worse) < 40
        assert is_chinese(pair.worse) == is_chinese(pair.prompt)


def test_what_becomes_of_a_pair_does_not_depend_on_its_place():
    made = {(pair.prompt, pair.worse) for pair in spoil(ENGLISH, 0)}
    assert made == {(pair.prompt, pair.worse) for pair in spoil(ENGLISH[::-1], 0)}
    assert made != {(pair.prompt, pair.worse) for pair in spoil(ENGLISH, 1)}


def test_a_pair_that_cannot_be_spoiled_is_left_out():
    alone = Pair("p", "OK", "no", "a.json", "1")
    for seed in range(40):
        for pair in spoil([alone], seed):
            assert pair.worse != "OK"
            assert pair.source != SOURCE + "other"  # there is no other prompt


def material(pairs, counts):
    features = FakeFeatures()
    features.prepare()
    better, worse = (
        features.features([(pair.prompt, getattr(pair, side)) for pair in pairs]).astype(float)
        for side in ("better", "worse")
    )
    prompts = [pair.prompt for pair in pairs]
    sources = np.array([pair.source for pair in pairs])
    preferred = np.ones(len(pairs), dtype=bool)
    families = features.families
    return Material(
        prompts=np.array(prompts, dtype=object),
        sources=sources,
        better=better,
        worse=worse,
        families=families,
        looks=look(prompts),
        preferred=preferred,
        spoiled=np.array(counts),
    )


def test_spoiled_pairs_count_as_much_as_is_said_and_scale_nothing():
    # People's pairs like x; the spoiled ones like y, which people's never show.
    own = [Pair(f"p{n}", "x" * (1 + n % 3), "", "a.json", str(n)) for n in range(60)]
    made = [Pair(f"p{n}", "", "y", SOURCE + "loop", str(n)) for n in range(60)]
    both = material([*own, *made], [0.0] * 60 + [0.5] * 60)
    assert both.own.tolist() == [True] * 60 + [False] * 60
    setting = {"letters": 1.0}
    head = fit_head(both, setting)
    assert (margins(head, both) > 0)[:60].all()
    without = fit_head(both.part(both.own), setting)
    assert np.array_equal(head.mean, without.mean)
    assert np.array_equal(head.scale, without.scale)
    # The minimum of a weighted loss: counting 0.5 twice is counting 1 once.
    twice = material([*own, *made, *made], [0.0] * 60 + [0.25] * 120)
    assert np.allclose(fit_head(twice, setting).weight, head.weight, atol=1e-6)


def test_kinds_are_drawn_evenly():
    counts = Counter(pair.source for pair in spoil([*ENGLISH, *CHINESE], 0))
    assert all(60 < count < 140 for count in counts.values())
