"""What lies in the output folder after a mixture, to the byte."""

from __future__ import annotations

import json

import pytest

import curate
from curate.errors import DataError, OutputError
from curate.recipes import mix as recipe
from tests.mix.mixing import emitted, manifest, rows, save, sides, table

pytestmark = pytest.mark.usefixtures("scratch_cache")


@pytest.fixture
def mixed(tmp_path):
    """Emit a mixture of what is given, and return the folder."""

    def mixed(domain, general, ratio="1:1", folder="data", **options):
        files = [
            save(tmp_path / f"{side}.json", values)
            for side, values in (("domain", domain), ("general", general))
        ]
        curate.emit(curate.mix(*files, ratio, **options), tmp_path / folder, name="x")
        return tmp_path / folder

    return mixed


def entry(folder):
    return json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["x"]


def test_rows_of_one_shape_are_written_whole(mixed):
    domain = [{**row, "meta": {"from": [1, 2]}} for row in rows("domain", 10)]
    general = [{**row, "meta": {"from": [3]}} for row in rows("general", 40)]
    folder = mixed(domain, general, "1:3")
    lines = emitted(folder, "x")
    assert sides(lines) == {"domain": 10, "general": 30}
    assert all(line in domain + general for line in lines)
    assert entry(folder)["columns"] == {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
    }


def test_rows_are_shuffled_and_not_one_side_after_the_other(mixed):
    lines = emitted(mixed(rows("d", 100), rows("g", 100)), "x")
    order = "".join(next(iter(sides([line]))) for line in lines)
    changes = sum(a != b for a, b in zip(order, order[1:], strict=False))
    assert 70 < changes < 130  # 100 if drawn; the standard deviation is 7
    asked = [line["instruction"] for line in lines if line["instruction"].startswith("d")]
    assert asked != [row["instruction"] for row in rows("d", 100)]


def test_another_seed_is_another_order(mixed):
    lines = [
        emitted(mixed(rows("d", 50), rows("g", 50), folder=str(seed), seed=seed), "x")
        for seed in (0, 1)
    ]
    assert lines[0] != lines[1]
    assert sorted(map(str, lines[0])) == sorted(map(str, lines[1]))


def test_rows_of_two_shapes_become_canonical(mixed):
    spoken = [
        {
            "id": at,
            "conversations": [
                {"from": "human", "value": f"general {at}?"},
                {"from": "gpt", "value": "yes"},
            ],
        }
        for at in range(10)
    ]
    folder = mixed([{**row, "input": "more"} for row in rows("domain", 5)], spoken)
    lines = emitted(folder, "x")
    assert sides(lines) == {"domain": 5, "general": 5}
    assert {tuple(line) for line in lines} == {("conversations", "system", "tools")}
    mine = next(each for each in lines if "domain 3?" in each["conversations"][0]["value"])
    assert mine == {
        "conversations": [
            {"from": "human", "value": "domain 3?\nmore"},
            {"from": "gpt", "value": "domain answer 3"},
        ],
        "system": "",
        "tools": "",
    }
    assert entry(folder)["formatting"] == "sharegpt"
    assert "differ in shape (domain.json: alpaca, general.json" in manifest(folder, "x")["notes"][0]


def test_a_column_that_only_some_rows_have(mixed):
    domain = [{**row, "system": "s"} for row in rows("domain", 5)]
    folder = mixed(domain, rows("general", 5))
    assert {line["system"] for line in emitted(folder, "x")} == {"s", None}
    assert entry(folder)["columns"]["system"] == "system"


def test_a_column_of_two_types_becomes_text(mixed):
    domain = [{**row, "meta": 1} for row in rows("domain", 5)]
    folder = mixed(domain, [{**row, "meta": "x"} for row in rows("general", 5)])
    assert {line["meta"] for line in emitted(folder, "x")} == {"1", "x"}
    assert manifest(folder, "x")["columns_as_text"] == ["meta"]


