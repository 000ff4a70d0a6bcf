"""Rows whose layout is a table: which of their keys is which of LLaMA-Factory's columns.

One line a layout. A row is read and emitted as it is; the entry in dataset_info.json says which key
is which. Keys that are not named here stay in the row. Only a thought before the answer, which no
entry could name, is put into the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from curate.data.canonical import tools_of
from curate.data.formats import KEYS_ALONE, ONE_TEXT, OWN_KEYS, Format, keys_of, kto_column, mostly
from curate.data.row_keys import (
    ASKED,
    CONTEXTS,
    EMPTY_CELLS,
    SAYS_NOTHING,
    SYSTEMS,
    TOOLS_AS_TEXT,
    folded,
    leaves,
    texts_in,
    thoughts_among,
    with_thought,
)
from curate.data.schema import MEDIA, Converted, Shape

# What may stand beside prompt and response, under LLaMA-Factory's own names.
_BESIDE = {column: column for column in ("system", "history", "tools", *MEDIA)}


Row = dict[str, Any]
Step = Callable[[Row, Shape], tuple[Row, tuple[str, ...]]]  # to a row, and what was changed


def tools_as_text(row: Row, shape: Shape) -> tuple[Row, tuple[str, ...]]:
    """Put descriptions of tools as text, the one way LLaMA-Factory has them."""
    descriptions = shape.value(row, "tools")
    tools = tools_of(descriptions)
    if not tools or tools == descriptions:
        return row, ()
    return row | {shape.columns["tools"]: tools}, (TOOLS_AS_TEXT,)


def texts_of_lists(row: Row, shape: Shape) -> tuple[Row, tuple[str, ...]]:
    """Put texts for lists of them: of wordings and answers the first, of a context all parts."""
    changes: tuple[str, ...] = ()
    for column in ("prompt", "query", "response"):
        inner = shape.value(row, column)
        if not inner or isinstance(inner, str):
            continue
        parts = list(texts_in(inner)) if isinstance(inner, list | dict) else []
        if not parts or not all(isinstance(part, str) for part in parts):
            continue
        key = shape.columns[column]
        row = row | {key: "\n".join(parts) if column == "query" else parts[0]}
        if len(parts) > 1 and column != "query":
            changes += (f"the first of several texts of '{key}' taken",)
    return row, changes


def thought_first(row: Row, shape: Shape) -> tuple[Row, tuple[str, ...]]:
    """Put what was thought before its answer, as LLaMA-Factory's templates do."""
    for name in thoughts_among(tuple(row)):
        thought, answer = row[name], shape.value(row, "response")
        if name in shape.columns.values() or not isinstance(thought, str):
            continue
        if isinstance(answer, str) and answer.strip():
            joined, key = with_thought(thought, answer), shape.columns["response"]
            if joined != answer:
                row = {k: joined if k == key else v for k, v in row.items() if k != name}
                return row, (f"'{name}' put before '{key}' as a thought",)
    return row, ()


def without_empty_words(row: Row, shape: Shape) -> tuple[Row, tuple[str, ...]]:
    """Put nothing for the word of an empty cell; None may be an answer, and is no question."""
    changes: tuple[str, ...] = ()
    for column in ("query", "system", "prompt", "response", "chosen", "rejected"):
        word = shape.value(row, column)
        words = SAYS_NOTHING if column in ("query", "system") else EMPTY_CELLS
        if isinstance(word, str) and word in words:
            key = shape.columns[column]
            row, changes = row | {key: ""}, (*changes, f"{word!r} as '{key}' taken for nothing")
    return row, changes


class Layout(NamedTuple):
    """A line of the table; columns are LLaMA-Factory's, each with the names a key may have."""

    name: str
    title: str
    columns: Mapping[str, str]  # what a row has: names in small letters, a space between them
    optional: Mapping[str, str] = _BESIDE  # what a row may lack
    needs: tuple[str, ...] = ()  # optional columns that most rows have all the same
    pair: tuple[str, ...] = ()  # keys of two responses to compare, which may stand for `needs`
    rank: int = KEYS_ALONE
    steps: tuple[Step, ...] = (texts_of_lists, without_empty_words, tools_as_text, thought_first)
    keys: str = ""  # for people; '' for those of `columns`


_ANSWERS = (
    "answer response output completion solution target answers long_answer final_answer reply "
    "generation best_answer expected_answer generated_answer answer_text answertext 回答 答案 答复 "
    "回复 输出 回答内容 医生回答 标准答案 答覆 回覆 解答 답변 대답 respuesta réponse reponse "
    "antwort ответ resposta risposta câu_trả_lời trả_lời جواب إجابة उत्तर"
)
_QUESTIONS = (
    "question problem ask 问题 提问 q question_text questiontext user_question qtext 提问内容 "
    "用户问题 问题描述 标准问 問題 質問 提問 질문 pregunta frage вопрос pergunta domanda câu_hỏi "
    "سؤال प्रश्न"
)
_ASKS = " ".join(ASKED)

