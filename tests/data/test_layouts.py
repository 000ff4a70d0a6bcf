"""Rows as public sets have them: read, written as LLaMA-Factory takes them, told what is not."""

import json

import pytest

from curate.data.formats import formats, published
from curate.data.read import read
from curate.data.tables import blocks_of


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def says(*texts, roles=("user", "assistant")):
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


def written(write, *rows, name="rows.jsonl"):
    if isinstance(rows[0], list):
        return read(write(json.dumps(rows, ensure_ascii=False), "rows.json"))
    return read(write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), name))


def turns(row):
    return [(turn.role, turn.content) for turn in row.turns]


ASKED = ("user", "腰疼吗")
SAID = ("assistant", "有一点")
MORE = [("user", "多久了"), ("assistant", "两周")]
CALL = {"name": "dose", "arguments": {"drug": "头孢"}}
TOOLS = [
    {"name": "dose", "description": "查剂量", "parameters": {"type": "object", "properties": {}}}
]

# Format, row, its turns.
DIALOGUES = [
    ("exchanges", {"conversation": [{"human": "腰疼吗", "assistant": "有一点"}]}, [ASKED, SAID]),
    (
        "exchanges",
        {
            "QA_pairs": [
                {"question": "腰疼吗", "answer": "有一点"},
                {"question": "多久了", "answer": "两周"},
            ]
        },
        [ASKED, SAID, *MORE],
    ),
    (
        "moss",
        {
            "meta_instruction": "你是助手。",
            "num_turns": 1,
            "chat": {
                "turn_1": {
                    "Human": "<|Human|>: 腰疼吗<eoh>\n",
                    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                    "MOSS": "<|MOSS|>: 有一点<eom>\n",
                }
            },
        },
        [ASKED, SAID],
    ),
    ("moss", {"plain_text": "[Human]: 腰疼吗<eoh> \n[MOSS]: 有一点<eoa>"}, [ASKED, SAID]),
    ("spoken", {"text": "### Human: 腰疼吗### Assistant: 有一点"}, [ASKED, SAID]),
    (
        "ultrachat",
        {"id": "1", "data": ["腰疼吗", "有一点", "多久了", "两周", "谢谢"]},
        [ASKED, SAID, *MORE],
    ),
    ("ultrachat", ["腰疼吗", "有一点"], [ASKED, SAID]),
    (
        "calls",
        {
            "query": "腰疼吗",
            "answers": json.dumps([CALL], ensure_ascii=False),
            "tools": json.dumps(TOOLS),
        },
        [ASKED, ("function", json.dumps(CALL, ensure_ascii=False))],
    ),
    (
        "belle",
        {
            "instruction": "Human:腰疼吗\nAssistant:有一点\nHuman:多久了\nAssistant:",
            "input": "",
            "output": "两周",
        },
        [ASKED, SAID, *MORE],
    ),
    (
        "prompt_messages",
        {"prompt": says("腰疼吗"), "completion": [says("", "有一点")[1]]},
        [ASKED, SAID],
    ),
    ("sharegpt", says("腰疼吗", "有一点"), [ASKED, SAID]),
    ("sharegpt", {"Messages": says("腰疼吗", "有一点")}, [ASKED, SAID]),
    ("sharegpt", {"messages": json.dumps(says("腰疼吗", "有一点"))}, [ASKED, SAID]),
    ("sharegpt", {"dialog": says("腰疼吗", "有一点", roles=("USER", "Assistant"))}, [ASKED, SAID]),
    ("huatuogpt", {"data": ["问：腰疼吗", "答：有一点"]}, [ASKED, SAID]),
    ("meddialog", ["问：腰疼吗", "答：有一点"], [ASKED, SAID]),
    ("qas", {"questions": [["腰疼吗", "腰痛吗"]], "answers": [["有一点"]]}, [ASKED, SAID]),
    (
        "qa",
        {"question": "腰疼吗", "context": "病史", "answers": {"text": ["有一点"], "start": [0]}},
        [("user", "腰疼吗\n病史"), SAID],
    ),
]


