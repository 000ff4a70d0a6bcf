"""From files and folders to rows: what is read, what is kept in the cache, and what it costs."""

from __future__ import annotations

import csv
import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from curate.data import row_cache
from curate.data.describe import language_of, not_used
from curate.data.read import read
from curate.errors import DataError, UsageError

ALPACA = [
    {"instruction": f"高血压患者能吃党参吗？{each}", "input": "", "output": f"可以{each}。"}
    for each in range(6)
]


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def text_of(values):
    return json.dumps(values, ensure_ascii=False)


def lines_of(values):
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in values)


def put(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


# What is read


def test_a_folder_stands_for_all_data_files_in_and_below_it(tmp_path):
    folder = tmp_path / "in"
    put(folder / "b.json", text_of(ALPACA[:2]))
    put(folder / "deep" / "a.jsonl", lines_of(ALPACA[2:5]))
    put(folder / "README.md", "# not rows")
    put(folder / "LICENSE", "not rows")
    put(folder / "dataset_info.json", "{}")
    put(folder / "x.manifest.json", "{}")
    put(folder / ".hidden" / "c.json", text_of(ALPACA))
    put(folder / ".d.json", text_of(ALPACA))
    rows = read(folder)
    assert [source.name for source in rows.sources] == ["b.json", "deep/a.jsonl"]
    assert [row.value for row in rows] == ALPACA[:5]
    assert [row.source for row in rows] == ["b.json"] * 2 + ["deep/a.jsonl"] * 3
    assert [rows.source_of(each).name for each in (0, 1, 2, 4)] == [
        "b.json",
        "b.json",
        "deep/a.jsonl",
        "deep/a.jsonl",
    ]


def test_what_was_emitted_beside_data_is_no_data(tmp_path):
    put(tmp_path / "data" / "x_ifd.jsonl", lines_of(ALPACA))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "data" / "x_ifd.scores.parquet")
    assert len(read(tmp_path / "data")) == 6


def test_a_folder_without_data_is_told(tmp_path):
    put(tmp_path / "empty" / "README.md", "nothing")
    with pytest.raises(DataError, match=r"holds no data files \(beside README.md\); give a"):
        read(tmp_path / "empty")


def test_containers_of_one_shape_go_together_and_rows_stay_in_the_order_given(tmp_path):
    files = [
        put(tmp_path / "a.json", text_of(ALPACA[:2])),
        put(tmp_path / "b.jsonl", lines_of(ALPACA[2:3])),
        tmp_path / "c.csv",
        tmp_path / "d.parquet",
    ]
    with files[2].open("w", encoding="gb18030", newline="") as out:
        writer = csv.DictWriter(out, list(ALPACA[0]))
        writer.writeheader()
        writer.writerows(ALPACA[3:4])
    pq.write_table(pa.Table.from_pylist(ALPACA[4:]), files[3])
    rows = read(files)
    assert [row.value for row in rows] == ALPACA
    assert [source.container for source in rows.sources] == ["json", "jsonl", "csv", "parquet"]
    assert read(files[::-1])[0].value == ALPACA[4]


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("gb18030", "gb18030")]
)
def test_encodings_give_the_same_rows(tmp_path, encoding, told):
    rows = read(put(tmp_path / "x.json", text_of(ALPACA), encoding))
    assert rows.sources[0].encoding == told
    assert [row.value for row in rows] == ALPACA


def test_ids_are_those_of_the_content_whatever_holds_it(tmp_path):
    sharegpt = [
        {
            "messages": [
                {"role": "user", "content": each["instruction"]},
                {"role": "assistant", "content": each["output"]},
            ]
        }
        for each in ALPACA
    ]
    ids = {
        frozenset(read(path).ids)
        for path in (
            put(tmp_path / "a.json", text_of(ALPACA)),
            put(tmp_path / "b.jsonl", lines_of(ALPACA[::-1])),
            put(tmp_path / "other name.txt", text_of(ALPACA), "gb18030"),
            put(tmp_path / "c.json", text_of(sharegpt)),
        )
    }
    assert len(ids) == 1
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in next(iter(ids)))


