"""`curate mix` as it is typed, right and wrong."""

from __future__ import annotations

import json
import shutil

import pytest

from curate.models.resolve import resolve
from tests.calling import Caller
from tests.mix.mixing import emitted, manifest, rows, save, sides

pytestmark = pytest.mark.usefixtures("scratch_cache")


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Caller(capsys)


@pytest.fixture
def files(tmp_path):
    """Names of two files, as they are typed in their folder."""
    save(tmp_path / "d.json", rows("d", 20))
    save(tmp_path / "g.json", rows("g", 300))
    return "--domain", "d.json", "--general", "g.json"


def result(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out.splitlines()[-1])


def test_as_typed_in_a_fresh_checkout(call, tmp_path):
    answer = call("mix", "--ratio", "1:5")
    assert answer.code == 0, answer.err
    assert "asked 1:5, got domain 60 : general 300 rows = 1:5" in answer.out
    assert "alpaca_en.json: 2 of 299 rows never enter: 2 duplicate" in answer.err
    assert len(emitted(tmp_path / "data", "huatuo_mix")) == 360


def test_a_sweep_makes_one_entry_each(call, tmp_path):
    answer = call("mix", "--ratio", "1:0,1:1,1:2,1:5,1:10", "--json")
    made = result(answer)["mixtures"]
    assert [each["written"] for each in made] == [60, 120, 180, 360, 660]
    entries = json.loads((tmp_path / "data" / "dataset_info.json").read_text("utf-8"))
    assert list(entries) == [f"huatuo_mix_1to{k}" for k in (0, 1, 2, 5, 10)]
    lines = [{str(line) for line in emitted(tmp_path / "data", name)} for name in entries]
    assert all(small < large for small, large in zip(lines, lines[1:], strict=False))


def test_json_says_what_the_contract_says(call, files):
    found = result(call("mix", *files, "--ratio", "1:5", "--json"))
    assert found["name"] == "d_mix"
    assert (found["read"], found["kept"], found["written"]) == (320, 120, 120)
    assert found["dropped"] == {"not_drawn": 200}
    assert found["files"] == [
        "data/d_mix.jsonl",
        "data/d_mix.scores.parquet",
        "data/dataset_info.json",
        "data/d_mix.manifest.json",
    ]
    assert [each["kept"] for each in found["sources"]] == [20, 100]


def test_one_row_is_told_as_one(call, tmp_path):
    save(tmp_path / "d.json", rows("d", 1))
    save(tmp_path / "g.json", rows("g", 9))
    answer = call("mix", "--domain", "d.json", "--general", "g.json", "--ratio", "1:2")
    assert "read d.json as alpaca, JSON, UTF-8: 1 row\n" in answer.err


def test_several_files_behind_one_option(call, files, tmp_path):
    save(tmp_path / "d2.json", rows("e", 10))
    save(tmp_path / "g2.json", rows("h", 300))
    typed = ("--domain", "d.json", "d2.json", "--general", "g.json", "g2.json", "--ratio", "1:2")
    assert result(call("mix", *typed, "--json"))["written"] == 90
    other = ("--general", "g2.json", "--ratio", "1:2", "--general", "g.json")
    again = call("mix", *other, "--domain=d2.json", "--domain", "d.json", "--name", "y", "--json")
    assert result(again)["written"] == 90
    data = [(tmp_path / "data" / f"{name}.jsonl").read_bytes() for name in ("d_mix", "y")]
    assert data[0] == data[1]


def test_a_mixture_file_and_what_replaces_it(call, files, tmp_path):
    (tmp_path / "m.yaml").write_text("domain: d.json\ngeneral: g.json\nratio: 1:2\nname: mine\n")
    assert result(call("mix", "m.yaml", "--json"))["name"] == "mine"
    found = result(call("mix", "m.yaml", "--ratio", "1:3", "--seed", "4", "--name", "z", "--json"))
    assert (found["name"], found["written"]) == ("z", 80)
    assert manifest(tmp_path / "data", "z")["params"]["seed"] == 4
    save(tmp_path / "e.json", rows("e", 5))
    found = result(call("mix", "--domain", "e.json", "m.yaml", "--json"))
    assert (found["name"], found["written"]) == ("e_mix", 15)