@pytest.mark.parametrize(("name", "row", "wanted"), DIALOGUES)
def test_a_dialogue_is_told_and_read(write, name, row, wanted):
    rows = written(write, row, row)
    assert [turns(each) for each in rows] == [wanted] * 2
    assert rows.sources[0].format == name
    assert rows.flaws() == rows.sources[0].unused == {}


def test_a_key_in_other_letters_beside_one_that_holds_nothing(write):
    said = ["问：腰疼吗", "答：有一点"]
    rows = written(
        write, {"data": None, "DATA": said}, {"data": said, "DATA": None}, {"data": said}
    )
    assert [turns(row) for row in rows] == [[ASKED, SAID]] * 3
    rows = written(write, {"data": said}, {"data": said, "DATA": "两周", "": "0"})
    assert (rows.sources[0].unused, rows.flaws()) == ({"DATA": 1}, {})


PAIRS = [
    (
        "pairs",
        {"prompt": "腰疼吗", "chosen": says("腰疼吗", "有一点"), "rejected": says("腰疼吗", "不")},
    ),
    (
        "pairs",
        {
            "chosen": "\n\nHuman: 腰疼吗\n\nAssistant: 有一点",
            "rejected": "\n\nHuman: 腰疼吗\n\nAssistant: 不",
        },
    ),
    (
        "pairs",
        {
            "prompt": says("腰疼吗"),
            "chosen": [says("", "有一点")[1]],
            "rejected": [says("", "不")[1]],
        },
    ),
    (
        "pairs",
        {"chosen_messages": says("腰疼吗", "有一点"), "rejected_messages": says("腰疼吗", "不")},
    ),
    (
        "listed_pairs",
        {"instruction": "腰疼吗", "input": "", "output": ["有一点", "不"], "history": []},
    ),
    ("preference", {"system": "", "question": "腰疼吗", "chosen": "有一点", "rejected": "不"}),
    ("responses", {"input": "腰疼吗", "chosen_response": "有一点", "rejected_response": "不"}),
    ("coachlm", {"Raw Instruction": "腰疼吗", "Raw Response": "不", "Revised Response": "有一点"}),
    ("comet", {"src": "腰疼吗", "pos": "有一点", "neg": "不"}),
    ("stack", {"qid": 3, "question": "腰疼吗", "response_j": "有一点", "response_k": "不"}),
]


@pytest.mark.parametrize(("name", "row"), PAIRS)
def test_a_pair_is_told_and_read(write, name, row):
    rows = written(write, row, row)
    assert rows.sources[0].format == name
    assert rows.shape.kind == "preference"
    assert [(turns(each), each.parsed.chosen, each.parsed.rejected) for each in rows] == [
        ([ASKED], "有一点", "不")
    ] * 2
    assert rows.flaws() == rows.sources[0].unused == {}


def test_every_reader_has_a_sample():
    told = {name for name, *_ in (*DIALOGUES, *PAIRS)} | {"oasst"}
    assert {form.name for form in published.FORMATS} <= told


def test_answers_to_other_prompts_are_no_pair(write):
    rows = written(write, {"chosen": says("腰疼吗", "有一点"), "rejected": says("腿疼吗", "不")})
    assert rows.flaws() == {"prompts_differ": 1}


def test_a_tree_is_read_along_its_best_ranked_answers(write):
    def node(key, parent, text, rank=None):
        role = "prompter" if rank is None else "assistant"
        return {"message_id": key, "parent_id": parent, "text": text, "role": role, "rank": rank}

    rows = written(
        write,
        node("a", None, "腰疼吗"),
        node("c", "a", "不", 1),
        node("b", "a", "有一点", 0),
        node("d", "b", "多久了"),
        node("e", "d", "两周", 0),
        node("f", None, "好吗"),
        node("g", "f", "好", 0),
        node("h", "g", "谢谢"),
    )
    assert [turns(row) for row in rows] == [
        [ASKED, SAID, *MORE],
        [("user", "好吗"), ("assistant", "好")],
    ]
    assert rows.sources[0].changes == {
        "answers that others were ranked above left out": 1,
        "question without an answer at the end left out": 1,
    }


