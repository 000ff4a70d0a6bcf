"""Layouts, containers and notations that people's files have beside the usual ones."""

import json

import pytest

import curate
from curate.errors import DataError

ASKED, SAID, MORE, THEN = "腰疼吗", "有一点", "多久了", "两周"
TURNS = [("user", ASKED), ("assistant", SAID)]
CALL = ("function", '{"name": "dose", "arguments": {"drug": "头孢"}}')
TOOL = {"name": "dose", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


@pytest.fixture
def read(tmp_path):
    def read(content, name="rows.jsonl"):
        path = tmp_path / name
        lines = isinstance(content, list)
        text = "\n".join(json.dumps(row) for row in content) if lines else content
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return curate.read(path)

    return read


def turns(row):
    return [(turn.role, turn.content) for turn in row.turns]


ALPACA = [{"instruction": ASKED, "output": SAID}, {"instruction": MORE, "output": THEN}]
WRAPPED = [
    {"version": 1, "data": {"train": ALPACA[:1], "test": ALPACA[1:]}},
    {"code": 0, "result": {"items": ALPACA}},
    {"rows": [{"row_idx": at, "row": row} for at, row in enumerate(ALPACA)]},
    {"hits": {"hits": [{"_id": "1", "_source": row} for row in ALPACA]}},
    {"内科": [{"question": ASKED, "answer": SAID}], "儿科": [{"question": MORE, "answer": THEN}]},
    {
        name: [{"from": "human", "value": asked}, {"from": "gpt", "value": said}]
        for name, asked, said in (("d1", ASKED, SAID), ("d2", MORE, THEN))
    },
    json.dumps(json.dumps(ALPACA)),
    "\n".join(json.dumps(json.dumps(row)) for row in ALPACA),
    "\n".join(json.dumps([row]) for row in ALPACA),
    json.dumps([["instruction", "output"], [ASKED, SAID], [MORE, THEN]]),
    [{"id": at, "data": row} for at, row in enumerate(ALPACA)],
    [{"sample": json.dumps(row)} for row in ALPACA],
]


@pytest.mark.parametrize("whole", WRAPPED)
def test_layers_around_rows_are_opened_and_told(read, whole):
    rows = read(whole, "rows.json")
    assert [turns(row) for row in rows] == [TURNS, [("user", MORE), ("assistant", THEN)]]
    assert rows.sources[0].changes


def test_squad_keeps_the_passage_and_self_instruct_its_instruction(read):
    answers = [{"question": ASKED, "answers": [{"text": SAID, "answer_start": 0}]}]
    rows = read({"data": [{"title": "t", "paragraphs": [{"context": "病历", "qas": answers}]}]})
    assert turns(rows[0]) == [("user", f"{ASKED}\n病历"), ("assistant", SAID)]
    rows = read([{"instruction": ASKED, "instances": [{"input": "腰", "output": SAID}]}], "b.jsonl")
    assert turns(rows[0]) == [("user", f"{ASKED}\n腰"), ("assistant", SAID)]


def test_what_stands_beside_the_rows_of_a_file_is_used_or_told(read):
    rows = read({"system": "你是医生", "Definition": "Answer.", "Instances": ALPACA})
    assert rows[0].system == "你是医生"
    assert "not Definition" in next(iter(rows.sources[0].changes))


def test_a_column_of_metadata_is_not_taken_for_rows(read):
    with pytest.raises(DataError, match="meta"):
        read([{"id": 1, "meta": {"text": "a"}}, {"id": 2, "meta": {"text": "b"}}])


MESSAGES = [
    {"messages": [{"role": "患者", "content": ASKED}, {"role": "医生", "content": SAID}]},
    {"messages": [{"role": "Human", "content": ASKED}, {"role": "AI", "content": SAID}]},
    {"dialogue": [{"speaker": "patient", "text": ASKED}, {"speaker": "doctor", "text": SAID}]},
    {
        "contents": [
            {"role": "user", "parts": [{"text": ASKED}]},
            {"role": "model", "parts": [{"text": SAID}]},
        ]
    },
    {"conversations": {"from": ["human", "gpt"], "value": [ASKED, SAID]}},
    {"messages": [["user", ASKED], ["assistant", SAID]]},
    {"messages": [{"user": ASKED}, {"assistant": SAID}]},
    {"conversation": [[ASKED, SAID]]},
    {"conversations": f"[{{'from': 'human', 'value': '{ASKED}'}}\n"
                      f" {{'from': 'gpt', 'value': '{SAID}'}}]"},
    {
        "messages": [
            {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [ASKED]}},
            {"author": {"role": "assistant"}, "content": {"parts": [SAID]}},
        ]
    },
    {"messages": [{"role": "user", "content": {"type": "text", "text": ASKED}},
                  {"role": "assistant", "content": SAID}]},
    {"messages": [{"role": "user", "content": ASKED}], "response": SAID},
    {"input": [{"role": "user", "content": ASKED}], "output": SAID},
    {"request": {"messages": [{"role": "user", "content": ASKED}]},
     "response": {"choices": [{"message": {"role": "assistant", "content": SAID}}]}},
    {"text": f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\n{SAID}<|im_end|>"},
    {"text": f"<s>[INST] {ASKED} [/INST] {SAID}</s>"},
    {"text": f"USER: {ASKED} ASSISTANT: {SAID}</s>"},
    {"text": f"Below is an instruction.\n\n### Instruction:\n{ASKED}\n\n### Response:\n{SAID}"},
    {"prompt": f"\n\nHuman: {ASKED}\n\nAssistant:", "response": SAID},
    {"instruction": f"患者：{ASKED}\n医生：", "output": SAID},
    {"conversations": [ASKED, SAID]},
    {"dialog": [ASKED, SAID], "emotion": [0, 1]},
    {"question": ASKED, "answers": [{"answer_text": SAID}]},
    {"input": f"病人：{ASKED}\n医生：", "target": SAID},
    {"質問": ASKED, "回答": SAID},
    {"질문": ASKED, "답변": SAID},
    {"Pregunta": ASKED, "Respuesta": SAID},
    {"question_text": ASKED, "answer_text": SAID},
    {"user_input": ASKED, "model_output": SAID},
]  # fmt: skip


@pytest.mark.parametrize("row", MESSAGES)
def test_a_dialogue_in_another_form(read, row):
    rows = read([row, row])
    assert [turns(row) for row in rows] == [TURNS, TURNS]
    assert not any(row.flaw for row in rows)


def test_words_for_who_speaks_are_made_one_within_a_row(read):
    said = [{"from": "human", "value": ASKED}, {"from": "assistant", "value": SAID}]
    usual = [{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}]
    rows = read([{"conversations": usual}, {"conversations": usual}, {"conversations": said}])
    assert [turns(row) for row in rows] == [TURNS] * 3
    assert list(rows.sources[0].changes.values()) == [1]


THOUGHT = f"<think>\n想\n</think>\n\n{SAID}"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "thinking", "content": "想"}, {"role": "assistant", "content": SAID}],
        [
            {"role": "assistant", "channel": "analysis", "content": "想"},
            {"role": "assistant", "channel": "final", "content": SAID},
        ],
        [{"role": "assistant", "reasoning_details": [{"text": "想"}], "content": SAID}],
    ],
)
def test_a_thought_that_is_a_message(read, messages):
    rows = read([{"messages": [{"role": "user", "content": ASKED}, *messages]}])
    assert turns(rows[0]) == [("user", ASKED), ("assistant", THOUGHT)]


