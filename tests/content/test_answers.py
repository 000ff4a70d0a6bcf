"""What is wrong with an answer: by hand, against slow versions, and what is right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.content import answers

ADVICE = "高血压患者可以适量吃柚子，但正在服用地平类降压药的人应避免同食。" * 2


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("抱歉，我无法回答这个问题。", True),
        ("对不起，作为AI语言模型，我不能提供医疗建议。请咨询医生。", True),
        ("I'm sorry, but I can't assist with that request.", True),
        ("As an AI language model, I cannot provide medical advice.", True),
        ("抱歉让您久等。" + ADVICE, False),
        ("建议及时就医，我们无法在线确诊，先查血常规。" + ADVICE + ADVICE, False),
        (ADVICE + "对不起，其余的我不能回答。", True),
        (ADVICE + ADVICE + "对不起，其余的我不能回答。", False),
        ("夜间无法入睡的患者可以服用褪黑素。", False),
        ("", False),
    ],
)
def test_refusals(answer, wrong):
    assert answers.refuses(answer) is wrong


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("作为一个人工智能助手，我很乐意解释。" + ADVICE, True),
        ("我只是一个AI语言模型，没有身体。", True),
        ("As a large language model, I think so.", True),
        ("作为人工智能的一个分支，机器学习研究算法。", False),
        ("I'm an AI engineer.", False),
        (ADVICE, False),
    ],
)
def test_who_speaks_as_ai(answer, wrong):
    assert answers.speaks_as_ai(answer) is wrong


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("建议多喝水，", True),
        ("步骤如下：\n1. 多喝水\n2.", True),
        ("多休息。少吃盐。如果血压仍高，应", True),
        ("多休息。少吃盐。必要时服药（如氨氯地平", True),
        ("<think>先看血压", True),
        ("```python\nprint(1)", True),
        ("Rest. Drink water. Then you should", True),
        ("Rest. Drink water. Then see a doctor.", False),
        ("多休息。少吃盐。祝早日康复", False),
        ("- 多喝水\n- 少吃盐", False),
        ("可以的", False),
        ("<think>先看血压</think>可以。", False),
        ("```python\nprint(1)\n```", False),
        ("", False),
    ],
)
def test_cut_answers(answer, wrong):
    assert answers.is_cut(answer) is wrong


def slow_loop(text):
    for start in range(len(text)):
        for period in range(1, len(text) // 4 + 1):
            loop = text[start : start + max(24, 4 * period)]
            again = all(one == other for one, other in zip(loop, loop[period:], strict=False))
            if len(loop) >= max(24, 4 * period) and again and any(map(str.isalpha, loop)):
                return True
    return False


@given(st.text("ab1", min_size=1, max_size=9), st.integers(1, 30), st.text("abc1", max_size=30))
def test_loops_as_a_slow_version_finds_them(unit, times, more):
    text = more[:5] + unit * times + more
    assert answers.loops(text) == slow_loop(text)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("多喝水。" * 6, True),
        ("多喝水。" * 5, False),  # 20 characters
        ("注意休息，按时服药。每天测量一次血压。\n" * 4, True),
        ("-" * 80 + "\n" + "1 " * 40, False),
        ("按时服药，每天早上测血压。可以吃水果。按时服药，每天早上测血压。也吃青菜。" * 2, True),
        (ADVICE, False),
    ],
)
def test_loops(answer, wrong):
    assert answers.loops(answer) is wrong


def longest_run(prompt, answer):
    best = 0
    for start in range(len(answer)):
        while answer[start : start + best + 1] in prompt and start + best < len(answer):
            best += 1
    return best


@given(
    st.text("一二", max_size=60), st.text("一二三", min_size=20, max_size=40), st.integers(0, 40)
)
def test_copies_as_a_slow_version_finds_them(before, answer, size):
    prompt = before + answer[:size] + before[::-1]
    wrong = longest_run(prompt.strip(), answer) > 0.6 * len(answer)
    assert answers.copies(prompt, answer) is wrong


def test_short_copies_and_copies_that_were_asked_for():
    assert answers.copies("高血压能吃柚子吗？", "高血压能吃柚子吗")
    assert not answers.copies("高血压能吃柚子吗？", "能")
    sentence = "她昨天去了公司，并且在那里工作了整整三年的时间。"
    assert not answers.copies(f"改正错别字：{sentence}", sentence)
    assert answers.copies(f"这是什么：{sentence}", sentence)


@pytest.mark.parametrize(
    ("prompt", "answer", "wrong"),
    [
        ("高血压能吃柚子吗？", "You can eat some pomelo but do ask your doctor.", True),
        ("把这句话翻译成英文", "You can eat some pomelo but do ask your doctor.", False),
        ("高血压能吃柚子吗？", "CT、MRI、BP", False),
        ("Can I eat pomelo with high blood pressure?", "可以适量吃柚子。", True),
        ("Translate into Chinese: hello world again", "你好，世界。", False),
        ("高血压能吃柚子吗？", "ザボンを食べても大丈夫ですが医師に相談してください", True),
    ],
)
def test_another_language(prompt, answer, wrong):
    assert answers.in_another_language(prompt, answer) is wrong


def test_traditional_characters():
    assert answers.is_traditional("應查一下幽門螺杆菌，還應做胃鏡，確診了就好治療了")
    assert not answers.is_traditional("应查一下幽门螺杆菌，还应做胃镜，确诊了就好治疗了")
    assert not answers.is_traditional("患者名叫於玫，" + ADVICE)


@pytest.mark.parametrize(
    ("prompt", "answer", "wrong"),
    [
        ("高血压吃什么好？", "根据参考资料，高血压患者应低盐饮食。", True),
        ("高血压吃什么好？", "文中提到，高血压患者应低盐饮食。", True),
        ("如图3所示的病变是什么？", "是肝囊肿。", True),
        ("本章讨论了哪些并发症？", "肾病。", True),
        ("What is AIDS?", "According to the provided context, it is a disease.", True),
        ("总结文章：" + ADVICE * 2, "文章中提到，高血压患者可以适量吃柚子。", False),
        ("高血压吃什么好？", "根据您的描述，建议低盐饮食。有文献报道钾有益。", False),
    ],
)
def test_sources_that_are_not_there(prompt, answer, wrong):
    assert answers.mentions_source(prompt, answer) is wrong