def test_equal_rows_have_ids_of_their_own_across_files(tmp_path):
    first = put(tmp_path / "a.json", text_of(ALPACA[:1] * 2))
    second = put(tmp_path / "b.json", text_of(ALPACA[:1]))
    ids = read([first, second]).ids
    assert list(ids) == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert [row.id for row in read([first, second])] == list(ids)


def test_rows_are_a_sequence(tmp_path):
    rows = read(put(tmp_path / "a.json", text_of(ALPACA)))
    assert rows[-1].value == rows[5].value == ALPACA[5]
    assert rows[2].prompt == ALPACA[2]["instruction"]
    for position in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            rows[position]


def test_shapes_that_do_not_go_together_are_told(tmp_path):
    alpaca = put(tmp_path / "a.json", text_of(ALPACA))
    talk = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    sharegpt = put(tmp_path / "s.json", text_of([{"conversations": talk}]))
    with pytest.raises(DataError, match=r"a\.json and s\.json have different shapes: alpaca .*"):
        read([alpaca, sharegpt])


def test_a_column_that_one_of_two_files_has_is_named(tmp_path):
    first = put(tmp_path / "a.json", text_of(ALPACA))
    second = put(tmp_path / "b.json", text_of([{**ALPACA[0], "system": "s"}]))
    for files in ([first, second], [second, first]):
        assert read(files).shape.columns["system"] == "system"


def test_a_column_that_first_appears_after_the_sample_is_named(tmp_path):
    values = [
        {"instruction": f"{each}?", "output": "yes"} for each in range(row_cache.SAMPLES + 50)
    ]
    values[-1] |= {"history": [["a", "b"]], "input": "more"}
    path = put(tmp_path / "a.jsonl", lines_of(values))
    for rows in (read(path), read(path)):  # parsed, and out of the cache
        assert rows.shape.columns["history"] == "history"
        assert rows.shape.columns["query"] == "input"
    assert len(rows[-1].turns) == 4


@pytest.mark.parametrize("link", [False, True])
def test_the_same_file_twice_is_refused(tmp_path, link):
    path = put(tmp_path / "a.json", text_of(ALPACA))
    other = tmp_path / "b.json"
    other.symlink_to(path) if link else put(other, text_of(ALPACA[:1]))
    if link:
        with pytest.raises(UsageError, match=r"'b\.json' is given twice"):
            read([path, other])
    else:
        assert len(read([path, other])) == 7
        with pytest.raises(UsageError, match=r"'a\.json' is given twice"):
            read([path, tmp_path / "." / "a.json"])


def test_nothing_given():
    with pytest.raises(UsageError, match="no input"):
        read([])


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path):
    put(tmp_path / "huatuo.json", text_of(ALPACA))
    with pytest.raises(DataError, match=r"no file .*huatou\.json.*Did you mean 'huatuo\.json'\?"):
        read(tmp_path / "huatou.json")
    with pytest.raises(DataError, match="no file"):
        read(tmp_path / "nowhere" / "x.json")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        read(tmp_path / "pipe")


def test_a_bundled_sample_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(read("mixtures/samples/huatuo.json")) > 10
    with pytest.raises(DataError, match="no file"):
        read("mixtures/../pyproject.toml")


def test_a_file_name_that_is_no_utf8_is_read_and_can_be_written_down(tmp_path):
    path = tmp_path / "in" / os.fsdecode("中文".encode("gb18030") + b".json")
    rows = read(put(path, text_of(ALPACA)))
    assert len(rows) == 6
    assert rows.sources[0].name.encode("utf-8").endswith(b".json")
    assert read(tmp_path / "in")[0].source == rows.sources[0].name


