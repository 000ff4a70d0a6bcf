"""Signatures against datasketch's, buckets against a dictionary, recall against its formula."""

from collections import defaultdict

import numpy as np
import pytest
from datasketch import MinHash

from curate.duplicates.ngrams import (
    PERMUTATIONS,
    RECALL,
    Bands,
    bands_for,
    buckets,
    gram_hashes,
    may_be,
    permutations,
    signatures,
)


@pytest.mark.parametrize("seed", [0, 7])
def test_signatures_are_those_of_datasketch(seed):
    texts = ["高血压患者能吃党参吗", "can I eat it with high blood pressure?", "x", "", "aaaaaaaa"]
    hashes, starts = gram_hashes(texts, 5)
    found = signatures(hashes, starts, seed)
    assert found.shape == (5, PERMUTATIONS)
    for at, signature in enumerate(found):
        theirs = MinHash(permutations=permutations(seed), scheme="affine32", hashfunc=int)
        theirs.update_batch((hashes[starts[at] : starts[at + 1]] & 0xFFFFFFFF).tolist())
        assert signature.tolist() == theirs.hashvalues.tolist()


def test_a_seed_draws_its_own_permutations():
    assert permutations(0)[0].tolist() == permutations(0)[0].tolist()
    assert permutations(0)[0].tolist() != permutations(1)[0].tolist()
    assert (permutations(3)[0] % 2 == 1).all()


def test_estimates_lie_around_the_truth():
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(100):
        common, own = rng.integers(0, 2**63, 160, np.uint64), rng.integers(0, 2**63, 40, np.uint64)
        hashes = np.concatenate([common, own[:20], common, own[20:]])
        one, other = signatures(hashes, np.array([0, 180, 360]), 0)
        errors.append(float((one == other).mean()) - 160 / 200)
    # Standard deviation sqrt(.8 * .2 / 128) = 0.035; of the mean of 100 a tenth of it.
    assert abs(np.mean(errors)) < 0.014
    assert 0.025 < np.std(errors) < 0.046


@pytest.mark.parametrize("near", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_find_what_they_promise_and_are_the_widest_that_do(near):
    bands = bands_for(near)
    assert bands.count * bands.width <= PERMUTATIONS
    assert bands.recall(near) >= RECALL
    if bands.width < PERMUTATIONS:
        wider = Bands(PERMUTATIONS // (bands.width + 1), bands.width + 1)
        assert wider.recall(near) < RECALL


def test_recall_is_the_share_of_pairs_that_meet():
    rng = np.random.default_rng(1)
    bands = Bands(8, 4)
    one = rng.integers(0, 2**32, (4000, PERMUTATIONS), np.uint32)
    other = np.where(rng.random(one.shape) < 0.6, one, rng.integers(0, 2**32, one.shape, np.uint32))
    met = buckets(np.concatenate([one, other]), bands)
    shares = ((met[:4000] == met[4000:]) & (met[:4000] >= 0)).any(axis=1).mean()
    assert shares == pytest.approx(bands.recall(0.6), abs=0.03)


def test_buckets_are_those_of_a_dictionary():
    rng = np.random.default_rng(2)
    lines = rng.integers(0, 3, (60, PERMUTATIONS), np.uint32)
    bands = Bands(10, 3)
    found = buckets(lines, bands)
    groups = defaultdict(set)
    for row, line in enumerate(lines.tolist()):
        for band in range(bands.count):
            groups[(band, *line[3 * band : 3 * band + 3])].add(row)
    mine = defaultdict(set)
    for row, numbers in enumerate(found.tolist()):
        for number in numbers:
            if number >= 0:
                mine[number].add(row)
    assert sorted(map(sorted, mine.values())) == sorted(
        sorted(each) for each in groups.values() if len(each) > 1
    )


def test_nothing_at_all():
    none = signatures(np.zeros(0, np.uint64), np.zeros(1, np.int64), 0)
    assert none.shape == (0, PERMUTATIONS)
    assert buckets(none, bands_for(0.8)).shape == (0, 25)


def test_only_pairs_that_are_far_apart_are_told_apart():
    lines = np.zeros((3, PERMUTATIONS), np.uint32)
    lines[1, : PERMUTATIONS // 4] = 1  # 0.75 of the first
    lines[2, : PERMUTATIONS // 2] = 2  # half of the first
    found = may_be(lines, np.array([0, 0, 0]), np.array([0, 1, 2]), 0.8)
    assert found.tolist() == [True, True, False]
