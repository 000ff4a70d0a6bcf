"""Our fast loader against Hugging Face `datasets` itself: the same rows, or both refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.llamafactory.doctor import loading
from curate.llamafactory.doctor.findings import Ends
from curate.llamafactory.doctor.loading import files_of, loaded

BIG = "休" * 1000


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def array(*rows: object) -> str:
    return json.dumps(rows, ensure_ascii=False)


OK = ({"a": "头痛", "n": 1, "x": 1.5, "yes": True}, {"a": "", "n": 2, "x": 2.0, "yes": False})
NESTED = (
    {"turns": [{"from": "human", "value": "a"}], "about": {"who": "x", "at": {"year": 1}}},
    {"turns": [], "about": {"who": None, "at": None}},
    {"turns": [{"from": "gpt", "value": None}, {"value": "b"}], "about": None},
)
NULLS = ({"a": None, "b": [], "c": {}}, {"a": None, "b": [None], "c": None})
# Rows that are the same many times over fill the first piece; one that differs comes after it.
FIRST = {"a": BIG, "n": 1, "list": [{"k": "v"}], "about": {"who": None, "what": "x"}, "none": None}
FILES = {
    "ok.jsonl": lines(*OK),
    "ok.json": array(*OK),
    "lines in .json": (".json", lines(*OK)),
    "array in .jsonl": (".jsonl", array(*OK)),
    "indented.json": json.dumps(OK, indent=2),
    "bom.jsonl": "\ufeff" + lines(*OK),
    "bom.json": "\ufeff" + array(*OK),
    "nested.jsonl": lines(*NESTED),
    "nested.json": array(*NESTED),
    "nulls.jsonl": lines(*NULLS),
    "nulls.json": array(*NULLS),
    "only nulls.jsonl": lines({"a": None}, {"a": None}),
    "empty objects.jsonl": lines({}, {}),
    "blank lines.jsonl": lines(OK[0]) + "\n\n" + lines(OK[1]),
    "text and number.jsonl": lines({"a": "1"}, {"a": 2}),
    "text and number.json": array({"a": "1"}, {"a": 2}),
    "text and list.jsonl": lines({"a": "1"}, {"a": ["2"]}),
    "text and list.json": array({"a": "1"}, {"a": ["2"]}),
    "text and object.json": array({"a": "1"}, {"a": {"b": 1}}),
    "mixed list.jsonl": lines({"a": [1, "x"]}),
    "number and float.jsonl": lines({"a": 1}, {"a": 2.5}),
    "number and float.json": array({"a": 1}, {"a": 2.5}),
    "other keys.jsonl": lines({"a": "x"}, {"b": "y"}),
    "other keys.json": array({"a": "x"}, {"b": "y"}),
    "dates.jsonl": lines({"a": "2024-01-01"}, {"a": "2024-02-03"}),
    "dates.json": array({"a": "2024-01-01"}, {"a": "2024-02-03"}),
    "large number.jsonl": lines({"a": 2**70}),
    "not an object.jsonl": '"a"\n"b"\n',
    "lists.json": array(["a", "b"], ["c", "d"]),
    "texts.json": array("a", "b"),
    "wrapped.json": '{"data": [{"a": "x"}]}',
    "broken.jsonl": lines(OK[0]) + '{"a"\n',
    "broken.json": '[{"a": "x"',
    "empty.json": "",
    "empty array.json": "[]",
    "table.csv": "a,b\nx,1\n,2\n",
    "texts.txt": "eins\nzwei\n\ndrei",
    **{
        f"late {name}.jsonl": lines(*[FIRST] * 3700) + lines({**FIRST, "a": "last", **late})
        for name, late in {
            "alike": {},
            "key": {"more": "x"},
            "null": {"n": None, "about": None, "list": None},
            "text for number": {"n": "two"},
            "digits for number": {"n": "2"},
            "float for number": {"n": 2.5},
            "number for text": {"a": 7},
            "list for text": {"a": ["x"]},
            "text for list": {"list": "x"},
            "no keys": {"list": [{}], "about": {}},
            "fewer keys": {"about": {"what": "y"}},
            "other order": {"about": {"what": "y", "who": None}},
            "key in object": {"about": {"who": None, "what": "x", "when": "now"}},
            "key in list": {"list": [{"k": "v", "w": 1}]},
            "number in list": {"list": [{"k": 3}]},
            "empty list": {"list": []},
            "text for null": {"none": "x"},
            "object for null": {"none": {"a": 1}},
            "text for null in object": {"about": {"who": "me", "what": "x"}},
        }.items()
    },
}


def put(folder: Path, name: str) -> Path:
    content = FILES[name]
    ending, text = content if isinstance(content, tuple) else (Path(name).suffix, content)
    path = folder / f"rows{ending}"
    path.write_text(text, encoding="utf-8")
    return path


def by_datasets(path: Path, cache: Path) -> list[dict[str, object]] | None:
    """Return the rows as LLaMA-Factory's loader has them, None where it refuses."""
    import datasets

    kind = {"jsonl": "json", "txt": "text"}.get(path.suffix[1:], path.suffix[1:])
    try:
        return list(
            datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(cache))
        )
    except (datasets.exceptions.DatasetGenerationError, ValueError):
        return None


def by_us(path: Path) -> list[dict[str, object]] | None:
    try:
        return list(loaded(files_of(path)))
    except Ends:
        return None


@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_or_the_same_refusal(name, tmp_path):
    path = put(tmp_path, name)
    assert by_us(path) == by_datasets(path, tmp_path / "cache")


@pytest.mark.parametrize(
    "name",
    [name for name in FILES if name.endswith(".json") and str(FILES[name])[:1] == "["],
)
def test_a_long_array_is_read_as_a_short_one(name, tmp_path, monkeypatch):
    path = put(tmp_path, name)
    short = by_us(path)
    monkeypatch.setattr(loading, "_WHOLE", 0)
    assert by_us(path) == short


def test_windows_of_a_long_array_have_the_types_of_all_its_rows(tmp_path, monkeypatch):
    early = {"a": "x", "n": 1, "turns": [{"from": "human"}], "none": None}
    late = {"a": "y", "n": 2.5, "turns": [{"from": "gpt", "value": "z"}], "none": "m", "more": "k"}
    path = tmp_path / "rows.json"
    path.write_text(array(*[early] * 1500, late))
    short = by_us(path)
    monkeypatch.setattr(loading, "_WHOLE", 0)
    assert [len(table) for table in loading._json(path)] == [1000, 501]
    assert by_us(path) == short
    assert short is not None
    assert (short[0]["more"], short[0]["turns"]) == (None, [{"from": "human", "value": None}])


@pytest.mark.parametrize(
    "content", [b"null\n", b" null\nnull", b'null\n{"a": 1}\n', b'{"a": 1}\n' + b"null\n" * 90_000]
)
def test_a_row_of_nothing_that_ends_the_process_of_pyarrow(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(Ends, match="Segmentation fault: a row is null"):
        list(loaded([path]))


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":[', "]}")])
def test_rows_so_deep_that_they_end_the_process_of_pyarrow(tmp_path, begin, end):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' * 3 + f'{{"a": {begin * 100_000}{end * 100_000}}}\n')
    with pytest.raises(Ends, match="rows.jsonl, line 4: lists and objects are nested too deep"):
        list(loaded([path]))


def test_a_row_of_nothing_among_others_is_a_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "nullx"}\nnull\n{"a": "x"}\n')
    assert by_us(path) == by_datasets(path, tmp_path / "cache")