def test_rows_show_themselves_and_escape_what_they_say(tmp_path):
    values = [{**ALPACA[0], "output": ""}, ALPACA[1], ALPACA[1]]
    rows = read(put(tmp_path / "<script>.json", text_of(values)))
    assert repr(rows).startswith("3 rows\n  <script>.json: alpaca, JSON, UTF-8: 3 rows\n")
    html = rows._repr_html_()
    assert "<script>" not in html
    assert "empty_response: 1" in html
    assert rows.flaws() == {"empty_response": 1}
    assert rows.repeats.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("高血压 hypertension 患者", "zh"),
        ("What is 高?", "en"),
        ("これはペンです", "other"),
        ("", "other"),
        ("1 + 1 = 2", "other"),
    ],
)
def test_language(text, language):
    assert language_of(text) == language


def saved(folder, count=ALPACA, shards=1):
    Dataset.from_list(count).save_to_disk(str(folder), num_shards=shards)
    return folder


def test_a_folder_of_save_to_disk_is_read_in_the_order_of_its_state(tmp_path):
    rows = read(saved(tmp_path / "saved", shards=3))
    assert [row.value for row in rows] == ALPACA
    assert [source.container for source in rows.sources] == ["arrow"] * 3
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    state["_data_files"].reverse()
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    assert [row.value for row in read(tmp_path / "saved")][:2] == ALPACA[4:]
    next((tmp_path / "saved").glob("data-00001*")).unlink()
    with pytest.raises(DataError, match=r"lacks data-00001-of-00003.arrow, which its state.json"):
        read(tmp_path / "saved")


def test_a_folder_of_splits_is_refused_with_their_names_or_read_by_one(tmp_path):
    both = DatasetDict(train=Dataset.from_list(ALPACA[:4]), test=Dataset.from_list(ALPACA[4:]))
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(UsageError, match=r"splits test, train; give one .* example .*both/test"):
        read(tmp_path / "both")
    assert [row.value for row in read(tmp_path / "both" / "train")] == ALPACA[:4]
    DatasetDict(train=both["train"]).save_to_disk(str(tmp_path / "one"))
    assert [row.value for row in read(tmp_path / "one")] == ALPACA[:4]


def test_what_lies_beside_rows_is_left_aside_and_named_once(tmp_path):
    folder = tmp_path / "snapshot"
    put(folder / "data" / "a.jsonl", lines_of(ALPACA[:3]))
    put(folder / "data" / "b.json", text_of(ALPACA[3:]))
    put(folder / "README.md", "# a set")
    put(folder / "load_set.py", "raise SystemExit")
    put(folder / "dataset_infos.json", json.dumps({"default": {"features": {}}}))
    put(folder / "settings.json", json.dumps({"lr": 1, "layers": [1, 2]}, indent=1))
    for name in range(20):
        put(folder / "pictures" / f"{name:02}.png", "x")
    rows = read(folder)
    assert [row.value for row in rows] == ALPACA
    (note,) = rows.description().notes
    assert note.startswith("data/a.jsonl: left aside: README.md, dataset_infos.json, load_set.py,")
    assert "pictures/00.png" in note
    assert note.endswith(" and 16 more")
    assert rows.sources[1].changes == {}


def test_a_lone_object_in_a_folder_is_a_row_where_a_format_takes_it(tmp_path):
    for name, row in enumerate(ALPACA):
        put(tmp_path / "rows" / f"{name}.json", json.dumps(row))
    assert [row.value for row in read(tmp_path / "rows")] == ALPACA
    put(tmp_path / "rows" / "broken.json", '{"instruction": "a", "outp')
    with pytest.raises(DataError, match=r"broken.json.* cut off"):
        read(tmp_path / "rows")
    put(tmp_path / "rows" / "broken.json", json.dumps({"data": ALPACA}))
    assert len(read(tmp_path / "rows")) == 2 * len(ALPACA)
    put(tmp_path / "rows" / "broken.json", json.dumps({"data": [{"x": 1}]}))
    with pytest.raises(DataError, match=r"broken.json"):
        read(tmp_path / "rows")


