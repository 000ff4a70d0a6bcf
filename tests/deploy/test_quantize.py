"""`deploy quantize`: rows, groups, and what is said of the result; GPTQ itself is in test_gptq."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.models.resolve import resolve
from deploy.cli import app
from deploy.quantizing import gptq
from deploy.quantizing.calibration import QuantiseParams, draw
from deploy.quantizing.quantize import check_model, group_size
from deploy.training_data import DataSet
from tests.calling import Caller
from tests.conftest import SAMPLE
from tests.deploy.merging import program, tiny, write_run

pytestmark = pytest.mark.model  # its tokenizer

# Stands in for GPTQModel: checks what it is given, copies the model, and tells made-up figures.
QUANTISES = """
import json, pathlib, shutil, sys
job = json.loads(pathlib.Path(sys.argv[3]).read_text())
given = {tuple(each) for each in job["calibration"]}
assert not given & {tuple(each["ids"]) for each in job["held_out"]}
assert all(0 < each["start"] < len(each["ids"]) for each in job["held_out"])
assert job["question"] == job["held_out"][0]["ids"][: job["held_out"][0]["start"]]
assert job["shard_size"] == SHARD
assert job["ends"] == [2] and job["group_size"] == 32
for each in pathlib.Path(job["model"]).iterdir():
    shutil.copy(each, job["output"])
meta = {"meta": {"offload_to_disk_path": "/tmp/x"}}
pathlib.Path(job["output"], "quantize_config.json").write_text(json.dumps(meta))
pathlib.Path("clutter").mkdir()
print("curatrain: quantising with 8 rows", flush=True)
told = {"perplexity": 4.0, "tokens": 70, "answer": [504, 2], "dtype": "float32"}
result = {"before": told, "after": {**told, "perplexity": WORSE}, "seconds": 3, "versions": {}}
pathlib.Path(sys.argv[4]).write_text(json.dumps(result))
"""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    return Caller(capsys, app, "deploy")


@pytest.fixture(scope="module")
def tokenizer():
    return PreTrainedTokenizerFast.from_pretrained(resolve("smollm2").folder)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model that was trained on the rows `rows` in the folder `data`."""
    folder = tiny(tmp_path / "model")
    write_run(folder, method="full")
    data = tmp_path / "data"
    data.mkdir()
    rows = json.loads((SAMPLE.parent / "alpaca_en.json").read_text(encoding="utf-8"))[:40]
    (data / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (data / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}')
    return folder


def stand_in(monkeypatch: pytest.MonkeyPatch, path: Path, code: str) -> None:
    monkeypatch.setattr(gptq, "python", lambda: program(path, code))


# Rows


def test_no_row_is_both_quantised_with_and_measured_on(tokenizer):
    rows = read(SAMPLE.parent / "alpaca_en.json")
    found = draw([rows], tokenizer, "m", 100, 0)
    used, held = ({each.ids for each in part} for part in (found.calibration, found.held_out))
    assert (len(found.calibration), len(found.held_out)) == (100, 64)
    assert (len(used), len(held)) == (100, 64)
    assert not used & held
    assert found.rows == 299
    assert sum(found.left_out.values()) == 299 - 164
    assert found.left_out["repeats"] == 2
    assert draw([rows], tokenizer, "m", 100, 0) == found
    other = draw([rows], tokenizer, "m", 100, 1)
    assert {each.id for each in other.held_out} != {each.id for each in found.held_out}
    assert other.sha256 != found.sha256


def test_rows_are_rendered_in_the_chat_template_and_end(tokenizer):
    rows = read(SAMPLE.parent / "alpaca_en.json")
    found = draw([rows], tokenizer, "m", 100, 0)
    by_id = {row.id: row for row in rows}
    for each in (*found.calibration[:5], *found.held_out[:5]):
        row = by_id[each.id]
        asked = [{"role": "user", "content": row.prompt}]
        lead = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        assert tokenizer.decode(each.ids[: each.start]) == lead
        assert tokenizer.decode(each.ids[each.start :]) == f"{row.response.strip()}<|im_end|>"
        assert each.question == each.ids[: each.start]


def test_documents_are_calibrated_on_too(tokenizer, write_json):
    path = write_json([{"text": f"Document {at} says something new."} for at in range(30)])
    found = draw([read(path)], tokenizer, "m", 16, 0)
    assert (len(found.calibration), len(found.held_out)) == (16, 7)
    assert {each.start for each in found.calibration} == {1}
    assert found.held_out[0].question == found.held_out[0].ids[:32]


def test_too_few_rows_are_refused_with_what_was_left_out(tokenizer, write_json):
    long = {"instruction": "a", "output": "word " * 2000}
    rows = [{"instruction": f"Say {at}", "output": str(at)} for at in range(15)]
    with pytest.raises(DataError, match=r"15 of 17 rows .*\(repeats 1, too_long 1\).* 16 are"):
        draw([read(write_json([*rows, rows[0], long]))], tokenizer, "m", 128, 0)
    with pytest.raises(UsageError, match="--rows 7: allowed are 8 and more"):
        QuantiseParams(rows=7)


# Groups


def test_the_group_divides_every_width(tmp_path):
    assert check_model(resolve("smollm2").folder, "m") == {576, 1536}
    assert group_size(None, {576, 1536}) == 64
    assert group_size(None, {4096, 11008}) == 128
    assert group_size(32, {576, 1536}) == 32
    with pytest.raises(UsageError, match=r"--group-size 128: allowed are 64, 32, 16.*576, 1536"):
        group_size(128, {576, 1536})
    assert check_model(tiny(tmp_path / "small"), "m") == {64, 96}


def test_sizes_that_cannot_be_packed_are_refused(call, tmp_path):
    tiny(tmp_path / "odd", inner=72)
    call.refused("odd has layers of size 72, and GPTQ packs", "quantize", "odd")


# The command


@pytest.mark.parametrize(("worse", "warned"), [(4.4, False), (4.8, True)])
def test_what_is_said_and_kept(call, model, monkeypatch, tmp_path, worse, warned):
    code = QUANTISES.replace("WORSE", str(worse)).replace("SHARD", "500_000_000")
    stand_in(monkeypatch, tmp_path / "python", code)
    answer = call("quantize", "model", "--rows", "8", "--shard-size", "0.5", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["folder"] == "model-4bit"
    assert told["warning"] is warned
    assert ("warning: that is more than 15% worse; try --bits 8" in answer.err) is warned
    assert "data set 'rows' in data, which it was trained on" in answer.err
    assert "quantising with 8 rows" in answer.err
    assert told["worse"] == pytest.approx(worse / 4 - 1)
    assert told["before"]["answer"] == "The"
    assert told["calibration_rows"] + told["held_out_rows"] + sum(told["left_out"].values()) == 40
    made = tmp_path / "model-4bit"
    manifest = json.loads((made / "deploy.manifest.json").read_text())
    assert manifest["calibration"]["seed"] == 0
    assert manifest["calibration"]["rows"] == 8
    assert str(tmp_path) not in (made / "deploy.manifest.json").read_text()
    assert "offload" not in (made / "quantize_config.json").read_text()
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"model", "data", "python", "model-4bit"}
    call.refused("model-4bit is there already", "quantize", "model", "--rows", "8")


def test_a_folder_below_this_one_is_told_as_typed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert DataSet(("rows",), tmp_path / "data").why == "in data, as given"
    assert DataSet(("rows",), tmp_path.parent).why == f"in {tmp_path.parent}, as given"


def test_a_model_whose_numbers_overflow_is_not_kept(call, model, monkeypatch, tmp_path):
    code = QUANTISES.replace("WORSE", "float('nan')").replace("SHARD", "None")
    stand_in(monkeypatch, tmp_path / "python", code)
    call.refused("is 4 before, nan after: its numbers overflow", "quantize", "model", "--rows", "8")
    assert not (tmp_path / "model-4bit").exists()


def test_what_fails_leaves_nothing_but_its_log(call, model, monkeypatch, tmp_path):
    code = "import sys\nprint('ValueError: no such layer')\nsys.exit(1)"
    stand_in(monkeypatch, tmp_path / "python", code)
    said = call.refused("GPTQModel ended with 1: ValueError: no such layer", "quantize", "model")
    assert "model-4bit.gptq.log" in said
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"model", "data", "python", "model-4bit.gptq.log"}


