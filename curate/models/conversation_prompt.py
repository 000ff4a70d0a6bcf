"""A conversation as text that ends where the answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.data.prompts import ALPACA_HEADER, ALPACA_PREAMBLE, alpaca_instruction
from curate.models.protocols import Message
from curate.models.text_tokenizer import HFEncoder

_MARK = "mark"


def render(encoder: HFEncoder, messages: Sequence[Message]) -> str:
    """Return the text of the messages in the model's chat template; Alpaca's where it has none."""
    if encoder.has_chat_template:
        return encoder.render([dict(each) for each in messages], True)
    return alpaca(messages)


def alpaca(messages: Sequence[Message]) -> str:
    r"""Return Stanford Alpaca's prompt; a system message takes the place of its preamble.

    Example:
        >>> alpaca([{"role": "user", "content": "Hi"}])[-32:]
        'Instruction:\nHi\n\n### Response:\n'
    """
    told = [each["content"] for each in messages if each["role"] == "system"]
    parts = [f"{told[0]}\n\n" if told else ALPACA_PREAMBLE]
    for each in messages:
        if each["role"] == "assistant":
            parts.append(f"{ALPACA_HEADER}\n{each['content']}\n\n")
        elif each["role"] != "system":
            parts.append(alpaca_instruction(each["content"]))
    return "".join(parts) + f"{ALPACA_HEADER}\n"


def first_token(tokenizer: Any, encoder: HFEncoder, text: str) -> list[int]:
    """Return the id that has to stand before the prompt's own ids, or nothing."""
    if encoder.bos is None or text.startswith(str(tokenizer.bos_token)):
        return []
    if encoder.has_chat_template:  # the template says all that is to be said
        return []
    return [encoder.bos] if tokenizer("a")["input_ids"][:1] == [encoder.bos] else []


def ends(tokenizer: Any, encoder: HFEncoder, *configs: Any) -> frozenset[int]:
    """Return the ids that end an answer.

    A chat model may end its turns with another token than the one that its tokenizer or config
    declares; what the chat template writes behind an answer tells.
    """
    found: set[int] = set()
    for each in (tokenizer, *configs):
        declared = getattr(each, "eos_token_id", None)
        found.update([declared] if isinstance(declared, int) else declared or ())
    return frozenset(found | _turn_end(tokenizer, encoder))


def _turn_end(tokenizer: Any, encoder: HFEncoder) -> set[int]:
    if not encoder.has_chat_template:
        return set()
    asked = [{"role": "user", "content": _MARK}]
    lead = encoder.render(asked, True)
    whole = encoder.render([*asked, {"role": "assistant", "content": _MARK}], False)
    behind = whole[len(lead) + len(_MARK) :] if whole.startswith(lead + _MARK) else ""
    first = encoder.encode([behind])[0][:1]
    return set(first) & set(getattr(tokenizer, "added_tokens_decoder", {}))