def test_what_is_typed_wins_over_the_file_though_it_is_the_default(call, files, tmp_path):
    (tmp_path / "m.yaml").write_text("domain: d.json\ngeneral: g.json\nratio: 1:2\nseed: 7\n")
    seeds = []
    for name, typed in (("a", ()), ("b", ("--seed", "0"))):
        call("mix", "m.yaml", *typed, "--name", name)
        seeds.append(manifest(tmp_path / "data", name)["params"]["seed"])
    assert seeds == [7, 0]


def test_one_that_comes_with_curate_on_files_of_ones_own(call, files):
    found = result(call("mix", "chathome-sft-sweep", *files, "--json"))["mixtures"]
    assert [each["name"] for each in found] == [f"d_mix_1to{k}" for k in (0, 1, 2, 5, 10)]
    assert [each["written"] for each in found] == [20, 40, 60, 120, 220]


def test_repeats_and_shrinking_are_told(call, files):
    answer = call("mix", *files, "--ratio", "1:20", "--shortage", "shrink")
    assert "note: general data has 300 rows, too few for 20 domain rows: scaled down" in answer.err
    assert "got domain 15 : general 300 rows = 1:20" in answer.out
    found = result(call("mix", *files, "--ratio", "1:20", "--shortage", "repeat", "--json"))
    assert (found["kept"], found["written"]) == (320, 420)


def test_one_side_alone(call, files):
    assert result(call("mix", *files[:2], "--ratio", "1:0", "--json"))["written"] == 20
    assert result(call("mix", *files[2:], "--ratio", "0:1", "--json"))["written"] == 300


def test_the_same_again_is_the_same_bytes(call, files, tmp_path):
    call("mix", *files, "--output", "a", "--name", "x")
    call("mix", *files, "--output", "b", "--name", "x")
    call("mix", *files, "--output", "a", "--name", "x")
    for name in ("x.jsonl", "x.scores.parquet", "dataset_info.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.model
def test_by_tokens(call, files, tmp_path, monkeypatch):
    monkeypatch.delenv("CURATRAIN_CACHE")  # the model is converted there already
    answer = call("mix", *files, "--ratio", "1:5", "--by", "tokens", "--json")
    found = result(answer)
    domain, general = (each["tokens"] for each in found["sources"])
    assert abs(general - 5 * domain) < 30
    assert found["realised"].endswith(f"tokens = 1:{general / domain:.4f}") or general == 5 * domain
    assert result(call("mix", *files, "--by", "tokens", "--json")) == found
    assert "are framed with" not in answer.err


@pytest.mark.model
def test_tokens_of_a_frame_that_is_not_known_are_told(call, files, tmp_path, monkeypatch):
    monkeypatch.delenv("CURATRAIN_CACHE")
    shutil.copytree(resolve("smollm2").folder, tmp_path / "model")
    config = tmp_path / "model" / "tokenizer_config.json"
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ '<final>' if m.role == 'assistant' }}"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    (tmp_path / "model" / "chat_template.jinja").unlink(missing_ok=True)
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": template}))
    for _ in range(2):  # the second time from the kept counts
        answer = call("mix", *files, "--by", "tokens", "--model", "model")
        assert answer.err.count("such rows are framed with '<assistant>'") == 1


def test_placeholders_are_told_and_filled_in(call, files, tmp_path):
    given = [{**row, "output": f"I am {{{{name}}}} {at}"} for at, row in enumerate(rows("d", 9))]
    save(tmp_path / "me.json", given)
    told = "me.json has placeholders; to fill them in, write a mixture file with fill: {name: …}"
    assert told in call("mix", "--domain", "me.json", *files[2:]).err
    text = "domain: {path: me.json, fill: {name: 小医}}\ngeneral: g.json\nname: m"
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    assert result(call("mix", "m.yaml", "--json"))["written"] == 54
    assert "I am 小医 3" in {row["output"] for row in emitted(tmp_path / "data", "m")}


