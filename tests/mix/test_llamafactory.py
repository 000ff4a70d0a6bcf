"""LLaMA-Factory's own loader finds exactly the rows that the mixture says it has."""

from __future__ import annotations

import pytest

import curate
from curate.mixture.spec import find_mixture, read_mixture
from curate.recipes import mix as recipe
from tests.conftest import SHARED
from tests.mix.mixing import manifest, table

pytest.importorskip("llamafactory")
pytestmark = pytest.mark.usefixtures("scratch_cache")


def loaded(folder, name, stage="sft"):
    from tests.converter import train_in

    found = train_in(folder, name, stage)
    assert found.error == ""
    assert found.usable == len(found.rows) == manifest(folder, name)["output"]["rows"]
    return [
        (row.prompt[-1]["content"], *(each["content"] for each in row.response))
        for row in found.rows
    ]


def said(path):
    """Return what every row of a file says, by its id."""
    return {
        row.id: (row.prompt, row.response) if row.response else (row.prompt,)
        for row in curate.read(path)
        if not row.flaw
    }


def check(folder, name, files):
    """Compare what was loaded with the rows that the table names, source by source."""
    turns = loaded(folder, name)
    expected = []
    for path in files:
        known = said(path)
        kept = [
            known[line["id"]]
            for line in table(folder, name)
            if line["source"] == path.name and line["kept"]
        ]
        assert sum(each in set(kept) for each in turns) == len(kept)
        expected += kept
    assert sorted(turns) == sorted(expected)


def test_as_typed(tmp_path):
    mixture = read_mixture(find_mixture("default"))
    (mixed,) = recipe.mix(mixture)
    curate.emit(mixed, tmp_path, name="m")
    given = [*mixture.domain, *mixture.general]
    check(tmp_path, "m", [each.rows for each in given])
    counts = {each.side: 0 for each in mixed.sources}
    for each in mixed.sources:
        counts[each.side] += each.kept
    assert counts == {"domain": 60, "general": 300}


@pytest.mark.parametrize("stage", ["mip", "chathome-pt"])
def test_pre_training(tmp_path, stage):
    mixture = read_mixture(find_mixture(stage), {"by": "rows"})
    (mixed,) = recipe.mix(mixture)
    curate.emit(mixed, tmp_path, name="m")
    from tests.converter import train_in

    found = train_in(tmp_path, "m", "pt")
    assert found.error == ""
    texts = {row.prompt[0]["content"] for row in found.rows}
    assert len(found.rows) == mixed.summary().written == len(texts)


@pytest.mark.parametrize(
    ("domain", "general", "ratio", "one_shape"),
    [
        ("medical_sft_zh.jsonl", "alpaca_zh.json", "2:1", False),
        ("alpaca_en.json", "alpaca_zh.json", "1:1", True),
        ("identity.json", "alpaca_zh.json", "1:5", True),
        ("care_qa.jsonl", "alpaca_en.json", "4:1", False),
    ],
)
def test_real_files(tmp_path, domain, general, ratio, one_shape):
    files = [SHARED / domain, SHARED / general]
    if not all(path.is_file() for path in files):
        pytest.skip("the public data sets are not here")
    from curate.mixture.spec import MixSource

    fill = {"name": "小医", "author": "我们"} if domain == "identity.json" else {}
    mixed = curate.mix(MixSource(files[0], fill=fill), files[1], ratio, shortage="shrink")
    assert (mixed.common.convert is None) == one_shape
    curate.emit(mixed, tmp_path, name="m")
    assert len(loaded(tmp_path, "m")) == mixed.summary().written
    sides = [sum(x.kept for x in mixed.sources if x.side == s) for s in ("domain", "general")]
    a, b = map(int, ratio.split(":"))
    assert sides[0] * b == sides[1] * a > 0