WRAPPED = [
    {
        "SFT_data": [
            {"instruction": "腰疼吗", "output": "有一点"},
            {"instruction": "多久了", "output": "两周"},
        ]
    },
    {"instruction": {"0": "腰疼吗", "1": "多久了"}, "output": {"0": "有一点", "1": "两周"}},
    {"instruction": ["腰疼吗", "多久了"], "output": ["有一点", "两周"]},
    {
        "columns": ["instruction", "output"],
        "index": [0, 1],
        "data": [["腰疼吗", "有一点"], ["多久了", "两周"]],
    },
    {
        "7": {"instruction": "腰疼吗", "output": "有一点"},
        "9": {"instruction": "多久了", "output": "两周"},
    },
]


@pytest.mark.parametrize("whole", WRAPPED)
def test_one_object_that_holds_rows_is_opened(write, whole):
    rows = read(write(json.dumps(whole, ensure_ascii=False), "rows.json"))
    assert [turns(row) for row in rows] == [[ASKED, SAID], MORE]
    assert list(rows.sources[0].changes.values()) == [2]


# Exams

EXAMS = [
    {"question": "哪个是抗生素", "option": {"A": "头孢", "B": "布洛芬", "C": ""}, "answer": "A"},
    {
        "question": "哪个是抗生素",
        "options": {"A": "头孢", "B": "布洛芬"},
        "answer": "头孢",
        "answer_idx": "A",
    },
    {"question": "哪个是抗生素", "opa": "头孢", "opb": "布洛芬", "cop": 0},
    {"Question": "哪个是抗生素", "A": "头孢", "B": "布洛芬", "Answer": "A"},
    {"Question": "哪个是抗生素", "Options": "A. 头孢\nB. 布洛芬", "Answer": "(A)"},
    {"question": "哪个是抗生素", "choices": ["头孢", "布洛芬"], "answer": 0},
    {
        "question": "哪个是抗生素",
        "choices": {"text": ["头孢", "布洛芬"], "label": ["A", "B"]},
        "answerKey": "A",
    },
    {
        "question": "哪个是抗生素",
        "options": [{"key": "A", "value": "头孢"}, {"key": "B", "value": "布洛芬"}],
        "answer": "A",
    },
]


@pytest.mark.parametrize("row", EXAMS)
def test_options_go_below_the_question(write, row):
    rows = written(write, row)
    assert rows.sources[0].format == "exam"
    assert turns(rows[0]) == [
        ("user", "哪个是抗生素\nA. 头孢\nB. 布洛芬"),
        ("assistant", "A. 头孢"),
    ]
    assert rows.sources[0].unused == {}


def test_answers_of_several_letters_and_numbers_from_one(write):
    both = {"question": "哪些", "option": {"A": "甲", "B": "乙", "C": "丙"}, "answer": "AC"}
    assert written(write, both)[0].response == "A. 甲\nC. 丙"
    count = [
        {"question": "哪个", "opa": "甲", "opb": "乙", "cop": at, "exp": "因为"} for at in (1, 2)
    ]
    rows = written(write, *count)
    assert [row.response for row in rows] == ["A. 甲", "B. 乙"]
    assert rows.sources[0].format == "exam_from_1"
    assert rows.sources[0].unused == {"exp": 2}


