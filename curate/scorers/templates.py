"""How a row becomes text for a model: what is given, and what is scored.

A template yields, for every assistant turn, the text that leads up to it and the response
itself. The two are tokenised apart and their ids joined, so the border between them is known
and a response has the same tokens whatever stands before it (style.md's faults 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from curate.data.prompts import ALPACA_HEADER, ALPACA_PREAMBLE, ALPACA_PREAMBLE_INPUT
from curate.data.rows import Row
from curate.errors import ModelError, UsageError, did_you_mean
from curate.models.protocols import TextEncoder


@dataclass(frozen=True)
class Rendered:
    """A row as text.

    Attributes:
        leads: For each assistant turn, the text between the previous response and this one.
        responses: The assistant turns.
        header: What stands before a response when it is scored alone.
        joined: Whether leads and responses strung together are the dialogue; if not, each lead
            is the whole context of its turn (templates that rewrite earlier turns).
    """

    leads: tuple[str, ...]
    responses: tuple[str, ...]
    header: str
    joined: bool = True


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
    return Rendered(tuple(leads), tuple(responses), "")


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
            lead += f"### Instruction:\n{instruction}\n\n### Input:\n{row.input}\n\n"
        else:
            lead += f"### Instruction:\n{turn.content}\n\n"
    return Rendered(tuple(leads), tuple(responses), ALPACA_HEADER)


# Words that no template writes itself.
_QUESTION, _ANSWER = "What-is-asked-4f1c", "What-is-said-4f1c"
_CHAT_ROLES = {"observation": "tool", "function": "assistant"}


def render_chat(row: Row, encoder: TextEncoder) -> Rendered:
    """The model's own chat template; alone, its header of the answer stays.

    Args:
        row: A row whose turns alternate.
        encoder: Renders the template.
    """
    messages = [{"role": "system", "content": row.system}] if row.system else []
    contexts: list[str] = []
    responses: list[str] = []
    header = ""
    for turn in row.turns:
        if turn.role in ("assistant", "function"):
            context = encoder.render(messages, True)
            if not contexts:
                header = context.removeprefix(encoder.render(messages, False))
                header = header or _header_of_the_user(encoder)
            contexts.append(context)
            responses.append(turn.content)
        role = _CHAT_ROLES.get(turn.role, turn.role)
        messages.append({"role": role, "content": turn.content})
    leads = [contexts[0]]
    for before, response, context in zip(contexts, responses, contexts[1:], strict=False):
        so_far = before + response
        if not context.startswith(so_far):
            return Rendered(tuple(contexts), tuple(responses), header, joined=False)
        leads.append(context[len(so_far) :])
    return Rendered(tuple(leads), tuple(responses), header)


def _header_of_the_user(encoder: TextEncoder) -> str:
    """Return the answer's header where a template writes it at the end of what the user says.

    LLaMA-Factory saves such templates with what it trains: they write the header whether a
    generation prompt is asked for or not. Between the user's words and the answer stand the end of
    a turn, which also follows an answer, and the header.
    """
    user = {"role": "user", "content": _QUESTION}
    try:
        opened = encoder.render([user], True)
        told = encoder.render([user, {"role": "assistant", "content": _ANSWER}], False)
    except ModelError:
        return ""
    between, ending = opened.rpartition(_QUESTION)[2], told.rpartition(_ANSWER)[2]
    return between.removeprefix(ending) if ending and between.startswith(ending) else ""


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
