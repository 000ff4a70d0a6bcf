"""How a row becomes text for a model: what is given, and what is scored.

A template gives, for every assistant turn, the text that leads up to it and the response itself.
The two are tokenised apart and their ids joined, so the border between them is known and a response
has the same tokens whatever stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add
from os.path import commonprefix

from curate.data.rows import Row
from curate.data.schema import MEDIA, Turn
from curate.errors import ModelError, UsageError, did_you_mean
from curate.models.protocols import Message, TextEncoder

_PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)
_PREAMBLE_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
)
_HEADER = "### Response:"

_CHAT_ROLES = {"observation": "tool", "function": "assistant"}
_ANSWERING = ("assistant", "function")
# A word that neither templates nor rows write.
_MARK = "What-is-said-4f1c"
# Markup is compared whole: <|end|> and <|endoftext|> have nothing in common.
_PIECE = re.compile(r"<[^<>\n]*>|\[[^\[\]\s]*\]|\w+|\s|.", re.DOTALL)
_OPENED = re.compile(r"(?P<word>[<◁](?:seed:)?think[>▷])\s*\Z")
_CLOSED = re.compile(r"(?:<think>\s*)?</think>\s*\Z")
_OTHERWISE = re.compile("think|thought|reasoning", re.IGNORECASE)
# As most of LLaMA-Factory's reasoning templates have it.
_EMPTY_THOUGHT = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Rendered:
    leads: tuple[str, ...]  # for each assistant turn, the text since the previous response
    responses: tuple[str, ...]  # the assistant turns
    headers: tuple[str, ...]  # what stands before each response when it is scored alone
    # Whether leads and responses strung together are the dialogue; if not, each lead is the whole
    # context of its turn (templates that rewrite earlier turns).
    joined: bool = True
    note: str = ""  # what people should know of how rows are framed


Template = Callable[[Row, TextEncoder], Rendered]


def render_none(row: Row, encoder: TextEncoder) -> Rendered:
    """Prompt, newline, response, as Superfiltering has it; alone, nothing but the response."""
    leads, responses = [], []
    lead = f"{row.system}\n" if row.system else ""
    for turn in row.turns:
        if turn.role in _ANSWERING:
            leads.append(lead)
            responses.append(turn.content)
            lead = "\n"
        else:
            lead += f"{turn.content}\n"
    return Rendered(tuple(leads), tuple(responses), ("",) * len(leads))


def render_alpaca(row: Row, encoder: TextEncoder) -> Rendered:
    """Stanford Alpaca's prompt as Cherry_LLM has it; alone, "### Response:" stays.

    A row's system text takes the preamble's place.
    """
    last = len(row.turns) - 2
    leads, responses = [], []
    preamble = _PREAMBLE_INPUT if row.input and last == 0 else _PREAMBLE
    lead = f"{row.system}\n\n" if row.system else preamble
    for place, turn in enumerate(row.turns):
        if turn.role in _ANSWERING:
            leads.append(lead + _HEADER)
            responses.append(turn.content)
            lead = "\n\n"
        elif row.input and place == last:
            instruction = turn.content.removesuffix(row.input).rstrip("\n")
            lead += f"### Instruction:\n{instruction}\n\n### Input:\n{row.input}\n\n"
        else:
            lead += f"### Instruction:\n{turn.content}\n\n"
    return Rendered(tuple(leads), tuple(responses), (_HEADER,) * len(leads))


def alpaca_prompt(messages: Sequence[Message]) -> str:
    """Return Stanford Alpaca's prompt of a conversation, for models without a chat template."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    parts = [f"{system[0]}\n\n" if system else _PREAMBLE]
    for message in messages:
        if message["role"] == "assistant":
            parts.append(f"{_HEADER}\n{message['content']}\n\n")
        elif message["role"] != "system":
            parts.append(f"### Instruction:\n{message['content']}\n\n")
    return "".join(parts) + f"{_HEADER}\n"


def render_chat(row: Row, encoder: TextEncoder) -> Rendered:
    """The model's own chat template; alone, its header of the answer stays.

    Where the template thinks, a row is framed as LLaMA-Factory trains it: a response that brings
    its thought follows the bare header, any other one an empty thought, in every turn.
    """
    messages = [{"role": "system", "content": row.system}] if row.system else []
    contexts: list[str] = []
    headers: list[str] = []
    responses: list[str] = []
    thought, note = None, ""
    for turn in row.turns:
        content = turn.content
        if turn.role in _ANSWERING:
            context = encoder.render(messages, True)
            around = _Surroundings(messages, context, encoder)
            if not contexts:
                thought = around.thought()
                note = thought.note if thought else around.note()
            known = headers and headers[0] and context.endswith(headers[0])
            headers.append(headers[0] if known else around.header())
            contexts.append(context)
            responses.append(content)
            # Templates cut thoughts out of earlier turns, LLaMA-Factory does not.
            content = _MARK if thought else content
        messages.append({"role": _CHAT_ROLES.get(turn.role, turn.role), "content": content})
    if thought:
        leads = [_bare(context.rpartition(_MARK)[2]) for context in contexts]
        frames = [thought.frame(response) for response in responses]
        return Rendered(
            tuple(map(add, leads, frames)),
            tuple(responses),
            tuple(map(add, map(_bare, headers), frames)),
            note=note,
        )
    leads, joined = contexts[:1], True
    for before, response, context in zip(contexts, responses, contexts[1:], strict=False):
        joined = joined and context.startswith(before + response)
        leads.append(context.removeprefix(before + response))
    leads = leads if joined else contexts
    return Rendered(tuple(leads), tuple(responses), tuple(headers), joined, note)