OPTIONS_AS_TEXT = {
    "A. Hepatitis B virus\nB. Hepatitis C virus\nC. HIV": [
        "Hepatitis B virus",
        "Hepatitis C virus",
        "HIV",
    ],
    # As CMExam's tables are published: two characters where a line ends.
    r"A 维生素 B 缺乏\nB 维生素 A、D\nC 无": ["维生素 B 缺乏", "维生素 A、D", "无"],
    "(A) vitamin A (B) vitamin B (C) vitamin C": ["vitamin A", "vitamin B", "vitamin C"],
    "A. 甲 B. 乙\nC. 丙 D. 丁": ["甲", "乙", "丙", "丁"],
    "(A) 甲 (C) 丙\n(B) 乙 (D) 丁": ["甲", "乙", "丙", "丁"],
    "(A)甲(B)乙": ["甲", "乙"],
    "（A）甲（C）丙（B）乙": ["甲", "乙", "丙"],
    "A 乙肝 B 甲肝": ["乙肝", "甲肝"],
    "A. 型 A. 乙 B. 丙": ["型 A. 乙", "丙"],
    "A. I. V. 滴注 B. E. coli C. 口服": ["I. V. 滴注", "E. coli", "口服"],
    "A. 甲 B. H. pylori\nC. 丙 D. 丁": ["甲", "H. pylori", "丙", "丁"],
}


@pytest.mark.parametrize("options", OPTIONS_AS_TEXT)
def test_options_as_one_text_are_taken_apart_at_their_own_letters(write, options):
    row = written(write, {"question": "哪个", "options": options, "answer": "B"})[0]
    texts = OPTIONS_AS_TEXT[options]
    lines = [f"{letter}. {text}" for letter, text in zip("ABCD", texts, strict=False)]
    assert turns(row) == [("user", "\n".join(["哪个", *lines])), ("assistant", lines[1])]


def test_lists_of_options_keep_every_one_in_the_order_of_its_letter(write):
    mixed = {"question": "哪个", "options": ["(A) 甲", "  C. 丙", "B。 乙"], "answer": "C"}
    assert turns(written(write, mixed)[0]) == [
        ("user", "哪个\nA. 甲\nB. 乙\nC. 丙"),
        ("assistant", "C. 丙"),
    ]
    ten = {"question": "Which", "options": list("zyxwvutsrq"), "answer": "J", "answer_index": 9}
    assert written(write, ten)[0].response == "J. q"
    twice = {"question": "哪个", "options": ["A. 甲", "A. 乙"], "answer": "B"}
    assert written(write, twice)[0].response == "B. A. 乙"
    names = ["E. coli", "C. albicans", "A. baumannii"]
    named = {"question": "哪个", "options": names, "answer_index": 0}
    assert written(write, named)[0].response == "A. E. coli"


@pytest.mark.parametrize(
    ("ranks", "best"), [((1, "0", None), "二"), (([0], 1, 0), "三"), ((None, {}, "x"), "一")]
)
def test_a_tree_with_ranks_of_several_kinds_is_read_along_the_best(write, ranks, best):
    texts = zip("一二三", ranks, strict=True)
    replies = [{"text": text, "role": "assistant", "rank": rank} for text, rank in texts]
    row = {"prompt": {"text": "腰疼吗", "role": "prompter", "replies": replies}}
    assert turns(written(write, row)[0]) == [ASKED, ("assistant", best)]
    none = {"prompt": {"text": "腰疼吗", "role": "prompter", "replies": 3}}
    assert written(write, row, none).flaws() == {"empty_response": 1}
    lost = {"message_id": "a", "parent_id": ["b"], "text": "腰疼吗", "role": "prompter"}
    assert len(written(write, lost, lost | {"message_id": "c", "parent_id": "a"})) == 1


# Nothing is lost in silence