@pytest.mark.parametrize("make", [list, iter, tuple, lambda rows: (row for row in rows)])
def test_rows_in_memory(tmp_path, make):
    rows = read(make(ALPACA))
    assert [row.value for row in rows] == ALPACA
    assert list(rows.ids) == list(read(put(tmp_path / "a.json", text_of(ALPACA))).ids)
    assert rows.sources[0].name == "rows"


def test_nulls_of_json_stay_and_those_of_arrow_go(tmp_path):
    tools = [{"name": "a", "of": {"day": 1, "drug": None}}, {"name": "b", "of": {"drug": "x"}}]
    rows = [{"instruction": "a", "output": "b", "tools": tools, "input": None}]
    assert json.loads(read(rows)[0].value["tools"]) == tools
    bare = [{"name": "a", "of": {"day": 1}}, {"name": "b", "of": {"drug": "x"}}]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "a.parquet")
    for given in (tmp_path / "a.parquet", Dataset(table), table.to_pandas()):
        assert json.loads(read(given)[0].value["tools"]) == bare
        assert read(given)[0].value["input"] is None


@pytest.mark.parametrize(
    "given", [None, 3, b"rows.json", {"instruction": "a"}, [3], [ALPACA[0], 3]]
)
def test_what_holds_no_rows_is_named_in_one_line(given):
    with pytest.raises(UsageError) as error:
        read(given)
    assert "\n" not in str(error.value)
    assert "list of dicts" in str(error.value) or "is no row" in str(error.value)


def test_what_is_read_already_is_named(tmp_path):
    rows = read(ALPACA)
    for given in (rows, rows[0], [rows]):
        with pytest.raises(UsageError, match="Rows? is read already; give it to a recipe"):
            read(given)


@pytest.mark.parametrize("given", ['{"instruction": "' + "x" * 300])
def test_what_can_be_no_path_is_refused_in_one_line(given):
    with pytest.raises(
        DataError, match="; give the path of a file or folder, or rows as"
    ) as caught:
        read(given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_keys_that_are_not_used_are_counted_of_all_files_of_one_name(tmp_path):
    for folder in ("a", "b"):
        put(tmp_path / folder / "train.json", text_of([row | {folder: "text"} for row in ALPACA]))
    sources = read([tmp_path / "a" / "train.json", tmp_path / "b" / "train.json"]).sources
    assert not_used(sources) == {"train.json": {"a": 6, "b": 6}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": ""}, "a path that is empty names no file"),
        ({"paths": "x", "format": 3}, "--format 3: no such format"),
        ({"paths": "x", "format": ["alpaca"]}, "--format .'alpaca'.: no such format"),
    ],
)
def test_what_names_nothing_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        read(**options)


def test_a_number_that_is_none_is_nothing_in_every_file(tmp_path):
    rows = [row | {"score": float("nan"), "more": [1.5, float("nan")]} for row in ALPACA]
    put(tmp_path / "a.json", text_of(rows))
    scores = pa.array([float("nan")] * 6)
    table = pa.Table.from_pylist(rows).set_column(3, "score", scores)
    pq.write_table(table, tmp_path / "a.parquet")
    for name in ("a.json", "a.parquet"):
        value = read(tmp_path / name)[0].value
        assert (value["score"], value["more"]) == (None, [1.5, None])


def test_what_a_killed_run_leaves_lies_where_the_cache_is_cleared(tmp_path, cache, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "curate.data.packed._unpack", lambda *given: seen.append(given[-1]) or 1 / 0
    )
    monkeypatch.setattr(
        "curate.data.inputs.save_table", lambda _, to: seen.append(to / "x") or 1 / 0
    )
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text_of(ALPACA).encode()))
    for source in (tmp_path / "a.json.gz", ALPACA):
        with pytest.raises(ZeroDivisionError):
            read(source)
    assert [path.parent.parent for path in seen] == 2 * [cache / "scratch"]