@pytest.mark.parametrize("at", [0, 2])
def test_a_thought_that_belongs_to_no_answer_is_told(read, at):
    messages = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
    messages.insert(at, {"role": "thinking", "content": "想"})
    assert read([{"messages": messages}])[0].flaw == "unknown_role"


DRUG = {"drug": "头孢"}


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ({"tool_calls": [{"name": "dose", "arguments": DRUG}]}, "1 g"),
        ({"tool_calls": [{"name": "dose", "args": DRUG}]}, "1 g"),
        ({"tool_calls": json.dumps([{"function": {"name": "dose", "arguments": DRUG}}])}, "1 g"),
        ({"content": [{"type": "tool_use", "name": "dose", "input": DRUG}]},
         [{"type": "tool_result", "content": "1 g"}]),
    ],
)  # fmt: skip
def test_calls_of_tools_in_other_styles(read, call, result):
    called = {"role": "assistant", "content": None, **call}
    asks = "user" if isinstance(result, list) else "tool"
    messages = [{"role": "user", "content": ASKED}, called, {"role": asks, "content": result}]
    rows = read(
        [{"messages": [*messages, {"role": "assistant", "content": SAID}], "tools": [TOOL]}]
    )
    assert turns(rows[0]) == [("user", ASKED), CALL, ("observation", "1 g"), ("assistant", SAID)]


def test_glaives_calls_and_results(read):
    chat = f"USER: {ASKED} ASSISTANT: <functioncall> " + (
        '{"name": "dose", "arguments": \'{"drug": "头孢"}\'} <|endoftext|> '
    )
    rows = read([{"chat": f"{chat}FUNCTION RESPONSE: 1 g ASSISTANT: {SAID} <|endoftext|>"}])
    assert [role for role, _ in turns(rows[0])] == ["user", "function", "observation", "assistant"]
    assert rows[0].flaw == ""