@pytest.mark.timeout(100)  # with a search from each of its characters, half an hour
def test_a_long_run_of_one_character_is_passed_over_at_once(write):
    run, space = "!" * 200_000, " " * 200_000
    noted = {"instruction": "腰疼吗", "output": "有一点", "note": f"甲{run}乙"}
    assert written(write, noted).sources[0].unused == {"note": 1}
    named = written(write, {"text": f"Human: 腰疼{space}吗<eoh> <eoa>\nAssistant: 有一点"})
    assert turns(named[0]) == [("user", f"腰疼{space}吗"), SAID]
    begin = "<|im_start|>"
    framed = written(
        write, {"text": f"{begin}user\n腰疼{space}吗<|im_end|>{begin}assistant\n有一点"}
    )
    assert turns(framed[0]) == [("user", f"腰疼{space}吗"), SAID]
    tokens = "<s>" * 50_000
    framed = written(write, {"text": f"Human: <s>腰疼{tokens}吗</s>\nAssistant: 有一点</s> </s>"})
    assert turns(framed[0]) == [("user", f"腰疼{tokens}吗"), SAID]
    llama = written(write, {"text": f"<s>[INST] 腰疼{space}吗 [/INST] 有{space}一点 </s>"})
    assert turns(llama[0]) == [("user", f"腰疼{space}吗"), ("assistant", f"有{space}一点")]
    asked = written(write, {"prompt": "[INST]" * 50_000, "response": "有一点"})
    assert turns(asked[0]) == [("user", "[INST]" * 50_000), SAID]
    assert blocks_of(f"甲{space}乙\n\n\n") is None


def test_a_key_without_a_name_is_no_verdict_and_no_column(write):
    assert (
        written(write, {"instruction": "腰疼吗", "output": "有一点", "": True})[0].parsed.verdict
        is None
    )
    rows = written(write, {"question": "腰疼吗", "answer": "有一点", "": "none"})
    assert rows[0].value[""] == "none"
    pair = {"prompt": "腰疼吗", "chosen": "有一点", "rejected": "不", "thinking": "想", "": "0"}
    row = written(write, pair)[0]
    assert (row.value[""], row.value["thinking"]) == ("0", "想")
    assert not rows.sources[0].changes


def test_thoughts_go_before_their_answers(write):
    wanted = "<think>\n先看病程\n</think>\n\n有一点"
    for row in (
        {"Question": "腰疼吗", "Complex_CoT": "先看病程", "Response": "有一点"},
        {"input": "腰疼吗", "reasoning_content": "先看病程", "content": "有一点", "score": 9},
        {"instruction": "腰疼吗", "output": "有一点", "thinking": "<think>先看病程</think>"},
        {
            "messages": [
                says("腰疼吗")[0],
                {**says("", "有一点")[1], "reasoning_content": "先看病程"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "value": "腰疼吗"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "reasoning", "value": "先看病程"},
                        {"type": "text", "value": "有一点"},
                    ],
                },
            ]
        },
    ):
        rows = written(write, row)
        assert (turns(rows[0]), rows.sources[0].unused) == ([ASKED, ("assistant", wanted)], {})
        assert list(rows.sources[0].changes.values()) == [1]


def test_keys_with_text_that_nothing_reads_are_named(write):
    rows = written(
        write,
        {"question": "腰疼吗", "answer": "有一点", "hint": "看病程", "source": "网", "id": "x7"},
        {"question": "多久了", "answer": "两周", "hint": "", "note": ["来自门诊"], "copy": "两周"},
        {"question": "多久", "answer": "两天", "hint": "看"},
    )
    assert rows.sources[0].unused == {"hint": 2, "note": 1}
    assert "note: rows.jsonl: not used: hint (2 rows), note (1 row)" in repr(rows)
    rows = written(
        write, {"messages": [{**says("腰疼吗")[0], "aside": "低声"}, says("", "有一点")[1]]}
    )
    assert rows.sources[0].unused == {"aside of a message": 1}


def test_functions_pictures_and_tools_of_a_system_message(write):
    rows = written(write, {"messages": says("腰疼吗", "有一点"), "functions": TOOLS})
    assert "查剂量" in rows[0].parsed.tools
    system = {"role": "system", "content": "你是医生", "tools": TOOLS}
    rows = written(write, {"messages": [system, *says("腰疼吗", "有一点")]})
    assert (rows[0].system, "查剂量" in rows[0].parsed.tools) == ("你是医生", True)
    rows = written(write, {"image": "a.jpg", "conversations": says("<image>腰疼吗", "有一点")})
    assert rows[0].value["images"] == ["a.jpg"]
    assert rows.shape.columns["images"] == "images"


