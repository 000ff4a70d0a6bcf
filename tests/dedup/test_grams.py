"""Sets of n-grams and their similarity, against Python's own sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.duplicates.folding import fold
from curate.duplicates.ngrams import distinct, gram_hashes, jaccard, ranges
from tests.dedup import naive

TEXTS = st.lists(
    st.text(alphabet="ab 高血\U0001f600", max_size=12) | st.text(max_size=8), max_size=8
)


def index(*numbers):
    return np.array(numbers, np.int64)


def test_by_hand():
    # ab bc cd | bc cd de: two of four
    assert jaccard(["abcd", "bcde"], index(0), index(1), 2).tolist() == [0.5]
    # 高血 血压 | 高血 血糖: one of three
    assert jaccard(["高血压", "高血糖"], index(0, 0), index(1, 0), 2).tolist() == [1 / 3, 1]


def test_short_and_empty_texts():
    texts = ["ab", "ab", "abc", "", "\U0010ffff"]
    pairs = index(0, 0, 0, 3), index(1, 2, 3, 3)
    assert jaccard(texts, *pairs, 5).tolist() == [1, 0, 0, 0]
    hashes, starts = gram_hashes(texts, 5)
    assert starts.tolist() == [0, 1, 2, 3, 3, 4]
    assert hashes[0] == hashes[1]
    assert len(set(hashes.tolist())) == 3


def test_what_pads_a_short_text_is_no_character():
    hashes, _ = gram_hashes(["ab", "ab\0", "ab\U0010ffff"], 5)
    assert len(set(hashes.tolist())) == 3


def test_no_texts():
    hashes, starts = gram_hashes([], 5)
    assert (len(hashes), starts.tolist()) == (0, [0])


def test_grams_do_not_reach_into_the_next_text():
    hashes, starts = gram_hashes(["abc", "abd"], 3)
    assert starts.tolist() == [0, 1, 2]
    assert gram_hashes(["abd"], 3)[0][0] == hashes[1]


def test_ranges():
    assert ranges(index(5, 9, 0), index(2, 0, 3)).tolist() == [5, 6, 0, 1, 2]


@given(TEXTS, st.integers(1, 6))
def test_sets_are_those_of_python(texts, n):
    texts = [fold(text) for text in texts]
    grams, starts = distinct(*gram_hashes(texts, n))
    assert np.diff(starts).tolist() == [len(naive.grams(text, n)) for text in texts]
    everything = set().union(*(naive.grams(text, n) for text in texts))
    assert len(set(grams.tolist())) == len(everything)  # as many hashes as n-grams


@given(TEXTS.filter(bool), st.integers(1, 6), st.randoms(use_true_random=False))
def test_similarity_is_that_of_python(texts, n, random):
    texts = [fold(text) for text in texts]
    pairs = [(random.randrange(len(texts)), random.randrange(len(texts))) for _ in range(9)]
    left, right = (index(*side) for side in zip(*pairs, strict=True))
    found = jaccard(texts, left, right, n)
    for value, (one, other) in zip(found.tolist(), pairs, strict=True):
        assert value == float(naive.jaccard(texts[one], texts[other], n))