@pytest.mark.parametrize(
    "history",
    [
        [{"role": "user", "content": MORE}, {"role": "assistant", "content": THEN}],
        [{"question": MORE, "answer": THEN}],
        [MORE, THEN],
        [f"问：{MORE}", f"答：{THEN}"],
        [["", ""], [MORE, THEN]],
    ],
)
@pytest.mark.parametrize("key", ["history", "chat_history"])
def test_earlier_turns_in_other_forms(read, history, key):
    rows = read([{"instruction": ASKED, "output": SAID, key: history}])
    assert turns(rows[0]) == [("user", MORE), ("assistant", THEN), *TURNS]


USER, GOOD, BAD = [
    [{"role": role, "content": text}]
    for role, text in (("user", ASKED), ("assistant", SAID), ("assistant", "不"))
]
PAIRS = [
    {"prompt": ASKED, "chosen": GOOD[0], "rejected": BAD[0]},
    {"prompt": USER, "chosen": SAID, "rejected": "不"},
    {"input": {"messages": USER}, "preferred_output": GOOD, "non_preferred_output": BAD},
    {"prompt": f"\n\nHuman: {ASKED}\n\nAssistant:", "chosen": SAID, "rejected": "不"},
    {"prompt": ASKED, "response_a": SAID, "response_b": "不", "preference": "a"},
    {"prompt": ASKED, "response_0": "不", "response_1": SAID, "better_response_id": 1},
    {"conversation_a": USER + BAD, "conversation_b": USER + GOOD, "winner": "model_b"},
    {"instruction": ASKED, "output_1": SAID, "output_2": "不", "preference": 1},
    {"history": ASKED, "human_ref_A": SAID, "human_ref_B": "不", "labels": 1},
    {
        "question": {"full_text": ASKED},
        **{"answer_0": "不", "answer_1": SAID, "score_0": -1.0, "score_1": 1.0},
    },
    {"context": USER, "response1": SAID, "response2": "不", "overall_preference": -1},
    {"context": USER, "response1": "不", "response2": SAID, "overall_preference": 3},
    {"prompt": ASKED, "response_1": "不", "response_2": SAID, "preference_strength": 2},
    {"context": USER, "original_response": "不", "edited_response": SAID, "feedback": ["短"]},
    {"context": USER, "bad_edited_response": "不", "good_edited_response": SAID},
    {"messages": USER + GOOD, "rejected_messages": USER + BAD},
    {"messages": USER + GOOD, "rejected_response": "不"},
    {"query": ASKED, "response": SAID, "rejected_response": "不"},
    {"question": ASKED, "accepted": SAID, "rejected": "不"},
    {"instruction": ASKED, "responses": ["不", SAID], "chosen_idx": 1},
    {"prompt": ASKED, "chosen": SAID, "rejected": ["不"]},
    {"problem": ASKED, "generations": ["不", SAID], "correctness": [False, True]},
]


@pytest.mark.parametrize("row", PAIRS)
def test_the_better_of_two_answers_in_other_layouts(read, row):
    rows = read([row, row])
    assert len(rows) == 2
    for each in rows:
        assert (each.prompt, each.parsed.chosen, each.parsed.rejected) == (ASKED, SAID, "不")


def test_one_pair_alone_in_a_file_is_no_two_rows(read):
    rows = read({"messages": USER + GOOD, "rejected_messages": USER + BAD}, "rows.json")
    assert [row.parsed.rejected for row in rows] == ["不"]


def test_answers_of_which_few_are_ranked_are_not_all_learned(read):
    completions = [{"response": SAID, "score": 9}, {"response": "不", "score": "N/A"}]
    with pytest.raises(DataError, match="no format"):
        read([{"instruction": ASKED, "completions": completions}])


@pytest.mark.parametrize(
    ("marks", "key", "tie", "first"),
    [("ab", "winner", "tie", "a"), ("12", "overall_preference", 0, -3)],
)
def test_a_tie_is_no_pair_and_is_told(read, marks, key, tie, first):
    row = {"prompt": ASKED, f"response_{marks[0]}": SAID, f"response_{marks[1]}": "不"}
    rows = read([row | {key: tie}, row | {key: first}])
    assert [each.flaw for each in rows] == ["empty_response", ""]
    assert any("no answer is told to be better" in said for said in rows.sources[0].changes)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("liked", True, False),
        ("label", 1, -1),
        ("feedback", "thumbs up", "thumbs down"),
        ("is_correct", True, False),
        ("标签", "好", "差"),
    ],
)
def test_verdicts_under_other_names(read, key, good, bad):
    rows = read([{"prompt": ASKED, "completion": SAID, key: verdict} for verdict in (good, bad)])
    assert [row.parsed.verdict for row in rows] == [True, False]


