"""OpenAI: messages with tool calls, parts or a developer; read only, emitted as sharegpt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from curate.data.formats import ITEMS, sharegpt
from curate.data.openai_calls import TAGS, are_openai
from curate.data.schema import Shape

NAME = "openai"
TITLE = "OpenAI messages"
KEYS = "messages: a list of {role, content} with tool_calls, parts or a developer"
RANK = ITEMS
OPTIONAL = sharegpt.OPTIONAL
convert = sharegpt.convert


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if some row has what only OpenAI's messages have."""
    shape = sharegpt.detect(samples)
    if shape is None or shape.tags["role_tag"] != "role":
        return None
    if not any(are_openai(row.get(shape.columns["messages"])) for row in samples):
        return None
    return replace(shape, format=NAME, tags=dict(TAGS))