def test_what_shows_late_has_its_type_from_the_beginning(mixed):
    """Copied rows are looked at like parsed ones: 3 MB of rows without a key, one with it."""
    domain = [{**row, "note": "x" * 3000} for row in rows("domain", 1000)]
    general = [{**row, "note": "x" * 3000, "late": None} for row in rows("general", 1000)]
    general[500]["late"] = "here"
    folder = mixed(domain, general)
    late = [line["late"] for line in emitted(folder, "x")]
    assert set(late) in ({"", "here"}, {None, "here"})
    assert all("late" in line for line in emitted(folder, "x"))
    assert late.index("here") < 600 or None not in late


def test_copied_and_parsed_rows_are_the_same_data(mixed, monkeypatch):
    given = rows("中文", 300), rows("general", 900)
    copied = mixed(*given, "1:2", folder="copied")
    monkeypatch.setattr("curate.mixture.mixed.ValueKinds.same_keys", lambda self: False)
    parsed = mixed(*given, "1:2", folder="parsed")
    assert emitted(copied, "x") == emitted(parsed, "x")
    data = (copied / "x.jsonl").read_bytes()
    assert data != (parsed / "x.jsonl").read_bytes()  # it was another way
    assert "中文 1?" in data.decode()
    assert data.endswith(b"}\n")