def test_candidates_of_which_one_is_right_are_options(read):
    row = {"question": ASKED, "candidates": ["不", SAID]}
    rows = read([row | {"correct_idx": 1}, row | {"correct_idx": 0}])
    assert [each.response for each in rows] == [f"B. {SAID}", "A. 不"]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "一样吗", "text_a": "甲", "text_b": "乙", "label": 1},
        {"question": "一样吗", "sentence1": "甲", "sentence2": "乙", "label": 0},
    ],
)
def test_two_sentences_and_a_class_are_no_pair(read, row):
    with pytest.raises(DataError, match="no format"):
        read([row, row])


def test_three_classes_are_no_verdict(read):
    rows = read([{"prompt": ASKED, "completion": SAID, "label": at} for at in (-1, 0, 1)])
    assert rows.shape.kind == "sft"


def test_words_of_empty_cells_are_no_text(read):
    text = "question,answer,context\nFlu?,A disease,nan\nTB?,nan,\nPain?,None,None\n"
    rows = read(text, "rows.csv")
    assert [row.flaw for row in rows] == ["", "empty_response", ""]
    assert [turns(rows[at])[0][1] for at in (0, 2)] == ["Flu?", "Pain?"]
    assert sum(rows.sources[0].changes.values()) == 3


def test_answers_that_nobody_sees_are_empty(read):
    rows = read([{"instruction": ASKED, "output": "\u200b\ufeff"}, *ALPACA])
    assert [row.flaw for row in rows] == ["empty_response", "", ""]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sep=;\nquestion;answer\n{};{}\n", []),
        ("question|answer\n{}|{}\n", []),
        ("医院问答,\nquestion,answer\n{},{}\n", ["医院问答"]),
        ("# 2024\nquestion,answer\n{},{}\n", ["# 2024"]),
        ("question,answer,,\n{},{},,\n", []),
        ("question,answer\n\ufeffquestion,answer\n{},{}\n", ["the columns' names again"]),
    ],
)
def test_tables_with_more_than_columns(read, text, told):
    rows = read(text.format(ASKED, SAID), "rows.csv")
    assert [turns(row) for row in rows] == [TURNS]
    assert all(any(word in said for said in rows.sources[0].changes) for word in told)


def test_one_column_and_commas_behind_it(read):
    assert [row.prompt for row in read("text,\nabc,\nd e,\n", "rows.csv")] == ["abc", "d e"]


def test_marks_in_a_header_part_no_columns(read):
    rows = read("question,answer,kind (a|b|c|d)\nq,a,b\n", "rows.csv")
    assert turns(rows[0]) == [("user", "q"), ("assistant", "a")]


def test_addresses_of_pictures_that_a_row_does_not_speak_of_are_no_pictures(read):
    rows = read([ALPACA[0] | {"image_url": "http://a/b.jpg"}])
    assert (rows[0].flaw, "images" in rows.shape.columns) == ("", False)


LINE = json.dumps(ALPACA[0])


@pytest.mark.parametrize(
    "text",
    [
        f"# 第一版\n{LINE}\n",
        f"[\n# 注\n{LINE}\n]",
        f"\x1e{LINE}\n\x1e{LINE}\n",
        f'{LINE}\n{{"instruction": "头晕\n怎么办", "output": "休息"}}\n',
    ],
)
def test_json_with_what_is_no_content(read, text):
    rows = read(text)
    assert turns(rows[0]) == TURNS
    assert not any(row.flaw for row in rows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"data = [{LINE}]", "line 1, behind other text .'data ='"),
        (f"0\t{LINE}\n1\t{LINE}\n", "line 1, behind other text .'0'"),
        (f"以下是数据：\n\n{LINE}\n", "line 3, behind other text .'以下是数据：'"),
        ("- instruction: a\n  output: b\n", "is YAML"),
        ("<?xml version='1.0'?>\n<row><q>a</q></row>\n", "is XML"),
        ("User: a\nAssistant: b\n", "plain text, no table"),
    ],
)
def test_text_that_is_no_table_says_what_it_is(read, text, says):
    with pytest.raises(DataError, match=says):
        read(text, "rows.txt")


def test_notes_in_brackets_are_no_part_of_a_key(read):
    row = {"question": ASKED, "reasoning (reasoning_content)": "想", "response (content)": SAID}
    rows = read([row, row])
    assert turns(rows[0]) == [("user", ASKED), ("assistant", f"<think>\n想\n</think>\n\n{SAID}")]


@pytest.mark.parametrize("keys", [("question (old)", "question"), ("question", "question (old)")])
def test_a_key_with_a_note_does_not_stand_for_one_without(read, keys):
    row = dict.fromkeys(keys, "旧") | {"question": ASKED, "answer": SAID}
    assert turns(read([row, row])[0]) == [("user", ASKED), ("assistant", SAID)]


def test_keys_that_differ_in_their_notes_are_not_chosen_from(read):
    row = {"question (en)": "?", "question (zh)": ASKED, "answer (en)": "!", "answer (zh)": SAID}
    with pytest.raises(DataError, match=r"question \(zh\)"):
        read([row, row])
