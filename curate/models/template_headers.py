"""What a chat template writes around an answer: its header, and the thought that comes first.

Both are looked for behind a mark in what the row's own messages become, never by subtracting one
whole text from another: a template may end a closed conversation with eos, trim what it is given,
decide by the system prompt, or write the header whether it is asked for or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from os.path import commonprefix

from curate.errors import ModelError
from curate.models.protocols import TextEncoder

Messages = list[dict[str, str]]

# A word that neither templates nor rows write.
MARK = "What-is-said-4f1c"
# Markup is compared whole: <|end|> and <|endoftext|> have nothing in common.
_PIECE = re.compile(r"<[^<>\n]*>|\[[^\[\]\s]*\]|\w+|\s|.", re.DOTALL)
_OPENED = re.compile(r"(?P<word>[<◁](?:seed:)?think[>▷])\s*\Z")
_CLOSED = re.compile(r"(?:<think>\s*)?</think>\s*\Z")
_OTHERWISE = re.compile("think|thought|reasoning", re.IGNORECASE)
# As most of LLaMA-Factory's reasoning templates have it.
_EMPTY = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Thought:
    """How answers begin that a template has thought over.

    Attributes:
        opening: The word that begins a thought.
        empty: What stands before a response that has none.
        note: What cannot be known of the training, '' where all is.
    """

    opening: str
    empty: str
    note: str = ""

    def frame(self, response: str) -> str:
        """Return what LLaMA-Factory puts before a response, behind the bare header."""
        closing = f"{self.opening[0]}/{self.opening[1:]}"
        return "" if self.opening in response or closing in response else self.empty


class Surroundings:
    """What a template writes around the answer to some messages.

    Args:
        messages: That the answer follows; the last one is not the assistant's.
        context: Their text with the header of the answer.
        encoder: Renders the template.
    """

    def __init__(self, messages: Messages, context: str, encoder: TextEncoder) -> None:
        self._messages, self._context, self._encoder = messages, context, encoder

    def header(self) -> str:
        """Return what the template writes between the end of the prompt and the answer.

        It is what the prompt's end has more than the same prompt in a closed conversation; where
        both are the same (LLaMA-Factory saves such templates), more than the end of an answer.
        """
        if not self._messages:
            return ""
        asked = self._messages[-1]["content"]
        # The mark stands where a flag at the end of what is asked does not get lost.
        for marked, rest in ((asked + MARK, ""), (MARK + asked, asked.rstrip())):
            messages = [*self._messages[:-1], {**self._messages[-1], "content": marked}]
            tail = self._behind(messages, True).removeprefix(rest)
            if tail and self._context.endswith(tail):
                closed = self._behind(messages, False).removeprefix(rest)
                if closed != tail:
                    return tail[_shared(tail, closed) :]
                answered = [*messages, {"role": "assistant", "content": MARK}]
                shared = _shared(tail, self._behind(answered, False))
                return tail[shared:] if shared else ""
        return ""

    def thought(self) -> Thought | None:
        """Return how answers are thought over as LLaMA-Factory trains it, None where they are not.

        Its reasoning templates begin the answer behind the bare header, whatever the generation
        prompt opens: a response without a thought gets an empty one.
        """
        if closed := _CLOSED.search(self._context):
            empty = closed.group()
            return Thought("<think>", empty, "" if empty == _EMPTY else _unknown(empty))
        if opened := _OPENED.search(self._context):
            word = opened.group("word")
            if opened.group().startswith("<think>\n"):
                return Thought(word, _EMPTY)
            empty = f"{word}{word[0]}/{word[1:]}"
            return Thought(word, empty, _unknown(empty) if word == "<think>" else "")
        answered = [*self._messages, {"role": "assistant", "content": MARK}]
        shown = self._text(answered, False).rpartition(MARK)[0]
        if _CLOSED.search(shown):
            empty = shown.removeprefix(self._context)
            empty = empty if len(empty) < len(shown) else _EMPTY
            return Thought("<think>", empty, "" if empty == _EMPTY else _unknown(empty))
        header = self.header()
        return Thought("<think>", "", _unknown(header)) if _OTHERWISE.search(header) else None

    def note(self) -> str:
        """Return what cannot be known where answers do not follow the generation prompt at once.

        Some templates write a channel or another word between the two; '' where none does.
        """
        answered = [*self._messages, {"role": "assistant", "content": MARK}]
        shown = self._text(answered, False).rpartition(MARK)[0].rstrip()
        return _unknown(self.header()) if shown and shown != self._context.rstrip() else ""

    def _behind(self, messages: Messages, generation_prompt: bool) -> str:
        return self._text(messages, generation_prompt).rpartition(MARK)[2]

    def _text(self, messages: Messages, generation_prompt: bool) -> str:
        try:
            return self._encoder.render(messages, generation_prompt)
        except ModelError:
            return ""


def bare(lead: str) -> str:
    """Return a text without the thought that it opens, or opens and closes, at its end."""
    return _OPENED.sub("", _CLOSED.sub("", lead))


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning, markup whole."""
    return len("".join(commonprefix([_PIECE.findall(one), _PIECE.findall(other)])))


def _unknown(empty: str) -> str:
    return (
        "what LLaMA-Factory puts before a response without a thought depends on the template that "
        f"training names; behind this model's chat template such rows are framed with {empty!r}"
    )
