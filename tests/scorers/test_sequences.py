"""Tokens in a file: what comes back is what was made, once, whoever was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.data.read import read
from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.models.protocols import TokenSequence
from curate.parameters.engine import EngineParams
from curate.scorers import sequences
from curate.scorers.sequences import Block, Sequences, tokenised
from tests.fake import FakeModel

Many = list[tuple[list[int], list[tuple[int, int]]]]


@st.composite
def sequence(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]]]:
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=20))
    cut = draw(st.integers(2, len(ids) - 1))
    return ids, draw(st.sampled_from([[(1, cut)], [(1, cut), (cut, len(ids))]]))


def block_of(many: Many, status: str = "x") -> bytes:
    block = Block()
    for ids, spans in many:
        block.append(ids, spans)
    return block.packed({"of": status}, status=np.array([status] * len(many), dtype=str))


def stored(path: Path, *blocks: Many) -> Sequences:
    path.write_bytes(b"".join(block_of(many, "x" * n) for n, many in enumerate(blocks)))
    return Sequences(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(sequence(), max_size=9), max_size=4))
def test_what_was_appended_is_what_comes_back(tmp_path: Path, blocks: list[Many]) -> None:
    store = stored(tmp_path / "x.ids", *blocks)
    many = [each for block in blocks for each in block]
    assert store.take(np.arange(len(store))) == [
        TokenSequence(tuple(ids), tuple(spans)) for ids, spans in many
    ]
    assert store.spans.tolist() == [list(span) for _, spans in many for span in spans]
    assert store.counts.tolist() == [len(spans) for _, spans in many]
    assert [told["of"] for told in store.told] == ["x" * n for n in range(len(blocks))]
    if many:
        expected = ["x" * n for n, block in enumerate(blocks) for _ in block]
        assert store.columns["status"].tolist() == expected


def test_the_digest_knows_tokens_borders_and_spans(tmp_path: Path) -> None:
    def digest(*many: tuple[list[int], list[tuple[int, int]]]) -> str:
        return stored(tmp_path / "x.ids", list(many)).digest

    base = digest(([1, 2, 3], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base == digest(([1, 2, 3], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 9], [(1, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 3], [(2, 3)]), ([4, 5], [(1, 2)]))
    assert base != digest(([1, 2, 3, 4], [(1, 3)]), ([5], [(1, 2)]))


def first_words(model: Any, rows: list[Any]) -> bytes:
    block = Block()
    for row in rows:
        if row.prompt == "stop":
            raise KeyboardInterrupt
        block.append(model.encoder.encode([row.prompt])[0], [])
    return block.packed(at=np.array([row.position for row in rows]))


@pytest.fixture
def made(tmp_path, scratch_cache, monkeypatch):
    monkeypatch.setattr(sequences, "BLOCK", 10)
    path = tmp_path / "rows.json"
    values = [{"instruction": f"q{n}", "output": "a"} for n in range(95)]
    path.write_text(json.dumps(values))
    rows, engine = read(path), LocalEngine(tmp_path)

    def made(tokenise=first_words, rows=rows, model=FakeModel(), key=(1,), engine=engine):  # noqa: B008
        return tokenised(rows, tokenise, key, model, engine)

    return made, rows


def test_tokens_are_made_once_for_the_same_rows_model_and_way(made, tmp_path):
    made, rows = made
    first = made()
    assert len(first) == 95
    assert bytes(first.get(42).ids).decode() == "q42"
    assert first.columns["at"].tolist() == list(range(95))

    def never(model, rows):
        raise AssertionError("made again")

    assert made(never).digest == first.digest
    others = [{"rows": rows[1:]}, {"key": (2,)}, {"model": FakeModel()}]
    others[2]["model"].fingerprint = "another"
    for other in others:
        with pytest.raises(AssertionError, match="made again"):
            made(never, **other)
    assert len(list((tmp_path / "tokens").glob("*.ids"))) == 4


@pytest.mark.parametrize("cut", [0, 1, 47, 48, 60, 500])
def test_after_a_kill_only_what_is_not_whole_is_made_again(made, tmp_path, cut):
    made, _ = made
    whole, asked = made(), []
    (path,) = (tmp_path / "tokens").glob("*.ids")
    content = path.read_bytes()
    blocks = [at for at, *_ in sequences._blocks(path.open("rb"))]
    path.write_bytes(content[: blocks[6] + cut])

    def watched(model, rows):
        asked.append(rows[0].position)
        return first_words(model, rows)

    assert made(watched).digest == whole.digest
    done = 6 + sum(blocks[n + 1] - blocks[6] <= cut for n in (6, 7, 8))
    assert asked == list(range(10 * done, 95, 10))
    assert path.read_bytes() == content


def test_processes_make_the_same_file(made, tmp_path, monkeypatch):
    from tests.engine.workers import Tokenising

    made, _ = made
    model = Tokenising()
    alone = made(model=model)
    (path,) = (tmp_path / "tokens").glob("*.ids")
    content = path.read_bytes()
    path.unlink()
    crews = Crews(EngineParams(workers=2))
    several = made(model=model, engine=LocalEngine(tmp_path, crews=crews))
    assert (several.digest, path.read_bytes()) == (alone.digest, content)
    path.unlink()
    monkeypatch.setattr("curate.engine.crews._MANY", 5)
    monkeypatch.setattr("curate.engine.crews.cores", lambda: 2)
    model.pids.clear()
    assert made(model=model).digest == alone.digest
    assert not model.pids, "nothing was made in this process"
