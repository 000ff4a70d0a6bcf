"""Lists of messages and earlier turns in other forms, as the one that formats read.

A message is an object with who speaks and a text; earlier turns are pairs of texts, as
LLaMA-Factory has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curate.data.formats.dialogues import utterance_of

# No word stands for two roles, so tags that are guessed never collide with tags that were seen.
WORDS = {
    "user": (
        *("human", "user", "prompter", "用户", "patient", "患者", "病人", "customer", "client"),
        *("usr", "提问者", "问", "utilisateur", "usuario"),
    ),
    "assistant": (
        *("gpt", "assistant", "bot", "model", "助手", "ai", "doctor", "医生", "大夫", "agent"),
        *("chatbot", "客服", "回答者", "答", "assistente"),
    ),
    "observation": ("observation", "tool", "tool_response", "tool_result", "ipython"),
    "function": ("function_call", "function", "tool_call"),
    "system": ("system",),
}
ROLES = {word: role for role, words in WORDS.items() for word in words}
WHO = ("from", "role", "speaker", "sender", "author")
TEXTS = ("value", "content", "text", "message", "parts", "sentence")
_ASKS = ("human", "user", "question", "query", "input", "instruction", "prompt", "问", "患者")
_ANSWERS = (
    *("assistant", "gpt", "bot", "answer", "response", "output", "答", "医生"),
    *("ai", "model", "doctor"),
)


def as_messages(value: Any, of_pairs: bool = False) -> list[dict[str, Any]] | None:
    """Return messages that are written in another form; None if they are in none that is known.

    `of_pairs`: they may be pairs of a question and its answer.
    """
    if isinstance(value, dict):  # a list of each key, as `datasets` has a list of records
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        even = len(lists) == len(value) > 1 and len({len(inner) for inner in lists}) == 1
        if even and _who(value) and _text_key(value):
            return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]
        return None
    if not isinstance(value, list) or not value:
        return None
    if _message(value[0]) is None:
        return _of_pairs(value) if of_pairs else None
    made = [_message(item) for item in value]
    whole = [message for message in made if message is not None]
    return whole if len(whole) == len(made) else None


def _of_pairs(value: list[Any]) -> list[dict[str, Any]] | None:
    if not all(isinstance(p, list) and [type(text) for text in p] == [str, str] for p in value):
        return None
    roles = ("user", "assistant")
    return [{"role": roles[at], "content": pair[at]} for pair in value for at in (0, 1)]


def _who(item: dict[str, Any]) -> str:
    return next((key for key in WHO if key in item), "")


def _text_key(item: dict[str, Any]) -> str:
    return next((key for key in TEXTS if key in item), "")


def _message(item: Any) -> dict[str, Any] | None:
    """Return [role, text], {role: text} and {author: {role}, content: {parts}} as a message."""
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
        known = item[0].lower() in ROLES
        return {"role": item[0], "content": item[1]} if known else None
    if not isinstance(item, dict):
        return None
    if len(item) == 1:
        ((word, text),) = item.items()
        return {"role": word, "content": text} if word.lower() in ROLES else None
    author, content = item.get("author"), item.get("content")
    if isinstance(author, dict) and isinstance(author.get("role"), str):
        parts = content.get("parts") if isinstance(content, dict) else content
        return {"role": author["role"], "content": parts}
    return None


def as_history(value: Any) -> list[list[str]] | None:
    """Return earlier turns as pairs; None if they are pairs of texts, or cannot be paired."""
    if not isinstance(value, list) or not value:
        return None
    pairs = list(_pairs_among(value))
    if any(len(pair) != 2 or not all(isinstance(text, str) for text in pair) for pair in pairs):
        return None
    kept = [pair for pair in pairs if pair[0].strip() or pair[1].strip()]
    return None if kept == value else kept


def _pairs_among(value: list[Any]) -> Iterator[list[Any]]:
    messages = as_messages(value) or value
    if all(isinstance(text, str) for text in value):
        said = [utterance_of(text) for text in value]
        named = [u.text for u in said if u]
        texts = named if len(named) == len(value) else value
        yield from (list(texts[at : at + 2]) for at in range(0, len(texts), 2))
    elif all(isinstance(item, dict) and _who(item) and _text_key(item) for item in messages):
        roles = [ROLES.get(str(item[_who(item)]).lower()) for item in messages]
        texts = [item[_text_key(item)] for item in messages]
        in_turn = roles == ["user", "assistant"] * (len(roles) // 2)
        for at in range(0, len(texts), 2):
            yield list(texts[at : at + 2]) if in_turn else []
    else:
        for item in value:
            yield _exchange(item) if isinstance(item, dict) else _texts(item)


def _exchange(item: dict[str, Any]) -> list[Any]:
    small = {key.strip().lower(): text for key, text in item.items()}
    return [small[name] for names in (_ASKS, _ANSWERS) for name in names if name in small]


def _texts(pair: Any) -> list[Any]:
    """Return a pair of texts; one that says nothing as two empty ones."""
    return pair if isinstance(pair, list) and any(pair) else ["", ""]
