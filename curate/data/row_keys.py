"""Keys of rows by name: which belong to the answer or the prompt, which hold text not used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from curate.data.schema import Parsed

# What a model thought before its answer.
_THOUGHT_NAMES = (
    "reasoning_content reasoning complex_cot complexcot thinking thinking_content think thought "
    "thoughts cot chain_of_thought reasoning_process reasoning_details"
)
_THOUGHTS = frozenset(_THOUGHT_NAMES.split())
SYSTEMS = (
    *("system", "system_prompt", "systemprompt", "sys", "meta_instruction", "system_message"),
    *("system_instruction", "systeminstruction", "系统提示"),
)
# What is asked, in most files.
ASKED = ("prompt", "question", "instruction", "query", "input", "problem", "问题", "提问")
# What a question is about.
CONTEXTS = (
    *("context", "contexts", "passage", "input", "document", "article", "paragraph"),
    *("background", "材料", "上下文", "背景"),
)
# Words of keys that tell about a row and are no part of what it says: the last word counts.
_ABOUT_NAMES = (
    "id ids uuid guid idx index no num number hash md5 sha sha256 count counts length len size "
    "tokens score scores rating ratings rank ranking level difficulty grade quality ppl loss ifd "
    "reward weight prob probability confidence source sources src dataset origin from url urls "
    "link links href path file filename page license licence author annotator labeler model "
    "generator engine version date time datetime timestamp at year month lang language languages "
    "locale task tasks type types kind class category categories cate cat cat1 cat2 subcategory "
    "label labels tag tags topic topics subject subjects domain domains field area department "
    "dept section specialty split subset set status state flag format name gender sex age country "
    "region meta metadata info redacted recipient idxs 科室 来源 类别 类型 分类 标签 "
    "编号 序号 日期 时间 链接 难度 年份 性别 年龄"
)
_ABOUT = frozenset(_ABOUT_NAMES.split())
# Keys of objects that stand for a text: of system prompts, SQuAD's answers, PubMedQA's contexts.
_HOLDERS = ("content", "parts", "text", "contexts", "answer_text", "answer")
_NUMBERED = re.compile(r"\d+$")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+\d*|\d+")
_LETTER = re.compile(r"[^\W\d_]")
# A run is searched from its beginning alone: from each of its characters may take hours.
_EDGES = re.compile(r"\A\W+|(?<!\W)\W+\Z")
_NOTE = re.compile(r"(?<=\w) ?[(（][^()（）]*[)）]\s*\Z")  # response (content)
_THINK = re.compile(r"\A\s*<think>|</think>\s*\Z")
# Columns under names that LLaMA-Factory does not know.
_NAMES = {
    "tools": "functions",
    "images": "image image_path image_paths img img_path picture pictures image_url image_urls",
    "videos": "video video_path video_paths video_url",
    "audios": "audio audio_path audio_paths audio_url",
    "history": "chat_history conversation_history dialogue_history dialog_history",
}
RENAMED = {name: column for column, names in _NAMES.items() for name in names.split()}
# What pandas and others write for a cell that is empty.
EMPTY_CELLS = frozenset({"nan", "NaN", "NAN", "<NA>", "NaT"})
SAYS_NOTHING = EMPTY_CELLS | {
    *("None", "none", "null", "NULL", "N/A", "n/a", "undefined"),
    *("<noinput>", "<no input>", "noinput", "Noinput", "<Noinput>"),
}
# No word stands for two roles, so tags that are guessed never collide with tags that were seen.
_ROLE_WORDS = {
    "user": "human user prompter 用户 patient 患者 病人 customer client usr 提问者 问 utilisateur "
    "usuario",
    "assistant": "gpt assistant bot model 助手 ai doctor 医生 大夫 agent chatbot 客服 回答者 答 "
    "assistente",
    "observation": "observation tool tool_response tool_result ipython",
    "function": "function_call function tool_call",
    "system": "system",
}
WORDS = {role: words.split() for role, words in _ROLE_WORDS.items()}
ROLES = {word: role for role, words in WORDS.items() for word in words}
WHO = ("from", "role", "speaker", "sender", "author")
TEXTS = ("value", "content", "text", "message", "parts", "sentence")
_WHO = frozenset(WHO) - {"author"}
TOOLS_AS_TEXT = "descriptions of tools written as text"


@lru_cache(maxsize=4096)
def folded(key: str) -> str:
    """Return a key in small letters, for which it is looked up, without a note in brackets."""
    return _NOTE.sub("", key).strip().lower().replace(" ", "_")


@lru_cache(maxsize=256)
def names_of(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the name of each key, with its note where another key has the same without."""
    times = Counter(map(folded, keys))
    return tuple(
        name if times[name := folded(key)] == 1 else key.strip().lower().replace(" ", "_")
        for key in keys
    )


