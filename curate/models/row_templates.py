"""How a row becomes text for a model: what is given, and what is scored.

A template yields, for every assistant turn, the text that leads up to it and the response
itself. The two are tokenised apart and their ids joined, so the border between them is known
and a response has the same tokens whatever stands before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import add

from curate.data.prompts import (
    ALPACA_HEADER,
    ALPACA_PREAMBLE,
    ALPACA_PREAMBLE_INPUT,
    alpaca_instruction,
)
from curate.data.rows import Row
from curate.errors import UsageError, did_you_mean
from curate.models.protocols import TextEncoder
from curate.models.template_headers import MARK, Surroundings, Thought, bare


@dataclass(frozen=True)
class Rendered:
    """A row as text.

    Attributes:
        leads: For each assistant turn, the text between the previous response and this one.
        responses: The assistant turns.
        headers: What stands before each response when it is scored alone.
        joined: Whether leads and responses strung together are the dialogue; if not, each lead
            is the whole context of its turn (templates that rewrite earlier turns).
        note: What people should know of how rows are framed, '' for nothing.
    """

    leads: tuple[str, ...]
    responses: tuple[str, ...]
    headers: tuple[str, ...]
    joined: bool = True
    note: str = ""


Template = Callable[[Row, TextEncoder], Rendered]


def render_none(row: Row, encoder: TextEncoder) -> Rendered:
    """Prompt, newline, response, as Superfiltering has it; alone, nothing but the response.

    Args:
        row: A row whose turns alternate.
        encoder: Not used.
    """
    leads, responses = [], []
    lead = f"{row.system}\n" if row.system else ""
    for turn in row.turns:
        if turn.role in ("assistant", "function"):
            leads.append(lead)
            responses.append(turn.content)
            lead = "\n"
        else:
            lead += f"{turn.content}\n"
    return Rendered(tuple(leads), tuple(responses), ("",) * len(leads))


def render_alpaca(row: Row, encoder: TextEncoder) -> Rendered:
    """Stanford Alpaca's prompt as Cherry_LLM has it; alone, "### Response:" stays.

    Args:
        row: A row whose turns alternate; its system text takes the preamble's place.
        encoder: Not used.
    """
    last = len(row.turns) - 2
    leads, responses = [], []
    preamble = ALPACA_PREAMBLE_INPUT if row.input and last == 0 else ALPACA_PREAMBLE
    lead = f"{row.system}\n\n" if row.system else preamble
    for place, turn in enumerate(row.turns):
        if turn.role in ("assistant", "function"):
            leads.append(lead + ALPACA_HEADER)
            responses.append(turn.content)
            lead = "\n\n"
        elif row.input and place == last:
            instruction = turn.content.removesuffix(row.input).rstrip("\n")
            lead += alpaca_instruction(instruction, row.input)
        else:
            lead += alpaca_instruction(turn.content)
    return Rendered(tuple(leads), tuple(responses), (ALPACA_HEADER,) * len(leads))


_CHAT_ROLES = {"observation": "tool", "function": "assistant"}


def render_chat(row: Row, encoder: TextEncoder) -> Rendered:
    """The model's own chat template; alone, its header of the answer stays.

    Where the template thinks, a row is framed as LLaMA-Factory trains it: a response that brings
    its thought follows the bare header, any other one an empty thought, in every turn.

    Args:
        row: A row whose turns alternate.
        encoder: Renders the template.
    """
    messages = [{"role": "system", "content": row.system}] if row.system else []
    contexts: list[str] = []
    headers: list[str] = []
    responses: list[str] = []
    thought: Thought | None = None
    note = ""
    for turn in row.turns:
        content = turn.content
        if turn.role in ("assistant", "function"):
            context = encoder.render(messages, True)
            around = Surroundings(messages, context, encoder)
            if not contexts:
                thought = around.thought()
                note = thought.note if thought else around.note()
            known = headers and headers[0] and context.endswith(headers[0])
            headers.append(headers[0] if known else around.header())
            contexts.append(context)
            responses.append(content)
            # Templates cut thoughts out of earlier turns, LLaMA-Factory does not.
            content = MARK if thought else content
        messages.append({"role": _CHAT_ROLES.get(turn.role, turn.role), "content": content})
    if thought:
        leads = [bare(context.rpartition(MARK)[2]) for context in contexts]
        frames = [thought.frame(response) for response in responses]
        return Rendered(
            tuple(map(add, leads, frames)),
            tuple(responses),
            tuple(map(add, map(bare, headers), frames)),
            note=note,
        )
    leads = [contexts[0]]
    for before, response, context in zip(contexts, responses, contexts[1:], strict=False):
        so_far = before + response
        if not context.startswith(so_far):
            return Rendered(
                tuple(contexts), tuple(responses), tuple(headers), joined=False, note=note
            )
        leads.append(context[len(so_far) :])
    return Rendered(tuple(leads), tuple(responses), tuple(headers), note=note)


TEMPLATES: dict[str, Template] = {
    "chat": render_chat,
    "alpaca": render_alpaca,
    "none": render_none,
}


def choose_template(name: str, encoder: TextEncoder) -> str:
    """Return the template that name stands for with this model.

    Args:
        name: `chat`, `alpaca`, `none`, or `auto` (chat where the model has a template, else none).
        encoder: The model's tokenizer.

    Raises:
        UsageError: No template of that name.
    """
    if name == "auto":
        return "chat" if encoder.has_chat_template else "none"
    if name not in TEMPLATES:
        allowed = ("auto", *TEMPLATES)
        raise UsageError(
            f"--template {name}: allowed are {', '.join(allowed)}.{did_you_mean(name, allowed)}"
        )
    return name