def chat_messages(row: Row) -> list[dict[str, str]]:
    """Return all that a row says, as chat templates take it."""
    system = [("system", row.system)] if row.system else []
    turns = [(_CHAT_ROLES.get(turn.role, turn.role), turn.content) for turn in row.turns]
    return [{"role": role, "content": content} for role, content in (*system, *turns)]


def asked_turns(row: Row) -> list[Turn] | str:
    """Return the turns up to the last question, or why the row asks none that a text answers."""
    if isinstance(row.value, dict) and any(row.value.get(column) for column in MEDIA):
        return "media"
    turns = list(row.turns)
    if row.parsed.chosen is None and turns and turns[-1].role == "assistant":
        turns.pop()
    roles = [turn.role for turn in turns]
    if row.parsed.tools or {"function", "observation"} & set(roles):
        return "tools"
    in_turn = roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    return turns if in_turn else row.flaw or "bad_turn_order"


TEMPLATES: dict[str, Template] = dict(chat=render_chat, alpaca=render_alpaca, none=render_none)


def choose_template(name: str, encoder: TextEncoder) -> str:
    """Return the template that a name, or `auto`, stands for with this model."""
    if name == "auto":
        return "chat" if encoder.has_chat_template else "none"
    if name not in TEMPLATES:
        allowed = ("auto", *TEMPLATES)
        raise UsageError(
            f"--template {name}: allowed are {', '.join(allowed)}.{did_you_mean(name, allowed)}"
        )
    return name


@dataclass(frozen=True)
class _Thought:
    """How answers begin that a template has thought over."""

    opening: str  # the word that begins a thought
    empty: str  # what stands before a response that has none
    note: str = ""  # what cannot be known of the training

    def frame(self, response: str) -> str:
        """Return what LLaMA-Factory puts before a response, behind the bare header."""
        closing = f"{self.opening[0]}/{self.opening[1:]}"
        return "" if self.opening in response or closing in response else self.empty


class _Surroundings:
    """What a template writes around the answer to some messages: its header, and a thought."""

    # Both are looked for behind a mark in what the row's own messages become. Subtracting one whole
    # text from another would not do: a template may end a closed conversation with eos, trim what
    # it is given, decide by the system prompt, or write the header unasked.

    def __init__(self, messages: list[dict[str, str]], context: str, encoder: TextEncoder) -> None:
        self._messages, self._context, self._encoder = messages, context, encoder

    def header(self) -> str:
        """Return what the prompt's end has more than the same prompt in a closed conversation.

        Where both are the same (LLaMA-Factory saves such templates), more than an answer's end.
        """
        if not self._messages:
            return ""
        asked = self._messages[-1]["content"]
        # The mark stands where a flag at the end of what is asked does not get lost.
        for marked, rest in ((asked + _MARK, ""), (_MARK + asked, asked.rstrip())):
            messages = [*self._messages[:-1], {**self._messages[-1], "content": marked}]
            tail = self._split(messages, True)[1].removeprefix(rest)
            if tail and self._context.endswith(tail):
                closed = self._split(messages, False)[1].removeprefix(rest)
                if closed != tail:
                    return tail[_shared(tail, closed) :]
                answered = [*messages, {"role": "assistant", "content": _MARK}]
                shared = _shared(tail, self._split(answered, False)[1])
                return tail[shared:] if shared else ""
        return ""

    def thought(self) -> _Thought | None:
        """Return how answers are thought over as LLaMA-Factory trains it, None if they are not."""
        if closed := _CLOSED.search(self._context):
            return _usual(closed.group())
        if opened := _OPENED.search(self._context):
            word = opened.group("word")
            if opened.group().startswith("<think>\n"):
                return _Thought(word, _EMPTY_THOUGHT)
            empty = f"{word}{word[0]}/{word[1:]}"
            return _Thought(word, empty, _unknown(empty) if word == "<think>" else "")
        shown = self._before_answer()
        if _CLOSED.search(shown):
            empty = shown.removeprefix(self._context)
            return _usual(empty if len(empty) < len(shown) else _EMPTY_THOUGHT)
        header = self.header()
        return _Thought("<think>", "", _unknown(header)) if _OTHERWISE.search(header) else None

    def note(self) -> str:
        """Return what cannot be known where a template writes a channel before the answer."""
        shown = self._before_answer().rstrip()
        return _unknown(self.header()) if shown and shown != self._context.rstrip() else ""

    def _before_answer(self) -> str:
        return self._split([*self._messages, {"role": "assistant", "content": _MARK}], False)[0]

    def _split(self, messages: list[dict[str, str]], generation_prompt: bool) -> tuple[str, str]:
        try:
            text = self._encoder.render(messages, generation_prompt)
        except ModelError:
            text = ""
        before, mark, behind = text.rpartition(_MARK)
        return before, behind


def _bare(lead: str) -> str:
    """Return a text without the thought that it opens, or opens and closes, at its end."""
    return _OPENED.sub("", _CLOSED.sub("", lead))


def _usual(empty: str) -> _Thought:
    return _Thought("<think>", empty, "" if empty == _EMPTY_THOUGHT else _unknown(empty))


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts begin with alike, markup whole."""
    return len("".join(commonprefix([_PIECE.findall(one), _PIECE.findall(other)])))


def _unknown(empty: str) -> str:
    return (
        "what LLaMA-Factory puts before a response without a thought depends on the template that "
        f"training names; behind this model's chat template such rows are framed with {empty!r}"
    )