def in_small_letters(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a row by their folded names; of several the first that holds something."""
    keys: dict[str, str] = {}
    for key, name in zip(row, names_of(tuple(row)), strict=True):
        if name not in keys or row[keys[name]] in (None, "", [], {}):
            keys[name] = key
    return keys


def folded_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[key] for name, key in in_small_letters(row).items()}


def is_thought(key: str) -> bool:
    """Tell whether a key holds what was thought before an answer."""
    return folded(key) in _THOUGHTS


@lru_cache(maxsize=4096)
def thoughts_among(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some keys that hold what was thought before an answer."""
    return tuple(key for key in keys if is_thought(key))


@lru_cache(maxsize=4096)
def is_about(key: str) -> bool:
    """Tell whether a key plainly tells about a row: ids, sources, categories, numbers."""
    words = [word.lower() for word in _WORDS.findall(key)] or [""]
    last = _NUMBERED.sub("", words[-1]) or (words[-2] if len(words) > 1 else "")
    return last in _ABOUT or words[0] in ("score", "num", "is", "has") or not key.strip()


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)


def texts_in(value: Any) -> Iterator[Any]:
    """Yield what a list holds, or an object that has texts or parts under one of a few names."""
    if isinstance(value, dict):
        value = next((value[name] for name in _HOLDERS if name in value), None)
    for part in value if isinstance(value, list) else [value]:
        yield from texts_in(part) if isinstance(part, dict | list) else (part,)


def holds_text(value: Any) -> bool:
    """Tell whether a value holds a text with at least one letter."""
    if isinstance(value, str):
        return _LETTER.search(value) is not None
    return isinstance(value, dict | list) and any(_LETTER.search(leaf) for leaf in leaves(value))


@lru_cache(maxsize=4096)
def have_others(keys: tuple[str, ...], used: frozenset[str]) -> bool:
    """Tell whether some keys may hold text that is not used."""
    return any(key not in used and not is_about(key) for key in keys)


def unused_keys(row: dict[str, Any], used: Collection[str], parsed: Parsed) -> list[str]:
    """Return the keys that hold text which is no part of what the row says."""
    if not have_others(tuple(row), used if isinstance(used, frozenset) else frozenset(used)):
        return []
    keys = [
        key
        for key, value in row.items()
        if key not in used and value and not is_about(key) and holds_text(value)
    ]
    if not keys:
        return keys
    whole = "\n".join(parsed.texts)
    return [
        key for key in keys if not all(_EDGES.sub("", leaf) in whole for leaf in leaves(row[key]))
    ]


def with_thought(thought: str, answer: str) -> str:
    """Return an answer behind the thought, framed as LLaMA-Factory's templates frame it."""
    if "<think>" in answer or not thought.strip():
        return answer
    return f"<think>\n{_THINK.sub('', thought).strip()}\n</think>\n\n{answer.lstrip()}"


def are_messages(value: Any) -> bool:
    """Tell whether a value is a list of messages: objects with a role, and a text or a call."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, dict) and not _WHO.isdisjoint(item) for item in value)
