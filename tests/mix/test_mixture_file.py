"""Mixture files: what they may say, what is refused, those that come with curate."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.data.inputs import bundled_folder
from curate.errors import CuratrainError, DataError
from curate.mixture.spec import find_mixture, read_mixture
from curate.recipes import mix as recipe
from tests.conftest import ROOT

SHIPPED = sorted(path.stem for path in (ROOT / "mixtures").glob("*.yaml"))


@pytest.fixture
def file(tmp_path):
    def file(text, name="my.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


WHOLE = """
domain:
  - path: med/a.json
    limit: 100
    format: alpaca
    fill: {name: 小医}
  - b.json
general: c.json
ratio: [1:0, 1:5, "2:3"]
by: tokens
model: gemma3-270m
stage: pt
shortage: shrink
seed: 7
name: mine
"""


def test_addresses_of_hubs_are_not_looked_for_beside_the_file(file):
    mixture = read_mixture(file("domain: ms://owner/set:train\ngeneral: {path: hf://a/b/c.json}"))
    assert [str(source.rows) for source in mixture.domain] == ["ms:/owner/set:train"]
    assert [str(source.rows) for source in mixture.general] == ["hf:/a/b/c.json"]


def test_all_that_a_file_may_say(file, tmp_path):
    found = read_mixture(file(WHOLE))
    first, second = found.domain
    assert Path(first.rows) == tmp_path / "med" / "a.json"
    assert (first.limit, first.format) == (100, "alpaca")
    assert first.fill == {"name": "小医"}
    assert (Path(second.rows), second.limit) == (tmp_path / "b.json", None)
    assert [Path(each.rows).name for each in found.general] == ["c.json"]
    assert [str(each) for each in found.ratios] == ["1:0", "1:5", "2:3"]
    options = (found.by, found.model, found.stage, found.shortage, found.seed, found.name)
    assert options == ("tokens", "gemma3-270m", "pt", "shrink", 7, "mine")


def test_a_bare_ratio_is_no_number_of_base_sixty(file):
    """YAML 1.1 reads 1:10 as 70."""
    assert str(read_mixture(file("domain: a\ngeneral: b\nratio: 1:10")).ratios[0]) == "1:10"


def test_aliases_are_read(file):
    mixture = read_mixture(file("domain: {path: a, limit: &n 5}\ngeneral: {path: b, limit: *n}"))
    assert [source.limit for source in (*mixture.domain, *mixture.general)] == [5, 5]


def test_paths_may_be_absolute(file):
    found = read_mixture(file("domain: /far/a.json\nratio: 1:0"))
    assert Path(found.domain[0].rows) == Path("/far/a.json")


def test_what_is_given_besides_replaces_what_the_file_says(file):
    found = read_mixture(file(WHOLE), {"seed": 8, "stage": "sft"})
    assert (found.seed, found.stage, found.by) == (8, "sft", "tokens")


GIVEN = "domain: a\ngeneral: b\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ration: 1:5", r"my.yaml: unknown key 'ration'. Did you mean 'ratio'\? Allowed are dom"),
        ("domain: {pth: a}", r"my.yaml, domain: unknown key 'pth'. Did you mean 'path'\?"),
        ("domain: {limit: 2}", "my.yaml, domain: a source without path"),
        ("domain: [[a]]", "path: .* is no text"),
        (GIVEN + "ratio: 0:0", "my.yaml: --ratio 0:0: a mixture of nothing"),
        (GIVEN + "ratio: '1:'", "my.yaml: --ratio 1:: a side is empty"),
        (GIVEN + "by: words", "my.yaml: --by words: allowed are rows, tokens"),
        (GIVEN + "stage: [sft]", "my.yaml, stage: .* is no text"),
        (GIVEN + "seed: -1", "my.yaml, seed: '-1' is no whole number"),
        (GIVEN + "seed: 1.5", "'1.5' is no whole number"),
        (GIVEN + "seed: 1\nseed: 2", "my.yaml is no YAML: line 4 column 1, seed is given twice"),
        ("domain: {path: a, limit: 0}", "my.yaml, domain: limit 0: allowed are"),
        ("domain: {path: a, limit: many}", "my.yaml, domain, limit: 'many' is no whole number"),
        ("domain: {path: a, weight: 2}", "my.yaml, domain: unknown key 'weight'"),
        ("domain: {path: a, fill: x}", "fill is no list of NAME: TEXT pairs"),
        ("general: a", "ratio 1:5 needs domain data and none is given"),
        ("", "needs domain data"),
        ("- a\n- b", "my.yaml has no keys; allowed are domain, general"),
        ("just text", "my.yaml has no keys"),
        ("domain: [a", "my.yaml is no YAML: line 1 column"),
        ("? [a, b]\n: 1", "my.yaml is no YAML: line 1 column 3, found unhashable key"),
        (GIVEN + "ratio:", "my.yaml: --ratio : one number; give domain:general as two"),
        ("domain: &x {path: *x}", "my.yaml is no YAML: line 1 column 9, found unconstructable"),
        ("domain: !!python/object:os.system x\nby: y", "my.yaml: --by y"),
        ("domain: {path: {a: {b: {c: {d: e}}}}}", "my.yaml, domain, path: .* is no text"),
        (b"\xff\xfe\x00", "my.yaml is no"),
        (b"domain: \x00", "my.yaml is no YAML"),
    ],
)
def test_what_is_refused_in_one_line(file, text, told):
    with pytest.raises(CuratrainError, match=told) as error:
        read_mixture(file(text))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_mixture_is_not_read_whole(file):
    with pytest.raises(DataError, match="is larger than any mixture file"):
        read_mixture(file("#" * (2 << 20)))


def test_a_name_that_is_nearly_right():
    with pytest.raises(DataError, match=r"no mixture file 'mpi.yaml'. Did you mean 'mip'\?"):
        find_mixture("mpi.yaml")


def test_names_and_paths_of_those_that_come_with_curate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = bundled_folder() / "mip.yaml"
    assert find_mixture("mip") == find_mixture("mixtures/mip.yaml") == shipped
    (tmp_path / "mip").write_text("ratio: 1:0")
    assert find_mixture("mip") == Path("mip")  # the user's own file goes first


# Those that come with curate


def test_there_are_four():
    assert SHIPPED == ["chathome-pt", "chathome-sft-sweep", "default", "mip"]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_told_of(name):
    assert f"| {name}.yaml |" in (ROOT / "mixtures" / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("scratch_cache")
@pytest.mark.parametrize(
    ("name", "ratios", "domain"),
    [
        ("default", ["1:5"], 60),
        ("chathome-sft-sweep", ["1:0", "1:1", "1:2", "1:5", "1:10"], 60),
        ("mip", ["1:0"], 207),
    ],
)
def test_they_come_out_exactly(name, ratios, domain):
    made = recipe.mix(read_mixture(find_mixture(name)))
    for mixed, ratio in zip(made, ratios, strict=True):
        assert mixed.realised() == (
            f"domain {domain} : general {domain * int(ratio[2:])} rows = {ratio}"
        )


@pytest.mark.parametrize("name", ["chathome-pt", "chathome-sft-sweep", "mip"])
def test_the_papers_weakness_is_told(name):
    text = (ROOT / "mixtures" / f"{name}.yaml").read_text(encoding="utf-8")
    assert "single run" in text
    assert "2307.15290" in text


def test_samples_are_small_and_listed():
    listed = (ROOT / "mixtures" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "mixtures" / "samples").iterdir():
        assert path.stat().st_size < 100_000
        assert f"| samples/{path.name} |" in listed
