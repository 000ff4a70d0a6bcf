"""How a streamed answer ended, where the engine does not tell."""

from __future__ import annotations

import json
from collections.abc import Callable


class Endings:
    r"""Puts right the last event of a stream: LLaMA-Factory says `stop` of answers cut off, too.

    An answer that the model ended itself has fewer tokens than it was allowed: the last one was
    the end. What was streamed is counted again by the tokenizer, which comes to the same number
    unless the model has spelled a word in an odd way.

    Args:
        most: Tokens that the answer was allowed.
        count: Tokens of a text.

    Example:
        >>> endings = Endings(2, lambda text: len(text.split()))
        >>> endings.line(b'data: {"choices": [{"delta": {"content": "a b"}}]}')
        b'data: {"choices": [{"delta": {"content": "a b"}}]}'
        >>> endings.line(b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}')
        b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n'
    """

    def __init__(self, most: int, count: Callable[[str], int]) -> None:
        self._most, self._count = most, count
        self._pieces: list[str] = []

    def line(self, line: bytes) -> bytes:
        """Return a line of the stream as it should be."""
        if not line.startswith(b"data: {"):
            return line
        event = json.loads(line[6:])
        for choice in event.get("choices") or ():
            self._pieces.append((choice.get("delta") or {}).get("content") or "")
            if choice.get("finish_reason") == "stop" and self._full():
                choice["finish_reason"] = "length"
                return f"data: {json.dumps(event)}\n".encode()
        return line

    def _full(self) -> bool:
        return self._count("".join(self._pieces)) >= self._most
