"""Bad input at the command line: one line that says what to do, and exit code 2."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from curate.cli import app as curate
from curate.models.packaged_models import PACKAGED, converted_folder
from deploy.cli import app as deploy
from tests.calling import Caller, share_models
from train.cli import typed as train

GOOD = [
    {"instruction": f"What is {each} + {each}?", "input": "", "output": f"It is {2 * each}."}
    for each in range(12)
]
TALK = [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b c"}]}]
PAIRS = [{"instruction": "?", "input": "", "chosen": "good", "rejected": "bad"}]


@pytest.fixture
def call(capsys, monkeypatch, tmp_path, scratch_cache):
    """Call `curate` in an empty folder, in which a good file lies."""
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text(json.dumps(GOOD), encoding="utf-8")
    return Caller(capsys)


def put(name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return name


# Files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.json is empty; fetch it again"),
        (b"  \n\n ", r"x\.json is empty"),
        (b"[]", r"x\.json holds no rows"),
        (b'[\n{"instruction": "a" "output": "b"}]', r"x\.json, line 2 column 21: "),
        (b'{"instruction": "a", "output": "b"}\n{"instruction": oops}\n', r"line 2 column 17"),
        (json.dumps(GOOD).encode()[:-30], r"x\.json ends inside row 12 .*cut off"),
        (json.dumps(GOOD).encode()[:-1], r"ends after row 12 without the closing \]"),
        ("[".encode("utf-16-le") + b"\xff\xfe\x00", r"x\.json"),
        (
            json.dumps(
                [{"instruction": "Où étés-vous né?", "output": "à Genève, père"}] * 20,
                ensure_ascii=False,
            ).encode("latin-1"),
            r"x\.json .*(encoding|UTF-8)",
        ),
        (b"[1, 2, 3]", r"values that are no objects: no format that is read"),
        (b'[{"ques": "a", "ans": "b"}]', r"rows with the keys ans, ques: no format"),
        (json.dumps(PAIRS).encode(), r"preference pairs .*Give instruction data"),
        (b"PK\x03\x04rest", r"x\.json begins like zip"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else "",
)
def test_a_bad_file(call, content, message):
    call.refused(message, "ifd", "--input", put("x.json", content))


def test_a_file_of_nearly_that_name(call):
    call.refused(r"there \(Did you mean 'good\.json'\?\); give", "show", "god.json")


def test_a_missing_file(call):
    call.refused(r"no file 'god\.json'.*Did you mean 'good\.json'\?", "ifd", "--input", "god.json")
    call.refused("no file 'a/b.json'", "ifd", "--input", "a/b.json")


def test_two_files_of_different_shapes(call):
    put("talk.json", json.dumps(TALK))
    message = r"good\.json and talk\.json have different shapes"
    call.refused(message, "ifd", "--input", "good.json", "talk.json")


def test_the_same_file_twice(call):
    call.refused(
        "'good.json' is given twice", *("ifd", "--input", "good.json"), "--input", "good.json"
    )


def test_a_folder_without_data(call):
    Path("empty").mkdir()
    call.refused("folder 'empty' holds no data files", "ifd", "--input", "empty")


def test_no_input(call):
    call.refused("no input: give --input FILE", "ifd")


def test_nothing_is_left_where_input_was_bad(call):
    call.refused("is empty", "ifd", "--input", put("x.json", b""))
    assert not [each for each in Path().rglob("*") if "x_ifd" in each.name]


# Options


@pytest.mark.parametrize("keep", ["0", "200%", "-3", "0%", "-5%", "abc"])
def test_keep_out_of_range(call, keep):
    allowed = f"--keep {keep}: allowed are a share of all rows such as 10%"
    call.refused(allowed.strip(), "ifd", "--input", "good.json", "--keep", keep)


def test_keep_as_a_fraction_gets_a_hint(call):
    call.refused("0.1 as a share is 10%", "ifd", "--input", "good.json", "--keep", "0.1")


def test_keep_of_more_or_less_than_there_is(call):
    call.refused("there are only 12 rows", "ifd", "--input", "good.json", "--keep", "13")
    call.refused("less than one of 12 rows", "ifd", "--input", "good.json", "--keep", "1%")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kep", "10%"], r"No such option.*--kep.*`curate ifd --help` shows"),
        (["--keep"], r"--keep.* requires an argument"),
        (["--max-length", "many"], r"--max-length.*valid integer.*; `curate ifd --help` shows"),
        (["--form", "los"], r"--form los: allowed are loss, ppl\. Did you mean 'loss'\?"),
        (
            ["--train-set", "max_steps=2"],
            r"--train-set max_steps=2: only --brief-experience",
        ),
        (["--brief-experience", "--train-set", "x"], r"--train-set x: allowed is KEY=VALUE"),
        (["--model", "smolm2"], r"no model 'smolm2'\. Did you mean 'smollm2'\?"),
        (["--name", "a,b"], r"--name a,b: allowed are letters"),
        (["--name", "a/b"], r"--name a/b: allowed are letters"),
        (["--name", "-a"], r"--name -a: .* the first no - or \."),
        (["--name", "dataset_info", "--overwrite"], r"dataset_info\.json lists the data sets"),
        (["--template", "llama3"], r"--template llama3: allowed are auto, chat, alpaca, none"),
        (["--dtype", "fp16"], r"--dtype fp16: allowed are auto, float32, bfloat16"),
        (["--output", "good.json"], r"good\.json: a file is in the place of the folder"),
        (["--output", "good.json/x"], r"good\.json/x: a file is in the place of the folder"),
    ],
)
def test_bad_options(call, arguments, message):
    call.refused(message, "ifd", "--input", "good.json", *arguments)


def test_an_option_that_would_do_nothing_is_none(call):
    call.refused(
        "No such option: --show", "distill", "answer", "--input", "good.json", "--show", "3"
    )


@pytest.mark.parametrize("option", ["--template", "--dtype"])
def test_words_are_refused_before_the_rows_are_read(call, option):
    answer = call("ifd", "--input", "good.json", option, "foo")
    assert "read good.json" not in answer.err


def test_words_that_are_checked_first_are_those_that_the_models_take():
    from curate.models import causal_lm, row_templates
    from curate.parameters import ifd

    assert ("auto", *row_templates.TEMPLATES) == ifd.TEMPLATES
    assert causal_lm.DTYPES == ifd.DTYPES


@pytest.mark.parametrize(
    ("words", "behind"),
    [
        (["ifd", "--input", ""], "--input"),
        (["ifd", "--input", "good.json", ""], "good.json"),
        (["select", "--input", "good.json", "--recipe", "random", "--name="], "--name"),
        (["show", ""], "show"),
    ],
)
def test_an_empty_value_is_not_this_folder(call, words, behind):
    call.refused(f"the value behind {behind} is empty", *words)


@pytest.mark.parametrize("group", ["ranker", "distill"])
def test_a_group_without_a_command_shows_its_help(call, group):
    answer = call(group)
    assert (answer.code, answer.err) == (0, "")
    assert f"Usage: curate {group}" in answer.out


def test_home_is_known_behind_an_equals_sign_too(call, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    answer = call("convert", "good.json", "--to", "alpaca", "--output=~/out", "--json")
    assert answer.code == 0, answer.err
    assert (tmp_path / "home" / "out" / "good_alpaca.jsonl").is_file()
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (curate, "ifd --input {}"),
        (curate, "ifd --input good.json --output {}"),
        (curate, "ifd --input good.json --model {}"),
        (curate, "select --recipe clusters --keep 3 --input good.json --encoder {}"),
        (curate, "mix {}"),
        (deploy, "serve {}"),
        (deploy, "serve {} --print-systemd"),
        (deploy, "quantize {}"),
        (deploy, "merge {}"),
        (deploy, "eval {} --exam good.json"),
        (deploy, "eval smollm2 --exam {}"),
        (deploy, "compare --base smollm2 --tuned {} --prompts good.json"),
        (train, "sft --output {}"),
        (train, "estimate --model {}"),
        (train, "run {}.yaml"),
    ],
)
def test_a_home_that_nobody_has_is_told_in_one_line(call, capsys, program, words):
    caller = Caller(capsys, program)
    line = caller.refused("no home is known", *words.format("~nobody-of-that-name/x").split())
    assert "'~nobody-of-that-name/x" in line


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (curate, "ifd --input nowhere.json --model smollm2"),
        (deploy, "serve smollm2 --port 8000 --dtype x"),
        (deploy, "eval smollm2 --exam nowhere.json"),
        (train, "sft --model smollm2 --dataset nowhere"),
    ],
)
def test_a_folder_called_as_what_is_bundled_is_told(call, capsys, program, words):
    Path("smollm2").mkdir()
    told = "note: smollm2 is what comes with curate; the folder is ./smollm2"
    answer = Caller(capsys, program)(*words.split())
    assert answer.code == 2
    assert answer.err.splitlines()[0] == told
    Path("smollm2").rmdir()
    assert told not in Caller(capsys, program)(*words.split()).err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("good_random", "select --recipe random --keep 3 --show 0 --input"),
        ("good_alpaca", "convert --to alpaca"),
        ("m", "mix --name m --ratio 1:1 --shortage shrink --general more.json --domain"),
    ],
)
def test_a_data_set_of_other_rows_is_told_before_it_is_gone(name, command, call):
    Path("other").mkdir()
    Path("other/good.json").write_text(json.dumps(GOOD[3:]), encoding="utf-8")
    more = [{"instruction": f"q{each}", "output": f"a{each}"} for each in range(9)]
    Path("more.json").write_text(json.dumps(more), encoding="utf-8")
    for file, told in (("good.json", 0), ("good.json", 0), ("other/good.json", 1)):
        answer = call(*command.split(), file)
        assert answer.code == 0, answer.err
        assert answer.err.count(f"'{name}' was made of other rows until now (good.json)") == told


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "mods good.json --seeds-only --augment 5",
            "--augment: no model answers with --seeds-only",
        ),
        (
            "mods good.json --responder base --train-set a=1",
            "--train-set a=1: only --responder trained takes it",
        ),
        (
            "mods good.json --responder http://127.0.0.1:1/v1#m --model m",
            "--model m: only --responder trained",
        ),
        ("ls --dataset-dir nosuch", "--dataset-dir nosuch: there is no such folder"),
    ],
)
def test_what_would_be_of_no_use_is_refused(line, said, call):
    call.refused(said, *line.split())


def test_an_address_is_no_file(call):
    call.refused("https:.* is an address; fetch", "show", "https://example.com/x.json")


def test_an_unknown_command(call):
    call.refused("No such command.*idf.*", "idf", "--input", "good.json")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"has no config\.json"),
        (["config.json"], r"has no \*\.safetensors"),
        (["config.json", "model.safetensors"], r"'mine' has no tokenizer .*copy it there"),
        (["config.json", "pytorch_model.bin"], r"\.bin and \.pt files are not loaded"),
    ],
)
def test_a_model_directory_that_lacks_something(call, files, message):
    Path("mine").mkdir()
    for file in files:
        put(f"mine/{file}", "{}")
    call.refused(message, "ifd", "--input", "good.json", "--model", "mine")


def test_a_name_that_another_recipe_has(call):
    put("x_car.jsonl", "{}")
    Path("data").mkdir()
    put("data/dataset_info.json", json.dumps({"mine": {"file_name": "mine.jsonl"}}))
    put("data/mine.manifest.json", json.dumps({"recipe": "car"}))
    arguments = ["ifd", "--input", "good.json", "--name", "mine"]
    call.refused("'mine' is already in data and was made by the recipe car", *arguments)
    put("data/mine.manifest.json", "not ours")
    call.refused("made by something other than curate; give another --name", *arguments)


@pytest.mark.model
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--template", "caht"], r"--template caht: allowed are .*Did you mean 'chat'\?"),
        (["--dtype", "float61"], r"--dtype float61.*allowed are"),
        (["--max-length", "0"], r"--max-length 0: smollm2 takes 2 to [\d,]+ tokens"),
        (["--max-length", "1"], r"--max-length 1: smollm2 takes 2 to"),
        (["--max-length", "-5"], r"--max-length -5: smollm2 takes 2 to"),
        (["--max-length", "999999"], r"--max-length 999999: smollm2 takes 2 to"),
    ],
)
def test_options_that_the_model_decides(call, scratch_cache, arguments, message):
    share_models(scratch_cache)
    call.refused(message, "ifd", "--input", "good.json", *arguments)


# Rows that are no error but have no score


@pytest.mark.model
def test_rows_without_a_score_are_counted_with_their_reason(call, scratch_cache):
    share_models(scratch_cache)
    odd = [
        {"instruction": "a", "input": "", "output": ""},
        {"instruction": "a", "input": "", "output": "  "},
        {"instruction": "a", "input": "", "output": "x"},
        {"instruction": "a", "input": "", "output": 7},
        {"instruction": "a", "input": "", "output": "word " * 300},
        "no object",
        GOOD[0],
    ]
    put("odd.json", json.dumps(GOOD + odd))
    answer = call("ifd", "odd.json", "--keep", "2", "--max-length", "200", "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out.splitlines()[-1])
    assert list(result) == [
        "name",
        "read",
        "scored",
        "kept",
        "dropped",
        "tokens",
        "files",
        "not_used",
    ]
    assert (result["name"], result["read"], result["kept"]) == ("odd_ifd", 19, 2)
    dropped = result["dropped"]
    assert sum(dropped.values()) == 17
    dropped = {each: dropped[each] for each in dropped if each not in ("below_cut", "ifd_ge_1")}
    assert dropped == {
        "empty_response": 2,
        "not_text": 1,
        "not_an_object": 1,
        "too_short": 1,
        "truncated": 1,
    }
    assert result["scored"] == 13
    assert "repeat an earlier row: 1" in answer.err
    assert "longer than --max-length 200 tokens" in answer.err
    assert all(Path(file).is_file() for file in result["files"])


@pytest.mark.model
def test_rows_none_of_which_can_be_kept_are_an_error_and_write_their_scores(call, scratch_cache):
    share_models(scratch_cache)
    put("empty.json", json.dumps([{**each, "output": ""} for each in GOOD]))
    message = "no row is left to write: of 12 rows read, 12 empty_response"
    call.refused(message, "ifd", "--input", "empty.json")
    written = [each.name for each in Path("data").iterdir() if each.suffix != ".lock"]
    assert written == ["empty_ifd_none_kept.scores.parquet"]


@pytest.mark.model
def test_stdout_has_one_object_and_no_other_library_speaks(curate_command, tmp_path):
    environment = {**os.environ, "CURATRAIN_CACHE": str(share_models(tmp_path / "cache"))}
    for name, values in (("a.json", GOOD[:6]), ("b.json", GOOD[6:])):
        (tmp_path / name).write_text(json.dumps(values), encoding="utf-8")
    run = curate_command(
        *("ifd", "--input", "a.json", "b.json", "--keep", "3", "--json"),
        cwd=tmp_path,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    result = json.loads(line)
    assert (result["read"], result["kept"], result["name"]) == (12, 3, "a_ifd")
    assert result["files"][0] == "data/a_ifd.jsonl"
    for noise in ("Loading", "arning", "%|", "torch", "transformers", "\x1b["):
        assert noise not in run.stderr
    known = ("read ", " ", "note: ", "'a_ifd' ", "scores of ", "scoring: ")
    assert all(line.startswith(known) for line in run.stderr.splitlines() if line)


@pytest.mark.model
def test_no_file_that_is_written_knows_a_folder_of_this_machine(call, scratch_cache, tmp_path):
    share_models(scratch_cache)
    converted = converted_folder(PACKAGED["smollm2"]).resolve()
    (tmp_path / "my model").symlink_to(converted)
    arguments = ("--input", tmp_path / "good.json", "--model", tmp_path / "my model")
    answer = call("ifd", *arguments, "--output", tmp_path / "out", "--keep", "3")
    assert answer.code == 0, answer.err
    written = [each for each in (tmp_path / "out").iterdir() if each.suffix != ".lock"]
    assert len(written) == 4
    for each in written:
        assert str(tmp_path).encode() not in each.read_bytes(), each.name
        assert str(converted.parent).encode() not in each.read_bytes(), each.name
    made = json.loads((tmp_path / "out" / "good_ifd.manifest.json").read_text(encoding="utf-8"))
    assert made["params"]["model"] == made["model"]["name"] == converted.name