LAYOUTS = (
    Layout("alpaca", "", {"prompt": "instruction"},
           optional={"query": "input", "response": "output", **_BESIDE}, needs=("response",),
           pair=("chosen", "rejected"), rank=OWN_KEYS,
           steps=(without_empty_words, tools_as_text, thought_first),
           keys="instruction, output and perhaps input, system, history"),
    Layout("pretraining", "", {"prompt": "text"}, optional={}, rank=ONE_TEXT, steps=()),
    Layout("qa", "question and answer",
           {"prompt": _QUESTIONS, "response": f"{_ANSWERS} a"}),
    Layout("qas", "questions and answers", {"prompt": "questions", "response": "answers"}),
    Layout("wenda", "问 and 答", {"prompt": "问", "response": "答"}),
    Layout("query", "query and response",
           {"prompt": "query user_query user_input user_message request",
            "response": "response answer output completion reply model_output model_response "
                        "assistant_message"}),
    Layout("prompt", "prompt and response",
           {"prompt": "prompt 提示 prompt_text",
            "response": "response answer output target reply generation response_text 回答"}),
    Layout("completion", "prompt and completion", {"prompt": "prompt", "response": "completion"}),
    Layout("dolly", "instruction and response",
           {"prompt": "instruction 指令 指示 task",
            "response": "response answer completion target reply 回答 输出"}),
    Layout("io", "input and output",
           {"prompt": "input inputs 输入 input_text 輸入 입력 入力",
            "response": "output response answer content outputs 输出 output_text 輸出 출력 出力"}),
    Layout("firefly", "firefly", {"prompt": "input inputs", "response": "target targets"}),
    Layout("speakers", "one key a speaker",
           {"prompt": "human user patient 患者 病人 用户 client customer",
            "response": "assistant gpt bot doctor 医生 助手 answer ai chatbot agent 客服"}),
    Layout("context", "context and response",
           {"prompt": "context", "response": "response completion"}),
    Layout("reward", "question and two responses",
           {"prompt": _ASKS, "chosen": "response_chosen", "rejected": "response_rejected"}),
    Layout("preference", "prompt and two responses",
           {"prompt": _ASKS,
            "chosen": "chosen accepted win good better preferred 好回答",
            "rejected": "rejected lose bad worse dispreferred 差回答"}),
    Layout("coachlm", "CoachLM's expert revisions",
           {"prompt": "raw_instruction", "chosen": "revised_response", "rejected": "raw_response"},
           optional={"query": "raw_input"}, steps=()),
    Layout("comet", "src, pos and neg", {"prompt": "src", "chosen": "pos", "rejected": "neg"}),
    Layout("responses", "a chosen and a rejected response",
           {"prompt": _ASKS, "chosen": "chosen_response", "rejected": "rejected_response"}),
    Layout("swift", "a response and a rejected one",
           {"prompt": _ASKS, "chosen": "response output answer", "rejected": "rejected_response"}),
    Layout("stack", "responses j and k",
           {"prompt": _ASKS, "chosen": "response_j", "rejected": "response_k"}),
)  # fmt: skip


def key_of(names: str, keys: Mapping[str, str], samples: list[Row]) -> str:
    """Return the key of most rows that has one of some names; of several that with most text."""
    known = [keys[name] for name in names.split() if name in keys]
    known = [key for key in known if mostly(samples, key)]
    if len(known) < 2:
        return known[0] if known else ""
    sizes = [sum(len(leaf) for row in samples for leaf in leaves(row.get(key))) for key in known]
    return known[sizes.index(max(sizes))]


def beside(columns: Iterable[str], keys: Mapping[str, str]) -> dict[str, str]:
    """Return the optional columns that rows have, whatever their names for a system prompt."""
    names = {column: SYSTEMS if column == "system" else (column,) for column in columns}
    present = {column: [keys[n] for n in known if n in keys] for column, known in names.items()}
    return {column: matches[0] for column, matches in present.items() if matches}


def _in_steps(steps: tuple[Step, ...], row: Row, shape: Shape) -> Converted:
    changes: tuple[str, ...] = ()
    for step in steps:
        row, step_changes = step(row, shape)
        changes += step_changes
    return Converted(row, changes)


def _detect(layout: Layout, samples: list[Row]) -> Shape | None:
    keys = keys_of(samples)
    columns = {column: key_of(names, keys, samples) for column, names in layout.columns.items()}
    if not all(columns.values()) or not mostly(samples, *columns.values()):
        return None
    optional = {column: keys[name] for column, name in layout.optional.items() if name in keys}
    optional |= beside([column for column in _BESIDE if column in layout.optional], keys)
    pair = {name: keys[name] for name in layout.pair if name in keys}
    if not pair or len(pair) < len(layout.pair) or not mostly(samples, *pair.values()):
        pair = {}
        needed = [optional.get(column, "") for column in layout.needs]
        if not all(needed) or not mostly(samples, *needed):
            return None
    if "query" not in layout.optional and layout.optional:
        having = [row for row in samples if not {*CONTEXTS}.isdisjoint(map(folded, row))]
        context = key_of(" ".join(CONTEXTS), keys, having)
        if context and context not in columns.values():
            columns["query"] = context
    ranking = bool(pair) or "chosen" in columns
    # A bare text has no response that a verdict could be on, nor has a pair of them.
    verdict = {} if layout.rank == ONE_TEXT or ranking else kto_column(samples)
    return Shape(layout.name, "alpaca", {**optional, **verdict, **pair, **columns}, ranking=ranking)


FORMATS = tuple(
    Format(
        name=layout.name,
        keys=layout.keys or ", ".join(names.split()[0] for names in layout.columns.values()),
        rank=layout.rank,
        detect=partial(_detect, layout),
        convert=partial(_in_steps, layout.steps),
        optional=layout.optional,
        title=layout.title,
        as_is=True,
    )
    for layout in LAYOUTS
)
