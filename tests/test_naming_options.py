"""--columns, --roles, --dataset and other sides, as a shell gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from tests.calling import Caller

DRUGS = (
    *("阿司匹林", "布洛芬", "头孢克肟", "青霉素", "二甲双胍", "氨氯地平"),
    *("奥美拉唑", "左氧氟沙星", "氯雷他定", "蒙脱石散", "辛伐他汀", "甲硝唑"),
)
ASKED = [
    {"ask": f"{drug * 4}和{other * 3}能一起吃吗", "reply": f"停药 {number} 天"}
    for number, (drug, other) in enumerate(zip(DRUGS, reversed(DRUGS), strict=True))
]
NAMED = ("--columns", "prompt=ask", "response=reply")


@pytest.fixture(autouse=True)
def here(scratch_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save("asked.jsonl", ASKED)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def save(name: str, values: list[Any]) -> None:
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    Path(name).write_text(text, encoding="utf-8")


def last(out: str) -> Any:
    return json.loads(out.splitlines()[-1])


def entry(name: str) -> Any:
    return json.loads(Path("data/dataset_info.json").read_text(encoding="utf-8"))[name]


def test_a_command_reads_named_columns_and_says_so(call: Caller) -> None:
    answer = call("dedup", "--input", "asked.jsonl", *NAMED, "--near", "1", "--json")
    assert answer.code == 0
    assert "read asked.jsonl as alpaca, JSON Lines, UTF-8, prompt=ask, response=reply" in answer.err
    assert entry("asked_dedup")["columns"] == {"prompt": "ask", "response": "reply"}
    manifest = json.loads(Path("data/asked_dedup.manifest.json").read_text(encoding="utf-8"))
    assert manifest["sources"][0]["columns"] == {"prompt": "ask", "response": "reply"}


def test_a_registered_data_set_is_read_and_gives_the_name(call: Caller) -> None:
    call("dedup", "asked.jsonl", *NAMED, "--near", "1", "--name", "mine.v1", "--output", "sets")
    answer = call(
        "score", "--dataset", "mine.v1", "--dataset-dir", "sets", "--scorer", "length", "--json"
    )
    assert (answer.code, last(answer.out)["name"]) == (0, "mine.v1_score_length")


def test_several_registered_data_sets(call: Caller) -> None:
    for at, part in enumerate((ASKED[:5], ASKED[5:])):
        save(f"part{at}.jsonl", part)
        call("dedup", f"part{at}.jsonl", *NAMED, "--near", "1", "--name", f"p{at}")
    answer = call("dedup", "--dataset", "p0", "p1", "--near", "1", "--json")
    assert last(answer.out)["read"] == 12


def test_a_registered_name_as_a_file_is_told(call: Caller) -> None:
    call("dedup", "asked.jsonl", *NAMED, "--near", "1", "--name", "mine")
    answer = call("dedup", "--input", "mine")
    assert answer.code == 2
    assert "give --dataset mine" in answer.errors[0]
    assert "停药 3 天" in call("show", "mine", "-n", "12").out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--dataset", "mien"), "Did you mean 'mine'"),
        (("--dataset", "mine", "--columns", "prompt=ask"), "its entry in dataset_info.json says"),
        (("asked.jsonl", "--dataset", "mine"), "its entry in dataset_info.json says"),
        (("asked.jsonl", "--columns", "prompt"), "allowed is NAME=WORD"),
        (("asked.jsonl", "--columns", "prompt=a", "prompt=b"), "twice"),
        (("asked.jsonl", "--columns", "prompt=ak", "response=reply"), "Did you mean 'ask'"),
    ],
)
def test_what_cannot_be_says_what_can(call: Caller, given: tuple[str, ...], says: str) -> None:
    call("dedup", "asked.jsonl", *NAMED, "--near", "1", "--name", "mine")
    answer = call("dedup", *given)
    assert answer.code == 2
    assert says in answer.errors[0]


def test_other_sides_are_questions_names_and_mixtures(call: Caller) -> None:
    save("bench.jsonl", [{"id": 1, "question": ASKED[3]["ask"]}])
    save("other.jsonl", ASKED[7:8])
    call("dedup", "other.jsonl", *NAMED, "--name", "seen")
    Path("sides.yaml").write_text(
        "general:\n"
        "  - {path: other.jsonl, columns: {prompt: ask, response: reply}}\n"
        "  - {dataset: seen, limit: 1}\n"
        "domain: bench.jsonl\n",
        encoding="utf-8",
    )
    given = ("decontaminate", "asked.jsonl", *NAMED, "--near", "1", "--json")
    for side, rows in (("bench.jsonl", [3]), ("seen", [7])):
        answer = call(*given, "--overwrite", "--against", side)
        assert answer.code == 0, answer.err
        kept = Path("data/asked_decontaminate.jsonl").read_text(encoding="utf-8").splitlines()
        asked = {json.loads(line)["ask"] for line in kept}
        assert [at for at, row in enumerate(ASKED) if row["ask"] not in asked] == rows
    answer = call(*given, "--overwrite", "--against", "sides.yaml")
    assert last(answer.out)["dropped"] == {"in_against": 2}
    assert [side["name"] for side in last(answer.out)["against"]] == [
        *("bench.jsonl", "other.jsonl", "seen.jsonl"),
    ]


def test_against_format(call: Caller) -> None:
    Path("texts.txt").write_text(f"{ASKED[3]['ask']}\n", encoding="utf-8")
    given = ("decontaminate", "asked.jsonl", *NAMED, "--near", "1", "--json")
    answer = call(*given, "--against", "texts.txt", "--against-format", "pretraining")
    assert last(answer.out)["dropped"] == {"in_against": 1}


def test_a_mixture_names_columns_and_registered_sets(call: Caller) -> None:
    call("dedup", "asked.jsonl", *NAMED, "--near", "1", "--name", "seen")
    said = [{"who": "患者", "text": "头疼"}, {"who": "医生", "text": "休息"}]
    save("talk.jsonl", [{"talk": said}])
    Path("m.yaml").write_text(
        "domain:\n"
        "  - path: talk.jsonl\n"
        "    columns: {messages: talk, role: who, content: text}\n"
        "    roles: {user: 患者, assistant: 医生}\n"
        "general: {dataset: seen}\n"
        "ratio: 1:5\n",
        encoding="utf-8",
    )
    answer = call("mix", "m.yaml", "--json")
    assert answer.code == 0, answer.err
    assert last(answer.out)["written"] == 6
    manifest = json.loads(Path("data/talk_mix.manifest.json").read_text(encoding="utf-8"))
    (domain,) = manifest["params"]["domain"]
    assert domain["roles"] == {"user": "患者", "assistant": "医生"}
    by_name = call("mix", "--domain", "talk_mix", "--general", "seen", "--ratio", "1:0", "--json")
    assert last(by_name.out)["written"] == 6


def test_the_doctor_judges_a_file_by_what_is_named(call: Caller) -> None:
    answer = call("doctor", "--input", "asked.jsonl", *NAMED, "--json")
    assert answer.code == 0
    assert '"prompt": "ask"' in answer.err
    assert "12 of 12 rows usable" in answer.err


def test_the_doctor_reads_what_only_an_entry_explains(call: Caller) -> None:
    Path("data").mkdir()
    named = {"prompt": "ask", "response": "reply", "system": "why"}
    save("data/odd.jsonl", [{**row, "why": "简短"} for row in ASKED])
    info = {"odd": {"file_name": "odd.jsonl", "columns": named}}
    Path("data/dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    assert call("doctor", "--dataset", "odd").code == 0
    rows = curate.read(dataset="odd")
    assert (rows[0].system, len(rows)) == ("简短", 12)


def test_pairs_of_a_ranker_under_other_keys(call: Caller) -> None:
    from curate.data.naming import naming
    from curate.data.preference_pairs import read_pairs

    save("pairs.jsonl", [{"ask": f"q{n}", "good": f"g{n}", "poor": f"p{n}"} for n in range(3)])
    named = naming({"prompt": "ask", "chosen": "good", "rejected": "poor"}, {})
    pairs = read_pairs([Path("pairs.jsonl")], named).pairs
    assert [(pair.prompt, pair.better, pair.worse) for pair in pairs][2] == ("q2", "g2", "p2")
    answer = call("ranker", "eval", "--pairs", "pairs.jsonl", "--columns", "prompt=ask", "chosen=x")
    assert answer.code == 2