def test_rows_that_are_longer_than_the_model_takes_are_left_out(call, model, monkeypatch, tmp_path):
    code = QUANTISES.replace("WORSE", "4.0").replace("SHARD", "None")
    stand_in(monkeypatch, tmp_path / "python", code)
    answer = call("quantize", "model", "--rows", "8", "--max-length", "100000")
    assert "note: the model takes 2,048 tokens: longer rows" in answer.err
    manifest = json.loads((tmp_path / "model-4bit" / "deploy.manifest.json").read_text())
    assert manifest["calibration"]["max_length"] == 2048


def test_the_wrong_words(call, model, monkeypatch, tmp_path):
    call.refused("'--seed': Input should be greater", "quantize", "model", "--seed", "-1")
    call.refused("--shard-size inf: give GB", "quantize", "model", "--shard-size", "inf")
    call.refused("--bits 3: allowed are 4 and 8", "quantize", "model", "--bits", "3")
    call.refused("no model 'modl'", "quantize", "modl")
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "cache"))
    call.refused("`deploy setup gptq` builds it", "quantize", "model")
    stand_in(monkeypatch, tmp_path / "python", "")
    call.refused("has no data set 'x'.*It has rows", "quantize", "model", "--dataset", "x")
    (tmp_path / "data" / "rows.json").unlink()
    call.refused("there is no 'rows.json' in data", "quantize", "model")
    (model / "run.json").unlink()
    call.refused("nothing says what this model was trained on.*data has rows", "quantize", "model")
    call.refused("--group-size", "quantize", "model", "--group-size", "x")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantised already .gptq."),
        ({"architectures": ["LlamaForSequenceClassification"]}, "judges answers and gives none"),
    ],
)
def test_models_that_cannot_be_quantised(call, model, config, message):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    call.refused(message, "quantize", "model")


def test_adapters_are_merged_first(call, model, tmp_path):
    shutil.copytree(model, tmp_path / "saves" / "run")
    (tmp_path / "saves" / "run" / "adapter_config.json").write_text("{}")
    call.refused("first: deploy merge saves/run", "quantize", "run")
    (model / "value_head.safetensors").write_bytes(b"")
    call.refused("is a reward model", "quantize", "model")


def test_who_loads_a_quantised_model_here_is_told_how_to_use_it(model):
    from curate.errors import ModelError
    from curate.models.generate import load_generator

    path = model / "config.json"
    quantised = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32}}
    path.write_text(json.dumps(json.loads(path.read_text()) | quantised))
    with pytest.raises(ModelError, match="is a GPTQ model.*`deploy serve`"):
        load_generator(str(model)).prepare()
