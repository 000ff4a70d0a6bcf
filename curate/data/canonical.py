"""From a row to what it says, with the first flaw that it has, and back to a row.

`parse` goes by the shape of a file: LLaMA-Factory's two converters, and `text` for pre-training.
Rows are emitted as they were read. Only what joins files of several shapes, or repairs a file,
writes rows anew, mostly in the shape that can say everything: LLaMA-Factory's sharegpt.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from curate.data.ends_training import flaw_of
from curate.data.json_values import read_text
from curate.data.schema import CANONICAL_TAGS, MEDIA, ROLES, Kind, Parsed, Shape, Turn, is_blank

_ASKS = ("user", "observation")
_ANSWERS = ("assistant", "function")
_COLUMNS = {"messages": "conversations", "system": "system", "tools": "tools"}
# What a user calls a column that a layout lacks.
_NAMES = {
    "history": "earlier turns",
    "response": "a response",
    "chosen": "two responses to compare",
    "rejected": "two responses to compare",
    "kto_tag": "a verdict",
    "system": "a system prompt",
}
_GOOD = (
    "true 1 1.0 +1 yes good desirable accepted like liked thumbs_up up upvote correct 👍 是 好 对 "
    "正确 赞"
)
_BAD = (
    "false 0 0.0 -1 -1.0 no bad undesirable rejected dislike disliked thumbs_down down downvote "
    "incorrect wrong 👎 否 差 错 错误 不好 踩"
)
_VERDICTS = {**dict.fromkeys(_GOOD.split(), True), **dict.fromkeys(_BAD.split(), False)}
_MORE: dict[Kind, tuple[str, ...]] = {"preference": ("chosen", "rejected"), "kto": ("kto_tag",)}


def text_of(value: Any) -> str | None:
    """Return a field as text: '' for a missing one, None for one that is no text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else None


def tools_of(value: Any) -> str:
    """Return descriptions of tools as text, one way, whatever way the file has them."""
    if not value:
        return ""
    original = tools = read_text(value, python=True)
    if isinstance(tools, dict):  # one description, or each under its name
        whole = "name" in tools or "function" in tools
        tools = [tools] if whole else list(tools.values())
    if isinstance(tools, list):
        items = [read_text(tool, python=True) for tool in tools]
        tools = [_renamed(tool) if isinstance(tool, dict) else tool for tool in items]
    as_it_is = tools == original and (original == value or read_text(value) is not value)
    if isinstance(value, str) and as_it_is:
        return value
    return json.dumps(tools, ensure_ascii=False)


