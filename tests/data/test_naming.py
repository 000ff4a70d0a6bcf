"""Columns and roles that are named, and data sets that are read through dataset_info.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import curate
from curate.errors import DataError, UsageError
from curate.llamafactory.doctor.data_set import attributes, stage_of
from tests.converter import train_in

ROLE_TAGS = {
    **{"role_tag": "role", "content_tag": "content"},
    **{"user_tag": "user", "assistant_tag": "assistant"},
}
OPENAI_TAGS = {
    **ROLE_TAGS,
    **{"observation_tag": "tool", "function_tag": "function", "system_tag": "system"},
}
PAIR = {"chosen": "chosen", "rejected": "rejected"}


def of_messages(tags: dict[str, str] | None = None, **columns: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"formatting": "sharegpt"}
    entry |= {"columns": columns} if columns else {}
    return entry | ({"tags": tags} if tags else {})


# What entries of LLaMA-Factory's own dataset_info.json name, each once.
ENTRIES = {
    "no columns": {},
    "no columns, messages": of_messages(),
    "tools": of_messages(messages="conversations", tools="tools"),
    "images": of_messages(ROLE_TAGS, messages="messages", images="images"),
    "audios": of_messages(ROLE_TAGS, messages="messages", audios="audios"),
    "videos": of_messages(ROLE_TAGS, messages="messages", videos="videos"),
    "both": of_messages(ROLE_TAGS, messages="messages", videos="videos", audios="audios"),
    "images, own tags": of_messages(messages="conversations", images="images"),
    "system": {"columns": {"prompt": "question", "response": "response", "system": "setting"}},
    "alpaca": {"columns": {"prompt": "instruction", "response": "output"}},
    "firefly": {"columns": {"prompt": "input", "response": "target"}},
    "qa": {"columns": {"prompt": "question", "response": "answer"}},
    "io": {"columns": {"prompt": "input", "response": "output"}},
    "summary": {"columns": {"prompt": "content", "response": "summary"}},
    "text": {"columns": {"prompt": "prompt", "response": "text"}},
    "messages, own tags": of_messages(messages="messages"),
    "messages": of_messages(ROLE_TAGS, messages="messages"),
    "conversation": of_messages(ROLE_TAGS, messages="conversation"),
    "system_tag": of_messages(ROLE_TAGS | {"system_tag": "system"}, messages="messages"),
    "dpo": of_messages(messages="conversations", **PAIR) | {"ranking": True},
    "dpo, images": of_messages(messages="conversations", images="images", **PAIR)
    | {"ranking": True},
    "alpaca dpo": {"ranking": True, "columns": {"prompt": "instruction", **PAIR}},
    "image": {"ranking": True, "columns": {"prompt": "question", "images": "image", **PAIR}},
    "dpo, system": {"ranking": True, "columns": {"prompt": "q", "system": "system", **PAIR}},
    "kto": of_messages(ROLE_TAGS, messages="messages", kto_tag="label"),
    "kto, completion": of_messages(ROLE_TAGS, messages="completion", kto_tag="label"),
    "alpaca kto": {"columns": {"prompt": "prompt", "response": "completion", "kto_tag": "label"}},
    "pt": {"columns": {"prompt": "text"}},
    "pt, content": {"columns": {"prompt": "content"}},
    "pt, raw": {"columns": {"prompt": "raw_content"}},
    "pt, completion": {"columns": {"prompt": "completion"}},
    "history": {
        "columns": {
            **{"prompt": "ask", "query": "more", "response": "reply"},
            **{"history": "before", "system": "sys", "tools": "fns"},
        }
    },
    "all tags": of_messages(
        {
            **{"role_tag": "who", "content_tag": "said", "user_tag": "患者"},
            **{"assistant_tag": "医生", "observation_tag": "结果", "function_tag": "调用"},
            "system_tag": "设定",
        },
        messages="对话",
    ),
}


def message(attr: Any, role: str, text: str) -> dict[str, str]:
    return {
        attr.tags["role_tag"] or "from": attr.tags[f"{role}_tag"] or role,
        attr.tags["content_tag"] or "value": text,
    }


def row_for(entry: dict[str, Any], number: int) -> dict[str, Any]:
    """Make up a row that has what an entry names, or what LLaMA-Factory takes without it."""
    attr = attributes(entry)
    texts = {
        column: f"{column} {number}：胸口疼"
        for column in ("prompt", "query", "response", "system", "tools")
    }
    texts["tools"] = json.dumps(
        [
            {
                "name": "f",
                "description": f"药 {number}",
                "parameters": {"type": "object", "properties": {}},
            }
        ]
    )
    row: dict[str, Any] = {
        attr.columns[column]: text for column, text in texts.items() if attr.columns[column]
    }
    talk = [("user", f"问 {number}"), ("assistant", f"答 {number}")]
    if attr.tags["system_tag"]:
        talk.insert(0, ("system", f"设定 {number}"))
    if attr.tags["function_tag"] and number:
        call = json.dumps({"name": "f", "arguments": {"x": number}})
        talk[-1:] = [("function", call), ("observation", "好"), ("assistant", "是")]
    if attr.formatting == "sharegpt":
        said = [message(attr, *turn) for turn in talk]
        row[attr.columns["messages"]] = said[:-1] if attr.ranking else said
    for column in PAIR if attr.ranking else ():
        text = f"{column} {number}"
        is_text = attr.formatting == "alpaca"
        row[attr.columns[column]] = text if is_text else message(attr, "assistant", text)
    for column, value in (("kto_tag", number == 1), ("history", [["早", "好"]])):
        if attr.columns[column]:
            row[attr.columns[column]] = value
    for column in ("images", "videos", "audios"):
        if attr.columns[column]:
            row[attr.columns[column]] = []
    return {**row, "beside": f"别的 {number}"}


def registered(folder: Path, entry: dict[str, Any], values: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    text = json.dumps({"mine": {"file_name": "rows.jsonl", **entry}}, ensure_ascii=False)
    (folder / "dataset_info.json").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_read_as_llamafactory_reads_it(tmp_path: Path, name: str) -> None:
    entry = ENTRIES[name]
    folder = registered(tmp_path / "data", entry, [row_for(entry, 0), row_for(entry, 1)])
    stage = stage_of(attributes(entry))
    rows = curate.read(dataset="mine", dataset_dir=folder)
    training = train_in(folder, "mine", stage)
    assert not training.error
    assert rows.shape.kind == {"pt": "pretraining", "dpo": "preference"}.get(stage, stage)
    for row, became in zip(rows, training.rows, strict=True):
        assert (row.flaw, became.verdict) == ("", "usable")
        assert row.system == (became.system or "")
        assert row.parsed.tools == (became.tools or "")
        turns = [{"role": turn.role, "content": turn.content} for turn in row.turns]
        answers = [answer["content"] for answer in became.response]
        if stage == "dpo":
            assert (turns, [row.parsed.chosen, row.parsed.rejected]) == (became.prompt, answers)
            continue
        if stage == "kto":
            assert row.parsed.verdict is bool(answers[0])
            became = became.__class__(
                "usable", became.prompt, [x for x in became.response if x["content"]]
            )
        assert turns == became.prompt + became.response


def test_openai_formatting_is_read_with_its_calls(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "dose", "arguments": '{"drug": "x"}'}}
    messages = [
        {"role": "user", "content": "怎么吃"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "一片"},
        {"role": "assistant", "content": "每日一片"},
    ]
    entry = of_messages(OPENAI_TAGS, messages="messages") | {"formatting": "openai"}
    folder = registered(tmp_path / "data", entry, [{"messages": messages}])
    (row,) = curate.read(dataset="mine", dataset_dir=folder)
    (became,) = train_in(folder, "mine").rows
    assert (row.flaw, became.verdict) == ("", "usable")
    roles = [turn.role for turn in row.turns]
    assert roles == [turn["role"] for turn in became.prompt + became.response]
    assert json.loads(row.turns[1].content) == {"name": "dose", "arguments": {"drug": "x"}}


def test_a_role_that_an_entry_does_not_name_is_no_role(tmp_path: Path) -> None:
    entry = ENTRIES["messages"]  # without a system_tag
    said = [("system", "x"), ("user", "a"), ("assistant", "b")]
    value = {"messages": [{"role": role, "content": text} for role, text in said]}
    folder = registered(tmp_path / "data", entry, [row_for(entry, 0), value])
    rows = curate.read(dataset="mine", dataset_dir=folder)
    assert [row.flaw for row in rows] == ["", "unknown_role"]
    assert [row.verdict for row in train_in(folder, "mine").rows] == ["usable", "dropped"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"columns": {"prompt": "instuction", "response": "output"}}, "Did you mean 'instruction'"),
        ({"columns": {"prompt": "instruction", "response": "output", "system": "sys"}}, "sys"),
        ({"ranking": True}, "chosen and rejected"),
        ({"formatting": "sharegpt", "columns": {"prompt": "instruction"}}, "messages"),
        ({"formatting": "chatml"}, "alpaca, sharegpt, openai"),
        ({"columns": ["prompt"]}, "no JSON object"),
    ],
)
def test_an_entry_that_does_not_fit_says_so(tmp_path: Path, entry: Any, says: str) -> None:
    folder = registered(
        tmp_path / "data", entry, [{"instruction": "a", "input": "", "output": "b"}]
    )
    with pytest.raises(DataError, match=says) as error:
        curate.read(dataset="mine", dataset_dir=folder)
    assert "mine" in str(error.value)


def test_default_columns_that_the_rows_lack_are_left_out(tmp_path: Path) -> None:
    folder = registered(tmp_path / "data", {}, [{"instruction": "a", "output": "b"}])
    rows = curate.read(dataset="mine", dataset_dir=folder)
    assert rows.shape.columns == {"prompt": "instruction", "response": "output"}


ASKED = [
    {"Ask": "高血压能吃党参吗", "reply": "可以", "persona": "药师", "id": 1},
    {"Ask": "感冒怎么办", "reply": "多喝水", "persona": "", "id": 2},
]
TALK = [
    {"talk": [{"who": "患者", "says": "头疼"}, {"who": "医生", "says": "休息"}], "rule": "简短"},
    {"talk": [{"who": "患者", "says": "牙疼"}, {"who": "医生", "says": "看牙"}], "rule": ""},
]
OF_TALK = {"messages": "talk", "role": "who", "content": "says"}
WHO = {"user": "患者", "assistant": "医生"}


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return save(tmp_path / "asked.jsonl", ASKED)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return save(tmp_path / "talk.jsonl", TALK)


def save(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def test_columns_in_any_letters_are_read_and_the_rows_stay(asked: Path) -> None:
    rows = curate.read(asked, columns={"prompt": "ask", "response": "reply", "system": "persona"})
    assert rows.shape.columns == {"prompt": "Ask", "response": "reply", "system": "persona"}
    assert [(row.system, row.prompt, row.response) for row in rows] == [
        ("药师", "高血压能吃党参吗", "可以"),
        ("", "感冒怎么办", "多喝水"),
    ]
    assert [row.value for row in rows] == ASKED
    assert rows.sources[0].columns == rows.shape.columns
    assert "prompt=Ask" in rows.description().sources[0][2]


def test_the_exact_key_goes_before_the_same_in_other_letters(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", [{"Q": "x", "q": "y", "a": "b"}])
    assert curate.read(path, columns={"prompt": "q", "response": "a"})[0].prompt == "y"
    assert curate.read(path, columns={"prompt": "Q", "response": "a"})[0].prompt == "x"


def test_other_columns_make_another_reading_of_the_same_bytes(asked: Path) -> None:
    one = curate.read(asked, columns={"prompt": "Ask", "response": "reply"})
    other = curate.read(asked, columns={"prompt": "reply", "response": "Ask"})
    assert (one[0].prompt, other[0].prompt) == ("高血压能吃党参吗", "可以")


def test_roles_in_any_words(talk: Path) -> None:
    rows = curate.read(talk, columns=OF_TALK | {"system": "rule"}, roles=WHO)
    assert (rows[0].system, rows[0].prompt, rows[0].response) == ("简短", "头疼", "休息")
    assert (rows.flaws(), rows.sources[0].roles) == ({}, WHO)


def test_what_is_named_is_registered_so_that_llamafactory_reads_it(
    talk: Path, tmp_path: Path
) -> None:
    rows = curate.read(talk, columns=OF_TALK | {"system": "rule"}, roles=WHO)
    curate.emit(curate.dedup(rows), tmp_path / "data", name="mine")
    first = train_in(tmp_path / "data", "mine").rows[0]
    assert (first.system, first.prompt[0]["content"], first.response[0]["content"]) == (
        *("简短", "头疼", "休息"),
    )
    again = curate.read(dataset="mine", dataset_dir=tmp_path / "data")
    assert list(again.ids) == list(rows.ids)


def test_roles_alone_where_the_keys_are_known(tmp_path: Path) -> None:
    said = [{"from": "甲", "value": "a"}, {"from": "乙", "value": "b"}]
    path = save(tmp_path / "a.jsonl", [{"conversations": said}])
    with pytest.raises(DataError, match="--roles"):
        curate.read(path)
    rows = curate.read(path, roles={"user": "甲", "assistant": "乙"})
    assert (rows[0].prompt, rows[0].response) == ("a", "b")


def test_a_column_beside_what_is_told_from_the_keys(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jsonl", [{"question": "a", "answer": "b", "setting": "s"}])
    rows = curate.read(path, columns={"system": "setting"})
    assert (rows[0].system, rows[0].prompt, rows[0].response) == ("s", "a", "b")


def test_verdicts_are_read_although_nobody_names_them(tmp_path: Path) -> None:
    values = [{"ask": "a", "say": f"b{n}", "label": n % 2 == 0} for n in range(4)]
    rows = curate.read(
        save(tmp_path / "a.jsonl", values), columns={"prompt": "ask", "response": "say"}
    )
    assert rows.shape.kind == "kto"
    assert [row.parsed.verdict for row in rows] == [True, False, True, False]


def test_a_key_that_turns_up_late_is_no_unknown_key(tmp_path: Path) -> None:
    values = [{"ask": f"a{n}", "say": "b"} for n in range(300)]
    values.append({"ask": "a", "say": "b", "persona": "s"})
    path = save(tmp_path / "a.jsonl", values)
    rows = curate.read(path, columns={"prompt": "ask", "response": "say", "system": "persona"})
    assert (rows[299].system, rows[300].system) == ("", "s")


@pytest.mark.parametrize(
    ("columns", "roles", "kind", "says"),
    [
        ({"promt": "Ask"}, {}, UsageError, "Did you mean 'prompt'"),
        ({"prompt": "Ask", "response": "repyl"}, {}, DataError, "Did you mean 'reply'"),
        ({"prompt": "Ask", "response": "reply", "tools": "x"}, {}, DataError, "Ask, reply"),
        ({"prompt": "Ask"}, {}, DataError, "--columns response=KEY, one of reply"),
        ({"prompt": "Ask", "response": "Ask"}, {}, UsageError, "prompt and response"),
        ({"prompt": "Ask", "messages": "reply"}, {}, UsageError, "name what these rows have"),
        ({"prompt": "Ask", "chosen": "reply"}, {}, UsageError, "chosen and rejected"),
        ({"messages": "reply"}, {}, DataError, "no list of messages"),
        ({}, {"patient": "x"}, UsageError, "Allowed are user, assistant"),
    ],
)
def test_what_is_named_wrong_says_what_is_allowed(
    asked: Path, columns: Any, roles: Any, kind: Any, says: str
) -> None:
    with pytest.raises(kind, match=says):
        curate.read(asked, columns=columns, roles=roles)


def test_roles_that_nobody_has_name_those_that_are_there(talk: Path) -> None:
    with pytest.raises(DataError, match="患者, 医生"):
        curate.read(talk, columns=OF_TALK, roles=WHO | {"user": "患着"})
    said = [{"who": "甲", "says": "头疼"}, {"who": "乙", "says": "休息"}]
    with pytest.raises(DataError, match="who is the user.*甲, 乙"):
        curate.read(save(talk.with_name("other.jsonl"), [{"talk": said}]), columns=OF_TALK)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"items": [{"zz": "a"}]}, "One object wraps the rows under 'items': save that list alone"),
        ({"m": [{"role": "甲", "content": "a"}, {"role": "乙", "content": "b"}]}, "roles 乙, 甲"),
        ({"x": ["a"], "y": "b"}, "Say which key is which"),
    ],
)
def test_rows_in_no_known_layout_say_what_to_do(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        curate.read(save(tmp_path / "one.jsonl", [row]))


def test_questions_without_answers(tmp_path: Path) -> None:
    path = save(tmp_path / "q.jsonl", [{"id": n, "question": f"问题 {n}"} for n in range(3)])
    with pytest.raises(DataError, match="no response.*--against"):
        curate.read(path)
    rows = curate.read(path, questions=True)
    assert (rows.flaws(), rows[1].prompt) == ({"empty_response": 3}, "问题 1")


def test_rows_with_answers_are_read_alike_as_questions(asked: Path) -> None:
    named = {"prompt": "Ask", "response": "reply"}
    assert not curate.read(asked, columns=named, questions=True).flaws()


@pytest.mark.parametrize(
    ("row", "columns", "named"),
    [
        ({"question": "a", "answer": "b"}, {"system": "question"}, "system=question: .* prompt"),
        ({"question": "a", "answer": "b"}, {"history": "answer"}, "history=answer: .* response"),
        ({"conversations": ["a", "b"]}, {"kto_tag": "conversations"}, "messages there"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"chosen": ""}, "chosen=: .* chosen"),
    ],
)
def test_a_key_that_rows_need_is_not_taken_for_another_column(
    scratch_cache, write_json, row, columns, named
):
    with pytest.raises(UsageError, match=named):
        curate.read(write_json([row, row]), columns=columns)


def test_a_pair_may_have_the_key_of_what_else_is_the_response(scratch_cache, write_json) -> None:
    row = {"question": "a", "answer": "b", "bad": "c"}
    parsed = curate.read(write_json([row]), columns={"chosen": "answer", "rejected": "bad"})[0]
    assert (parsed.prompt, parsed.parsed.chosen, parsed.parsed.rejected) == ("a", "b", "c")