# What is wrong


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        ("0:0", "error: --ratio 0:0: a mixture of nothing; give domain:general as two numbers"),
        ("1:", "error: --ratio 1:: a side is empty; give domain:general"),
        ("a:b", "error: --ratio a:b: 'a' is no number; give domain:general"),
        ("-1:5", "error: --ratio -1:5: -1 is negative; give domain:general"),
        ("1:-5", "error: --ratio 1:-5: -5 is negative"),
        ("nan:1", "error: --ratio nan:1: 'nan' is no number"),
        ("1:5,1:5", "error: --ratio: 1:5 is given twice"),
    ],
)
def test_ratios_that_are_none(call, files, ratio, told, tmp_path):
    assert call.refused(told, "mix", *files, f"--ratio={ratio}").startswith(told)
    call.refused(told, "mix", f"--ratio={ratio}")
    assert not (tmp_path / "data").exists()


def test_a_general_file_that_is_too_small(call, files, tmp_path):
    told = call.refused("300 rows that can be used", "mix", *files, "--ratio", "1:20")
    assert "1:20 with 20 domain rows needs 400: 100 are missing" in told
    assert "--ratio 1:15" in told
    assert "--shortage shrink (about 15 domain), or --shortage repeat" in told
    assert not [each for each in (tmp_path / "data").iterdir() if "d_mix" in each.name]
    assert result(call("mix", *files, "--ratio", "1:15", "--json"))["written"] == 320


def test_of_a_sweep_nothing_is_written_if_one_is_not_possible(call, files, tmp_path):
    call.refused("needs 400", "mix", *files, "--ratio", "1:1,1:20")
    assert [each.name for each in (tmp_path / "data").iterdir()] == []


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--domain", "d.json"), "ratio 1:5 needs general data and none is given: give --general"),
        (("--domain", "x.json", "--general", "g.json"), "no file 'x.json'"),
        (("mpi",), r"no mixture file 'mpi'. Did you mean 'mip'\?"),
        (("g.json",), "g.json: unknown key|g.json has no keys|is no YAML"),
        (("--by", "token"), r"--by token: allowed are rows, tokens. Did you mean 'tokens'\?"),
        (("--stage", "dpo"), "--stage dpo: allowed are sft, pt"),
        (("--shortage", "wrap"), "--shortage wrap: allowed are error, shrink, repeat"),
        (("--seed", "-3"), "--seed -3: allowed are 0 and more"),
        (("--name", "a b"), "--name a b: allowed are letters"),
        (("--ratoi", "1:5"), "No such option"),
        (("--model", "smollm2"), "--model says whose tokens are counted; give --by tokens, too"),
        (("--model", "smolm2", "--by", "tokens"), r"no model 'smolm2'. Did you mean 'smollm2'\?"),
    ],
)
def test_wrong_usage(call, files, typed, told):
    call.refused(told, "mix", *typed)


def test_a_registry_that_is_no_json_stays_as_it_is(call, files, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "dataset_info.json"
    path.write_bytes(b'{"mine": {"file_name": "x.json",}}')
    call.refused(r"dataset_info.json is broken \(.*move it away", "mix", *files)
    assert path.read_bytes() == b'{"mine": {"file_name": "x.json",}}'
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["dataset_info.json"]


def test_an_entry_that_points_nowhere_stays_as_it_is(call, files, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "dataset_info.json"
    gone = {"file_name": "gone/away.json", "formatting": "alpaca", "odd": [1, None]}
    path.write_text(json.dumps({"gone": gone}))
    assert result(call("mix", *files, "--json"))["written"] == 120
    entries = json.loads(path.read_text("utf-8"))
    assert entries["gone"] == gone
    assert list(entries) == ["gone", "d_mix"]


def test_what_another_made_is_not_replaced(call, files, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d_mix.jsonl").write_text("mine")
    call.refused("'d_mix' is already in data .*--overwrite", "mix", *files)
    assert (tmp_path / "data" / "d_mix.jsonl").read_text() == "mine"
    assert result(call("mix", *files, "--overwrite", "--json"))["written"] == 120
    assert sides(emitted(tmp_path / "data", "d_mix")) == {"d": 20, "g": 100}