def _renamed(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a description with its parameters under the one name that LLaMA-Factory reads."""
    if isinstance(schema := tool.get("input_schema"), dict) and "parameters" not in tool:
        rest = {key: inner for key, inner in tool.items() if key != "input_schema"}
        return {**rest, "parameters": schema}
    return tool


def read_verdict(value: Any) -> bool | None:
    """Return what a verdict plainly says, None for one that says nothing."""
    if isinstance(value, int | float | str):
        return _VERDICTS.get(str(value).strip().lower().replace(" ", "_"))
    return None


def verdict_of(value: dict[str, Any], shape: Shape) -> bool | None:
    verdict = shape.value(value, "kto_tag")
    return verdict if isinstance(verdict, bool) else None


def parse(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return the canonical view of a row; a flawed row is told by its flaw, never raised."""
    if shape.formatting == "sharegpt":
        parsed = _of_messages(value, shape)
    elif shape.kind == "pretraining":  # the one turn of a user, where LLaMA-Factory wants the text
        text = text_of(value.get(shape.columns["prompt"]))
        if text is None:
            return Parsed(flaw="not_text")
        return Parsed(turns=(Turn("user", text),), flaw="empty_text" if is_blank(text) else "")
    else:
        parsed = _of_fields(value, shape)
    if parsed.verdict is None and "kto_tag" in shape.columns and not parsed.flaw:
        return parsed._replace(flaw="no_verdict")
    return parsed


def _of_fields(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return what alpaca's fields say; prompt and query are joined as LLaMA-Factory joins them."""
    fields = {column: value.get(key) for column, key in shape.columns.items()}
    answers = ("chosen", "rejected") if shape.ranking else ("response",)
    texts: dict[str, str] = {}
    for column in ("prompt", "query", "system", *answers):
        text = fields.get(column)
        if text is not None and not isinstance(text, str):
            return Parsed(flaw="not_text")
        texts[column] = text or ""
    turns = _history(fields.get("history"))
    if turns is None:
        return Parsed(flaw="bad_history")
    prompt, query = texts["prompt"], texts["query"]
    prompt = f"{prompt}\n{query}" if prompt and query else prompt or query
    turns.append(Turn("user", prompt))
    if not shape.ranking:
        turns.append(Turn("assistant", texts["response"]))
    answered = not any(is_blank(texts[column]) for column in answers)
    view = Parsed(
        system=texts["system"],
        turns=tuple(turns),
        input=query,
        chosen=texts.get("chosen"),
        rejected=texts.get("rejected"),
        tools=tools_of(fields.get("tools")),
        verdict=verdict_of(value, shape),
        flaw="empty_response" if not answered else "empty_prompt" if is_blank(prompt) else "",
    )
    flaw = view.flaw or flaw_of(view, fields)
    return view._replace(flaw=flaw) if flaw else view


def _history(value: Any) -> list[Turn] | None:
    """Return earlier exchanges as turns, None if they are not pairs of texts."""
    turns: list[Turn] = []
    if value is None or value == "":  # what an empty cell of a CSV is
        return turns
    if not isinstance(value, list):
        return None
    for pair in value:
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            return None
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return turns


def _of_messages(value: dict[str, Any], shape: Shape) -> Parsed:
    tags, fields = shape.tags, {column: value.get(key) for column, key in shape.columns.items()}
    messages, outer = fields["messages"], text_of(fields.get("system"))
    if not isinstance(messages, list | None) or outer is None:
        return Parsed(flaw="not_text")
    turns, flaw, has_null = _turns(messages or [], tags)
    if flaw:
        return Parsed(flaw=flaw)
    # As in LLaMA-Factory, a system message wins over a system column.
    system = turns.pop(0).content if turns and turns[0].role == "system" else outer
    chosen = rejected = None
    calls: list[str] = []
    if shape.ranking:
        responses = [fields.get("chosen"), fields.get("rejected")]
        chosen, rejected = (
            text_of(response.get(tags["content_tag"]) if isinstance(response, dict) else response)
            for response in responses
        )
        if chosen is None or rejected is None:
            return Parsed(flaw="not_text")
        # By its role a response has to be one: LLaMA-Factory ends with a KeyError.
        answers = [tags[f"{role}_tag"] for role in _ANSWERS]
        named = [response for response in responses if isinstance(response, dict)]
        if not all(response.get(tags["role_tag"]) in answers for response in named):
            return Parsed(flaw="unknown_role")
        function = tags["function_tag"]
        calls = [
            each[tags["content_tag"]] or "" for each in named if each[tags["role_tag"]] == function
        ]
    view = Parsed(
        system=system,
        turns=tuple(turns),
        chosen=chosen,
        rejected=rejected,
        tools=tools_of(fields.get("tools")),
        verdict=verdict_of(value, shape),
    )
    flaw = _flaw_of_turns(view) or ("not_text" if has_null else "") or flaw_of(view, fields, calls)
    return view._replace(flaw=flaw) if flaw else view


def _turns(messages: list[Any], tags: Mapping[str, str]) -> tuple[list[Turn], str, bool]:
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    roles = {tags[f"{role}_tag"]: role for role in ROLES if tags[f"{role}_tag"]}
    turns, has_null = [], False
    for message in messages:
        word = message.get(role_tag) if isinstance(message, dict) else None
        content = message.get(content_tag) if isinstance(word, str) else 0
        if not isinstance(word, str) or not isinstance(content, str | None):
            return [], "not_text", has_null
        if word not in roles:
            return [], "unknown_role", has_null
        has_null = has_null or content is None
        turns.append(Turn(roles[word], content or ""))
    return turns, "", has_null


def _flaw_of_turns(view: Parsed) -> str:
    answers: Sequence[str | None] = [view.chosen, view.rejected]
    if view.chosen is None:
        answers = [turn.content for turn in view.turns if turn.role == "assistant"][-1:]
    if not answers and view.turns and view.turns[-1].role == "function":
        answers = [view.turns[-1].content]
    if not answers or any(is_blank(answer or "") for answer in answers):
        return "empty_response"
    if all(is_blank(turn.content) for turn in view.turns if turn.role in _ASKS):
        return "empty_prompt"
    odd = len(view.turns) % 2
    in_turn = all(
        turn.role in (_ANSWERS if place % 2 else _ASKS) for place, turn in enumerate(view.turns)
    )
    return "" if in_turn and odd == (view.chosen is not None) else "bad_turn_order"


def canonical_shape(kind: Kind, media: Collection[str] = ()) -> Shape:
    """Return the shape that can say everything: LLaMA-Factory's sharegpt, `text` for texts."""
    if kind == "pretraining":
        return Shape("pretraining", "alpaca", {"prompt": "text"})
    more = (*_MORE.get(kind, ()), *(name for name in MEDIA if name in media))
    columns = {**_COLUMNS, **{name: name for name in more}}
    return Shape("sharegpt", "sharegpt", columns, dict(CANONICAL_TAGS), kind == "preference")


def canonical_row(
    parsed: Parsed, value: dict[str, Any], shape: Shape, own: Shape
) -> dict[str, Any]:
    """Return a row of `shape` that says what a view says; ValueError names what has no place."""
    row: dict[str, Any] = {}
    write = _as_messages if shape.formatting == "sharegpt" else _as_fields
    fields = {"system": parsed.system, "tools": parsed.tools, **write(row, parsed, shape)}
    if parsed.verdict is not None or shape.kind == "kto":
        fields["kto_tag"] = parsed.verdict
    fields |= {name: own.value(value, name) or [] for name in MEDIA}
    for column, part in fields.items():
        if column in shape.columns:
            row[shape.columns[column]] = part
        elif part not in (None, "", []):
            raise ValueError(_NAMES.get(column, column))
    return row


def _as_messages(row: dict[str, Any], parsed: Parsed, shape: Shape) -> dict[str, Any]:
    """Put the turns into a row; return what else has to be said, by LLaMA-Factory's column."""
    turns = [message(turn.role, turn.content, shape.tags) for turn in parsed.turns]
    more: dict[str, Any] = {}
    if "system" not in shape.columns:
        more["system"] = ""
        turns[:0] = [message("system", parsed.system, shape.tags)] if parsed.system else []
    row[shape.columns["messages"]] = turns
    if parsed.chosen is not None:
        more["chosen"] = message("assistant", parsed.chosen, shape.tags)
        more["rejected"] = message("assistant", parsed.rejected or "", shape.tags)
    return more


def _as_fields(row: dict[str, Any], parsed: Parsed, shape: Shape) -> dict[str, Any]:
    turns = list(parsed.turns)
    if shape.kind == "pretraining":
        row[shape.columns["prompt"]] = turns[0].content
        return {"response": "\n\n".join(turn.content for turn in turns[1:])}
    more: dict[str, Any] = {"chosen": parsed.chosen, "rejected": parsed.rejected}
    if parsed.chosen is None:
        more["response"] = turns.pop().content
    prompt = turns.pop().content
    if any(turn.role not in ("user", "assistant") for turn in parsed.turns):
        raise ValueError("calls of tools")
    # The other way round from joining prompt and query.
    if parsed.input and "query" in shape.columns and prompt.endswith(f"\n{parsed.input}"):
        prompt = prompt.removesuffix(f"\n{parsed.input}")
        more["query"] = parsed.input
    row[shape.columns["prompt"]] = prompt
    texts = [turn.content for turn in turns]
    more["history"] = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return more


def message(role: str, text: str, tags: Mapping[str, str] = CANONICAL_TAGS) -> dict[str, str]:
    """Return a message; without tags, in LLaMA-Factory's own words."""
    if not tags[f"{role}_tag"]:
        raise ValueError(f"messages of the {role}")
    return {tags["role_tag"]: tags[f"{role}_tag"], tags["content_tag"]: text}
