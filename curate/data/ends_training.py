"""What of a row ends LLaMA-Factory's training: calls, descriptions of tools, pictures.

Reading flags what ends it whatever the template, so that no command emits such rows; the doctor
tells it of rows that others wrote, and of what a template wants besides where one is known.
Thoughts may stand before a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from curate.data.schema import MEDIA, Parsed

MARKS = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}
_CALL, _THOUGHT = ("<tool_call>", "</tool_call>"), ("<think>\n", "\n</think>\n\n")
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def parts_of_call(content: str) -> tuple[str, Any]:
    """Return what stands beside a function call, and the call."""
    if call := _marked(content, *_CALL):
        return content.replace(call, ""), json.loads(call[len(_CALL[0]) : -len(_CALL[1])])
    thought = _marked(content, *_THOUGHT)
    return thought, json.loads(content.replace(thought, "") if thought else content)


def _marked(text: str, begin: str, end: str) -> str:
    """Return the first part of a text with a mark at its beginning and at its end; '' without."""
    inner, ended, _ = text.partition(begin)[2].partition(end)
    return begin + inner + end if ended else ""


def wrong_call(content: str) -> str:
    """Return what reading a function call raises, '' if it has name and arguments."""
    try:
        _, calls = parts_of_call(content)
        for call in calls if isinstance(calls, list) else [calls]:
            json.dumps([call["name"], call["arguments"]])
    except _WRONG as problem:
        return f"{type(problem).__name__}: {problem}"[:80]
    return ""


def wrong_tools(text: str, tool_format: str = "") -> str:
    """Return what reading descriptions of tools raises, by a template's tool format."""
    try:
        tools = json.loads(text)
        for tool in tools if len(tools) else ():
            kind = tool.get("type")
            if read := _READ.get(tool_format):
                read(tool.get("function", "") if kind == "function" else tool)
    except _WRONG as problem:
        return f"{type(problem).__name__}: {problem}"[:80]
    return ""


def _read_by_default(tool: Any) -> None:
    parameters = tool["parameters"]
    for name, about in parameters["properties"].items():
        bool(name in parameters.get("required", []))
        ", ".join(about.get("enum", None) or ())
        if about.get("items", None):
            about["items"].get("type", "")
        about.get("type", "")
    ", ".join([tool["name"]])
    tool.get("description", "")


def _read_by_gemma(tool: Any) -> None:
    tool["name"]
    parameters = tool.get("parameters") or {}
    for about in (parameters.get("properties") or {}).values():
        about.get("type")
    list(parameters.get("required") or ())
    (tool.get("response") or {}).get("type")


# Tool formats that look into a description.
_READ: dict[str, Callable[[Any], object]] = {
    "default": _read_by_default,
    "glm4": itemgetter("name"),
    "gemma4": _read_by_gemma,
}


def are_media(value: Any, frames: bool = False) -> bool:
    """Tell whether pictures, videos or sounds are a list of paths, or of what stands for a file."""
    if value is None:
        return True
    if not isinstance(value, list) or len({type(item) for item in value}) > 1:
        return False
    parts = [
        part for item in value for part in (item if frames and isinstance(item, list) else [item])
    ]
    named = [
        part.get("path") or part.get("bytes") if isinstance(part, dict) else part for part in parts
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
    """Return the flaw of a row that would end the training, '' of any other."""
    for call in (*[turn.content for turn in view.turns if turn.role == "function"], *calls):
        if wrong_call(call):
            return "call_not_json"
    tools = fields.get("tools")
    none = tools is None or tools in ("", [], {})
    if not none and (not isinstance(tools, str) or wrong_tools(tools)):
        return "tools_not_described"
    media = [column for column in MEDIA if fields.get(column) is not None]
    if not all(are_media(fields[column], column == "videos") for column in media):
        return "bad_media"
    if not any(fields[column] for column in media):
        return ""
    asked = [turn.content for turn in view.turns]
    answers = [view.chosen or "", view.rejected or ""]
    return "media_miscounted" if any(miscounted([*asked, a], fields) for a in answers) else ""
