"""`curate convert`: every layout and kind of file is read again as the same rows."""

import json
import shutil

import pytest

from curate.data.read import read
from tests.calling import Caller
from tests.conftest import ROOT, SAMPLE
from tests.converter import train_in

ENGLISH = ROOT / "mixtures/samples/alpaca_en.json"
CALLS = [
    {
        "messages": [
            {"role": "user", "content": "查血压"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "bp", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "content": "150/95"},
            {"role": "assistant", "content": "偏高。"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "bp", "parameters": {"type": "object", "properties": {}}},
            }
        ],
    },
    {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好。"}]},
]


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.mark.parametrize("container", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("layout", ["alpaca", "sharegpt", "messages"])
def test_rows_are_the_same_in_every_layout(call, tmp_path, layout, container):
    answer = call(
        "convert", SAMPLE, "--to", layout, "--as", container, "--output", tmp_path, "--json"
    )
    result = json.loads(answer.out)
    assert (result["read"], result["kept"], result["dropped"]) == (120, 120, {})
    data = tmp_path / result["files"][0].rpartition("/")[2]
    assert data.name == f"huatuo_{layout}.{container}"
    assert read(data).ids.tolist() == read(SAMPLE).ids.tolist()
    assert train_in(str(tmp_path), f"huatuo_{layout}", "sft").usable == 120


def test_the_index_that_pandas_writes_without_a_name_is_no_picture(call, tmp_path):
    path = tmp_path / "index.csv"
    path.write_text(",question,answer\n0,a,b\n1,c,d\n", encoding="utf-8")
    answer = call("convert", path, "--to", "sharegpt", "--output", tmp_path / "out", "--json")
    assert json.loads(answer.out)["kept"] == 2
    english = ("--general", ENGLISH, "--ratio", "1:1", "--shortage", "shrink")
    assert call("mix", "--domain", path, *english, "--output", tmp_path / "mix").code == 0


def test_pairs_and_verdicts_are_carried(call, tmp_path, write_json):
    pairs = write_json(
        [{"instruction": "a", "input": "b", "chosen": "c", "rejected": "d"}], "pairs.json"
    )
    verdicts = write_json([{"instruction": "a", "output": "c", "kto_tag": False}], "verdicts.json")
    for file, stage in ((pairs, "dpo"), (verdicts, "kto")):
        for layout in ("sharegpt", "messages", "alpaca"):
            name = f"{file.stem}_{layout}"
            assert call("convert", file, "--to", layout, "--output", tmp_path).code == 0
            assert read(tmp_path / f"{name}.jsonl").ids.tolist() == read(file).ids.tolist()
            assert train_in(str(tmp_path), name, stage).usable == 1


def test_what_has_no_place_is_counted_and_other_keys_go_along(call, tmp_path, write_json):
    rows = [
        CALLS[0],
        {**CALLS[1], "source": "clinic 7"},
        {"messages": [{"role": "user", "content": "?"}]},
    ]
    answer = call("convert", write_json(rows), "--to", "alpaca", "--output", tmp_path, "--json")
    result = json.loads(answer.out)
    assert result["dropped"] == {"calls_of_tools": 1, "empty_response": 1}
    written = [
        json.loads(line)
        for line in (tmp_path / "rows_alpaca.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert written == [
        {"instruction": "你好", "input": "", "output": "您好。", "source": "clinic 7"}
    ]
    answer = call("convert", write_json(rows), "--to", "messages", "--output", tmp_path, "--json")
    assert json.loads(answer.out)["dropped"] == {"empty_response": 1}


@pytest.mark.parametrize("container", ["jsonl", "json", "parquet"])
def test_shards_are_a_folder_of_one_data_set(call, tmp_path, container):
    line = ("convert", SAMPLE, "--to", "alpaca", "--as", container, "--output", tmp_path)
    assert call(*line, "--shard-rows", "50").code == 0
    folder = tmp_path / "huatuo_alpaca"
    sizes = {file.name: len(read(file)) for file in sorted(folder.iterdir())}
    assert sizes == {f"part-0000{n}.{container}": rows for n, rows in enumerate((50, 50, 20))}
    assert read(folder).ids.tolist() == read(SAMPLE).ids.tolist()
    assert train_in(str(tmp_path), "huatuo_alpaca", "sft").usable == 120
    named = ("--dataset", "huatuo_alpaca", "--dataset-dir", tmp_path)
    assert call("doctor", *named, "--stage", "sft").code == 0
    again = call("convert", *named, "--to", "sharegpt", "--output", tmp_path, "--json")
    assert json.loads(again.out)["kept"] == 120
    assert call(*line, "--shard-rows", "100").code == 0, "the same recipe writes it anew"
    assert len(list(folder.iterdir())) == 2
    assert call(*line).code == 0
    assert not folder.exists(), "one file has taken the folder's place"
    assert call(*line, "--shard-rows", "50").code == 0
    left = {file.name for file in tmp_path.glob("huatuo_alpaca*")}
    assert left == {f"huatuo_alpaca{end}" for end in ("", ".scores.parquet", ".manifest.json")}
    call("rm", "huatuo_alpaca", "--dataset-dir", tmp_path)
    assert not list(tmp_path.glob("huatuo_alpaca*"))


def test_a_folder_of_the_users_stays(call, tmp_path):
    own = tmp_path / "huatuo_alpaca" / "mine.txt"
    own.parent.mkdir()
    own.write_text("mine")
    line = ("convert", SAMPLE, "--to", "alpaca", "--output", tmp_path, "--overwrite")
    call.refused("a folder that curate has not written", *line, "--shard-rows", "50")
    assert call(*line).code == 0
    assert own.read_text() == "mine"
    call("rm", "huatuo_alpaca", "--dataset-dir", tmp_path)
    assert own.read_text() == "mine"


def test_a_shard_that_was_changed_stays(call, tmp_path):
    call("convert", SAMPLE, "--to", "alpaca", "--output", tmp_path, "--shard-rows", "50")
    part = tmp_path / "huatuo_alpaca" / "part-00001.jsonl"
    part.write_text(part.read_text().replace("1", "2", 1))
    call("rm", "huatuo_alpaca", "--dataset-dir", tmp_path)
    assert part.exists()


def test_another_kind_of_file_replaces_the_first(call, tmp_path):
    for container in ("json", "parquet"):
        call("convert", SAMPLE, "--to", "alpaca", "--as", container, "--output", tmp_path)
    left = {file.name for file in tmp_path.glob("huatuo_alpaca*")}
    assert left == {
        f"huatuo_alpaca.{end}" for end in ("parquet", "scores.parquet", "manifest.json")
    }
    call("rm", "huatuo_alpaca", "--dataset-dir", tmp_path)
    assert not list(tmp_path.glob("huatuo*"))


def test_wrong_words_are_refused(call, tmp_path, write_json):
    call.refused(
        "--to alpac: allowed are .* Did you mean 'alpaca'", "convert", SAMPLE, "--to", "alpac"
    )
    call.refused(
        "--as csv: allowed are jsonl, json, parquet",
        "convert",
        SAMPLE,
        "--to",
        "alpaca",
        "--as",
        "csv",
    )
    line = ("convert", SAMPLE, "--to", "alpaca", "--shard-rows")
    call.refused("--shard-rows", *line, "-1")
    call.refused("--shard-rows", *line, "many")
    texts = write_json([{"text": "once upon a time"}])
    call.refused("texts for pre-training", "convert", texts, "--to", "alpaca", "--output", tmp_path)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (("select", SAMPLE, "--recipe", "random", "--keep", "110", "--show", "0"), "huatuo_random"),
        (("dedup", SAMPLE, "--show", "0"), "huatuo_dedup"),
        (("split", SAMPLE, "--test", "10"), "huatuo_train"),
        (("mix", "--domain", SAMPLE, "--general", ENGLISH, "--ratio", "1:1", "--name", "m"), "m"),
    ],
)
def test_what_is_chosen_and_mixed_is_written_in_shards_too(line, name, call, tmp_path):
    for output, more in (("one", ()), ("shards", ("--shard-rows", "50"))):
        assert call(*line, *more, "--output", tmp_path / output).code == 0
    folder = tmp_path / "shards" / name
    sizes = [len(read(file)) for file in sorted(folder.iterdir())]
    whole = read(tmp_path / "one" / f"{name}.jsonl")
    assert sizes == [50] * (len(whole) // 50) + [len(whole) % 50] * bool(len(whole) % 50)
    assert read(folder).ids.tolist() == whole.ids.tolist()
    shutil.rmtree(tmp_path / "shards")
    (tmp_path / "shards" / name).mkdir(parents=True)
    call.refused("not written", *line, "--shard-rows", "50", "--output", tmp_path / "shards")