def test_twice_is_the_same_bytes(mixed):
    folders = [mixed(rows("d", 30), rows("g", 300), "1:5", folder=name) for name in "ab"]
    for file in ("x.jsonl", "x.scores.parquet", "dataset_info.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_the_table_has_every_row_and_why(mixed):
    broken = [{**row, "output": " "} for row in rows("general", 2, 100)]
    folder = mixed(rows("d", 4), rows("general", 10) + broken + rows("general", 1), "1:2")
    lines = table(folder, "x")
    assert len(lines) == 17
    assert sum(line["times"] for line in lines) == 12
    assert [line["row"] for line in lines if line["source"] == "general.json"] == list(range(13))
    assert {(line["status"], line["reason"], line["kept"]) for line in lines} == {
        ("ok", "", True),
        ("ok", "not_drawn", False),
        ("ok", "duplicate", False),
        ("empty_response", "empty_response", False),
    }
    kept = {line["id"] for line in lines if line["kept"]}
    written = {row["instruction"] for row in emitted(folder, "x")}
    whole = curate.read([folder.parent / "domain.json", folder.parent / "general.json"])
    assert {row.prompt for row in whole if row.id in kept} == written


def test_the_manifest_counts_every_source(mixed):
    folder = mixed(rows("d", 4), rows("g", 10), "1:2", seed=7)
    made = manifest(folder, "x")
    assert made["recipe"] == "mix"
    assert made["params"]["ratio"] == "1:2"
    assert made["params"]["seed"] == 7
    counts = made["counts"]
    tokens = counts.pop("tokens")  # of "d answer 0" and its end
    assert tokens == {"read": 14 * 4, "kept": 12 * 4, "written": 12 * 4, "by": "use"}
    assert counts == {"read": 14, "kept": 12, "written": 12, "dropped": {"not_drawn": 2}}
    assert [(each["name"], each["kept"]) for each in made["sources"]] == [
        ("domain.json", 4),
        ("general.json", 8),
    ]
    assert made["realised"] == "domain 4 : general 8 rows = 1:2"
    assert made["output"]["rows"] == 12
    assert str(folder.parent) not in json.dumps(made)


def test_repeated_rows_are_written_as_often_as_the_table_says(mixed):
    folder = mixed(rows("d", 10), rows("g", 4), "1:1", shortage="repeat")
    lines = emitted(folder, "x")
    assert sides(lines) == {"d": 10, "g": 10}
    times = {line["row"]: line["times"] for line in table(folder, "x") if line["side"] == "general"}
    for at, row in enumerate(rows("g", 4)):
        assert lines.count(row) == times[at]
    assert sorted(times.values()) == [2, 2, 3, 3]
    assert manifest(folder, "x")["repeated"] == {"rows": 4}


def test_repeats_do_not_stand_side_by_side(mixed):
    lines = emitted(mixed(rows("d", 100), rows("g", 50), "1:2", shortage="repeat"), "x")
    assert sum(a == b for a, b in zip(lines, lines[1:], strict=False)) < 15  # about 2 if drawn


# Pre-training


def test_texts_are_written_as_they_are(mixed):
    domain = [{"text": f"d {at}", "url": "u"} for at in range(5)]
    general = [{"text": f"g {at}", "url": "v"} for at in range(20)]
    folder = mixed(domain, general, "1:2", stage="pt")
    assert len(emitted(folder, "x")) == 15
    assert all(line in domain + general for line in emitted(folder, "x"))
    assert entry(folder)["columns"] == {"prompt": "text"}


def test_instructions_become_text_without_names_of_roles(mixed):
    spoken = [
        {
            "system": "Be brief.",
            "conversations": [
                {"from": "human", "value": f"q{at}"},
                {"from": "gpt", "value": "a"},
                {"from": "human", "value": "r"},
                {"from": "gpt", "value": "b"},
            ],
        }
        for at in range(2)
    ]
    folder = mixed(spoken, [{"text": f"g {at}"} for at in range(2)], stage="pt")
    texts = sorted(line["text"] for line in emitted(folder, "x"))
    assert texts == ["Be brief.\n\nq0\na\n\nr\nb", "Be brief.\n\nq1\na\n\nr\nb", "g 0", "g 1"]
    assert entry(folder) == {
        "file_name": "x.jsonl",
        "formatting": "alpaca",
        "columns": {"prompt": "text"},
    }
    assert "instructions are written as text" in manifest(folder, "x")["notes"][0]


# Wild text


def test_nul_characters_and_half_an_emoji_do_not_enter_and_are_counted(tmp_path):
    domain = [{**row, "output": "a\u2028b\x01"} for row in rows("d", 5)]
    general = rows("g", 5) + [{**row, "output": "cut \ud83d"} for row in rows("bad", 3)]
    general += [{**row, "output": "a\x00b"} for row in rows("nul", 2)]
    path = tmp_path / "general.json"
    folder = tmp_path / "data"
    save(tmp_path / "domain.json", domain)
    path.write_text(json.dumps(general), encoding="utf-8")
    made = curate.mix(tmp_path / "domain.json", path, "1:1")
    curate.emit(made, folder, "x")
    lines = emitted(folder, "x")
    assert sides(lines) == {"d": 5, "g": 5}
    assert {line["output"] for line in lines if line["instruction"][0] == "d"} == {"a\u2028b\x01"}
    assert made.sources[1].left_out == {"lone_surrogate": 3, "nul_character": 2}
    assert (folder / "x.jsonl").read_bytes().count(b"\n") == 10


@pytest.mark.parametrize("when", ["Shuffle.add", "Shuffle.copy_to", "columns_ahead"])
def test_a_full_disk_is_told_and_leaves_what_was_there(mixed, monkeypatch, when):
    folder = mixed(rows("d", 10), rows("g", 100))
    before = {each.name: each.read_bytes() for each in folder.iterdir()}

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"curate.mixture.mixed.{when}", full)
    with pytest.raises(OutputError, match="cannot write to .*: No space left on device; make room"):
        mixed(rows("d", 10), rows("g", 100), "1:2")
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_nothing_to_write(tmp_path):
    empty = save(tmp_path / "d.json", [{**row, "output": ""} for row in rows("d", 3)])
    general = save(tmp_path / "g.json", rows("g", 3))
    with pytest.raises(DataError, match="no domain row is left to use"):
        curate.mix(empty, general, "1:1")
    with pytest.raises(DataError, match="no general row is left to use"):
        recipe.mix(recipe.mixture_of(general, empty, "0:1"))
