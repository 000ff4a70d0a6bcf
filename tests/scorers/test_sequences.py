"""The store of token sequences against a list of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.models.protocols import TokenSequence
from curate.scorers import sequences
from curate.scorers.sequences import SequenceStore


@st.composite
def sequence(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]]]:
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=20))
    cut = draw(st.integers(2, len(ids) - 1))
    return ids, draw(st.sampled_from([[(1, cut)], [(1, cut), (cut, len(ids))]]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(sequence(), max_size=30), st.sampled_from([1, 10, 1 << 18]))
def test_what_was_appended_is_what_comes_back(
    tmp_path: Path, many: list[tuple[list[int], list[tuple[int, int]]]], flush: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, SequenceStore(tmp_path) as store:
        patch.setattr(sequences, "_FLUSH", flush)
        for ids, spans in many:
            store.append(ids, spans)
        store.seal()
        assert [store.get(n) for n in range(len(store))] == [
            TokenSequence(tuple(ids), tuple(spans)) for ids, spans in many
        ]
        assert store.lengths().tolist() == [len(ids) for ids, _ in many]
        starts, lengths, counts = store.all_spans()
        flat = [span for _, spans in many for span in spans]
        assert starts.tolist() == [start for start, _ in flat]
        assert lengths.tolist() == [end - start for start, end in flat]
        assert counts.tolist() == [len(spans) for _, spans in many]


def test_the_digest_knows_tokens_borders_and_spans(tmp_path: Path) -> None:
    def digest(*many: tuple[list[int], list[tuple[int, int]]]) -> str:
        with SequenceStore(tmp_path) as store:
            for ids, spans in many:
                store.append(ids, spans)
            return store.seal()

    base = digest(([1, 2, 3], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base == digest(([1, 2, 3], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 9], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 3], [(2, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 3, 4], [(1, 3)]), ([5], [(1, 2)]))


def test_the_file_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    with SequenceStore(tmp_path) as store:
        store.append([1, 2], [(1, 2)])
        store.seal()
        assert list(tmp_path.iterdir()) == []
