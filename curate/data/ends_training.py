"""What of a row ends LLaMA-Factory's training whatever the model: calls, tools, pictures.

Reading flags such rows, so that no command emits them; the doctor tells it of rows that others
wrote. The formats are those of its default templates; thoughts may stand before a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from curate.data.schema import MEDIA, Parsed

MARKS = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}
_CALL = re.compile("<tool_call>(.*?)</tool_call>", re.DOTALL)
_THOUGHT = re.compile("<think>\n(.*?)\n</think>\n\n", re.DOTALL)
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def parts_of_call(content: str) -> tuple[str, Any]:
    """Return what stands beside a function call, and the call."""
    call = _CALL.search(content)
    if call:
        return content.replace(call[0], ""), json.loads(call[1])
    thought = _THOUGHT.search(content)
    if thought:
        return thought[0], json.loads(content.replace(thought[0], ""))
    return "", json.loads(content)


def wrong_call(content: str) -> str:
    """Return what reading a function call raises, '' if it has name and arguments."""
    try:
        _, calls = parts_of_call(content)
        for call in calls if isinstance(calls, list) else [calls]:
            json.dumps([call["name"], call["arguments"]])
    except _WRONG as problem:
        return f"{type(problem).__name__}: {problem}"[:80]
    return ""


def wrong_tools(text: str) -> str:
    """Return what reading descriptions of tools raises: all that a template touches is touched."""
    try:
        tools = json.loads(text)
        names = []
        for tool in tools if len(tools) else ():
            inner = tool.get("function", "") if tool.get("type") == "function" else tool
            parameters = inner["parameters"]
            for name, about in parameters["properties"].items():
                bool(name in parameters.get("required", []))
                ", ".join(about.get("enum", None) or ())
                if about.get("items", None):
                    about["items"].get("type", "")
                about.get("type", "")
            names.append(inner["name"])
            inner.get("description", "")
        ", ".join(names)
    except _WRONG as problem:
        return f"{type(problem).__name__}: {problem}"[:80]
    return ""


def are_media(value: Any) -> bool:
    """Tell whether pictures, videos or sounds are a list of paths, or of what stands for a file."""
    if value is None:
        return True
    if not isinstance(value, list) or len({type(item) for item in value}) > 1:
        return False
    frames = [frame for item in value for frame in (item if isinstance(item, list) else [item])]
    named = [
        frame.get("path") or frame.get("bytes") if isinstance(frame, dict) else frame
        for frame in frames
    ]
    return all(isinstance(name, str | bytes) and name for name in named)


def miscounted(texts: Iterable[str], fields: Mapping[str, Any]) -> str:
    """Return which pictures are not as many as their marks in the texts, '' if all are."""
    whole = "\n".join(texts)
    for column, mark in MARKS.items():
        files, marks = len(fields.get(column) or ()), whole.count(mark)
        if files != marks:
            return f"{files} {column}, {marks} times {mark}"
    return ""


def flaw_of(view: Parsed, fields: Mapping[str, Any], calls: Iterable[str] = ()) -> str:
    """Return the flaw of a row that would end the training, '' of any other.

    `fields` is what the row has by LLaMA-Factory's columns, `calls` are those among two answers to
    compare. Marks without any file are texts like others to a model that does not see.
    """
    own_calls = [turn.content for turn in view.turns if turn.role == "function"]
    if any(wrong_call(call) for call in (*own_calls, *calls)):
        return "call_not_json"
    tools = fields.get("tools")
    if tools and (not isinstance(tools, str) or wrong_tools(tools)):
        return "tools_not_described"
    if not all(are_media(fields.get(column)) for column in MEDIA):
        return "bad_media"
    if not any(fields.get(column) for column in MEDIA):
        return ""
    asked = [turn.content for turn in view.turns]
    answers = [view.chosen or "", view.rejected or ""]
    return "media_miscounted" if any(miscounted([*asked, a], fields) for a in answers) else ""
