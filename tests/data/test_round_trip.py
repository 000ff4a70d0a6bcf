"""Read, emit, and let LLaMA-Factory's own loader and converter say what it sees."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

from curate.data.read import read
from curate.emission.emit import write as emit
from tests.converter import train_in
from tests.data.test_openai import ROW as CALLS
from tests.data.test_openai import TOOLS

MANIFEST = {"recipe": "ifd"}
STAGES = {"sft": "sft", "preference": "rm", "kto": "kto", "pretraining": "pt"}


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def said(*texts):
    roles = ("human", "gpt") * len(texts)
    return [{"from": role, "value": text} for role, text in zip(roles, texts, strict=False)]


def as_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(*lines):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode("gb18030")


def written(role, text):
    return {"role": role, "content": text}


TALK = [written("user", "a"), written("assistant", "b")]
CALL = json.dumps({"name": "dose", "arguments": {"drug": "头孢"}}, ensure_ascii=False)
# Of each format a file of a few rows, as it is published.
FILES = {
    "alpaca": [
        {"instruction": "头痛怎么办？", "input": "", "output": "休息。"},
        {
            "instruction": "翻译",
            "input": "a",
            "output": "b",
            "system": "s",
            "history": [["c", "d"]],
        },
    ],
    "alpaca_without_input": [{"instruction": "头痛怎么办？", "output": "休息。"}],
    "alpaca_tools": [
        {"instruction": "查", "output": "好", "tools": TOOLS},
        {"instruction": "查", "output": "好", "tools": json.dumps(TOOLS)},
    ],
    "alpaca_preference": [{"instruction": "a", "input": "x", "chosen": "b", "rejected": "c"}],
    "alpaca_kto": [
        {"instruction": "a", "output": "b", "kto_tag": True},
        {"instruction": "c", "output": "d", "kto_tag": False},
    ],
    "sharegpt": [
        {"conversations": said("a", "b", "c", "d"), "system": "s", "id": 1},
        {"conversations": [{"from": "system", "value": "t"}, *said("a", "b")]},
    ],
    "sharegpt_tools": [
        {
            "conversations": [
                {"from": "human", "value": "头孢多少？"},
                {"from": "function_call", "value": CALL},
                {"from": "observation", "value": "1 g"},
                {"from": "gpt", "value": "1 g。"},
            ],
            "tools": json.dumps(TOOLS, ensure_ascii=False),
            "system": "你是一个医生。",
        }
    ],
    "sharegpt_preference": [
        {
            "conversations": said("a"),
            "chosen": {"from": "gpt", "value": "b"},
            "rejected": {"from": "gpt", "value": "c"},
        }
    ],
    "dpo_zh_new": [
        {"conversations": said("a"), "chosen": "b", "rejected": "c"},
        {
            "conversations": [{"from": "system", "value": "s"}, *said("a")],
            "chosen": "b",
            "rejected": "c",
        },
    ],
    "dpo_zh_old": [
        {
            "system": "s",
            "history": [["a", "b"]],
            "question": "c",
            "response_chosen": "d",
            "response_rejected": "e",
        },
        {
            "system": "",
            "history": [],
            "question": "c",
            "response_chosen": "d",
            "response_rejected": "e",
        },
    ],
    "reward": [{"question": "c", "response_chosen": "d", "response_rejected": "e"}],
    "preference": [{"prompt": "c", "chosen": "d", "rejected": "e"}],
    "sharegpt_kto": [{"messages": TALK, "label": True}, {"messages": TALK, "label": False}],
    "disc": [{"_id": "01", "source": "meddial", "conversation": [*TALK, *TALK]}],
    "openai": [
        {"messages": [written("system", "s"), *TALK], "tools": TOOLS},
        {"messages": TALK},
        CALLS,
    ],
    "pretraining": [{"text": "肺炎是一种病。\n第二行"}],
    "huatuogpt": [
        {"data": ["问：头痛？", "答：休息。", "问：还有呢？", "答：喝水。"]},
        {"data": ["问：a", "问：b", "答：c", "问：d"]},
    ],
    "meddialog": [["病人：a", "医生：b", "医生：c"], ["患者:a", "医生:b"]],
    "toyhom": as_csv(
        ["department", "title", "ask", "answer"],
        ["内科", "胃痛", '疼,"很"疼', "查,再说"],
        ["内科", "胃痛", "无", "查"],
    ),
    "toyhom_text": "胃痛,疼\n休息\n\n\n头痛,疼\n休息\n\n再看\n",
    "meddialog_text": (
        "id=1\nhttps://x\nDescription\n病情描述：\n发烧\n\nDialogue\n医生：\n多久？\n病人：\n三天\n"
        "医生：\n吃药\n病人：\n谢谢\n\nid=2\nhttps://y\nDialogue\n病人:\na\n医生:\nb\n"
    ),
    "qa": [{"id": 1, "question": "a", "answer": "b", "label": "内科", "score": 5}],
    "qas": [{"questions": "a", "answers": "b"}],
    "wenda": [{"问": "a", "答": "b"}],
    "query": [{"query": "a", "response": "b"}],
    "firefly": [{"kind": "NLI", "input": "a", "target": "b"}],
    "completion": [{"prompt": "a", "completion": "b", "label": True}],
    "prompt": [{"prompt": "a", "response": "b"}],
    "io": [{"input": "a", "output": "b"}],
    "dolly": [{"instruction": "a", "context": "c", "response": "b", "category": "x"}],
}

TOLD_AS = {"dpo_zh_new": "sharegpt", "dpo_zh_old": "reward", "disc": "sharegpt"}


def seen_by_llamafactory(path, folder, fill):
    """Emit the rows that have no flaw and return them with what LLaMA-Factory sees of each."""
    rows = read(path, fill=fill)
    kept = np.array([row.flaw == "" for row in rows])
    table = pa.table({"id": pa.array(rows.ids.tolist(), pa.string())})
    emit(folder, "rows", rows, kept, table, MANIFEST)
    entry = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))["rows"]
    assert entry["formatting"] in ("alpaca", "sharegpt")
    training = train_in(folder, "rows", STAGES[rows.shape.kind])
    assert training.error == ""
    assert training.usable == kept.sum() > 0
    return rows, [row for row in rows if row.flaw == ""], training.rows


def expected(row, kind):
    turns = [written(turn.role, turn.content) for turn in row.turns]
    if kind == "preference":
        pair = (row.parsed.chosen, row.parsed.rejected)
        return turns, [written("assistant", text) for text in pair]
    if kind == "pretraining":
        return turns, []
    if kind == "kto":
        both = [turns[-1], written("assistant", "")]
        return turns[:-1], both if row.parsed.verdict else both[::-1]
    return turns[:-1], turns[-1:]


def agree(path, folder, fill=None):
    rows, kept, became = seen_by_llamafactory(path, folder, fill)
    for row, seen in zip(kept, became, strict=True):
        assert seen.verdict == "usable"
        assert (seen.prompt, seen.response) == expected(row, rows.shape.kind), row.id
        assert (seen.system or "") == row.system
        assert (seen.tools or "") == row.parsed.tools
    return rows


@pytest.mark.parametrize("name", FILES)
def test_llamafactory_sees_the_same_turns(write, tmp_path, name):
    content = FILES[name]
    if isinstance(content, list):
        content = json.dumps(content) if name == "meddialog" else as_lines(content)
    rows = agree(write(content), tmp_path / "data")
    assert rows.sources[0].format == TOLD_AS.get(name, name.split("_")[0])
    assert rows.flaws() == {}


@pytest.mark.parametrize(
    "name",
    [
        "care_qa.jsonl",
        "medical_corpus.txt",
        "c4_demo.jsonl",
        "alpaca_zh.json",
        "medical_sft_zh.jsonl",
        "disc_med_sft.jsonl",
        "dpo_zh.jsonl",
        "dpo_en_demo.json",
        "kto_en_demo.json",
    ],
)
def test_real_rows(real, tmp_path, name):
    """A tenth of each file, and Toyhom below: the rest is the same code on more rows."""
    lines = real(name).read_text(encoding="utf-8")
    values = (
        json.loads(lines) if lines[0] == "[" else [json.loads(x) for x in lines.split("\n") if x]
    )
    path = tmp_path / name
    path.write_text(as_lines(values[::10]), encoding="utf-8")
    agree(path, tmp_path / "data")


def test_identity_filled_in(real, tmp_path):
    fill = {"name": "小医", "author": "我们"}
    rows = agree(real("identity.json"), tmp_path / "data", fill)
    assert len(rows) == 91
    assert rows.flaws() == {}


def test_real_toyhom(real, tmp_path):
    lines = real("toyhom_internal_medicine_gb18030.csv").read_bytes().split(b"\n")
    path = tmp_path / "toyhom.csv"
    path.write_bytes(b"\n".join(lines[:300]))
    rows = agree(path, tmp_path / "data")
    assert rows.sources[0].format == "toyhom"