def test_weight_zero_is_told_and_drops_a_row_without_another_answer(write):
    def weighed(*weights):
        talk = says("腰疼吗", "有一点", "多久了", "两周")
        return {
            "messages": [
                {**talk[at], "weight": w} if w is not None else talk[at]
                for at, w in enumerate(weights)
            ]
        }

    rows = written(
        write, weighed(None, 0, None, 1), weighed(None, 0, None, 0), weighed(None, 1, None, 1)
    )
    assert [row.flaw for row in rows] == ["", "weight_0", ""]
    assert rows.sources[0].changes == {
        "weight 0 on an answer, which LLaMA-Factory learns all the same": 1
    }


# Rows of other layouts


def test_rows_of_another_layout_are_written_like_the_others(write):
    rows = written(
        write,
        *[{"instruction": f"问{at}", "input": "", "output": f"答{at}"} for at in range(4)],
        {"question": "腰疼吗", "answer": "有一点"},
        {"messages": says("腰疼吗", "有一点", "多久了", "两周")},
        {"标题": "新闻", "正文": "今天"},
        {"instruction": "空的", "input": "", "output": ""},
    )
    assert [row.flaw for row in rows] == [""] * 6 + ["other_keys", "empty_response"]
    assert [turns(row) for row in rows][4:6] == [[ASKED, SAID], [ASKED, SAID, *MORE]]
    assert rows[5].value == {
        "instruction": "多久了",
        "output": "两周",
        "history": [["腰疼吗", "有一点"]],
    }
    assert rows.shape.columns["history"] == "history"
    assert rows.sources[0].changes == {
        "rows of another layout (qa) written like the others": 1,
        "rows of another layout (sharegpt) written like the others": 1,
        "rows with other keys: 标题, 正文": 1,
    }


def test_other_capitals_and_other_roles_are_another_layout(write):
    good = {"conversations": says("腰疼吗", "有一点", roles=("human", "gpt"))}
    rows = written(
        write,
        good,
        good,
        {"Conversations": good["conversations"]},
        {"conversations": says("腰疼吗", "有一点")},
    )
    assert [turns(row) for row in rows] == [[ASKED, SAID]] * 4
    assert rows.flaws() == {}


# Verdicts


@pytest.mark.parametrize(
    ("good", "bad"),
    [("true", "false"), ("yes", "no"), (1, 0), ("1", "0"), ("good", "bad"), (True, False)],
)
def test_verdicts_are_read_as_what_they_plainly_are(write, good, bad):
    rows = written(
        write,
        *[
            {"prompt": "腰疼吗", "completion": "有一点", "label": label}
            for label in (good, bad, good)
        ],
        {"prompt": "腰疼吗", "completion": "不", "label": None},
        {"prompt": "腰疼吗", "completion": "嗯", "label": {"odd": 1}},
    )
    assert rows.shape.kind == "kto"
    assert [row.parsed.verdict for row in rows] == [True, False, True, None, None]
    assert [row.flaw for row in rows] == ["", "", "", "no_verdict", "no_verdict"]
    assert [row.value["label"] for row in rows][:3] == [True, False, True]


def test_a_label_of_classes_is_no_verdict(write):
    classes = [{"prompt": "腰疼吗", "completion": "有一点", "label": at} for at in range(6)]
    assert written(write, *classes).shape.kind == "sft"


def test_the_layout_that_explains_more_text_wins(write):
    row = {
        "question": "腰疼吗",
        "answer": "有",
        "query": "腰疼吗，请详细说",
        "response": "有一点，两周了",
    }
    assert written(write, row).sources[0].format == "query"
    assert formats()["query"].rank == formats()["qa"].rank
