"""What a text or a row says that it should not: every finding, and texts without identifiers."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from curate.content import FLAWS, IDENTIFIERS, answers, numbers, people
from curate.content.spans import MASK, Span, joined, masked, plain
from curate.data.rows import Row
from curate.data.schema import MEDIA, Parsed, Shape
from curate.errors import check_one_of

POLICIES = ("refuse", "mask", "allow")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_LONG = 60  # characters; beside a longer text the name of its column is no cue
_NUMBER = 10**6  # below it a number is nobody's
# Of a row that answers nothing: what a text by itself can have.
_OF_TEXT = ("speaks_as_ai", "loop", "traditional")


def identifiers(text: str, kinds: Collection[str] = IDENTIFIERS) -> list[Span]:
    """Return the places in a text that identify somebody, in order and apart from each other.

    Example:
        >>> [text[start:end] for start, end, _ in identifiers(text := "电话 138 1234 5678")]
        ['138 1234 5678']
    """
    read = plain(text)
    found = [*numbers.spans(read), *numbers.columns(read), *people.addresses(read)]
    named = list(people.names(read, bool(found)))
    if named and not found and "·" not in read:
        named = list(people.names(read, identified=True))
    if found or named:
        found += numbers.codes(read)
    for name in {read[start:end] for start, end, _ in named if end - start > 2}:
        found += [Span(*match.span(), "name") for match in re.finditer(re.escape(name), read)]
    return joined(
        span
        for span in found + named
        if span.kind in kinds and read[span.start : span.end].strip(MASK + " ")
    )


def without_identifiers(text: str, kinds: Collection[str] = IDENTIFIERS) -> str:
    """Return a text of the same length in which no identifier of some kinds is left.

    Example:
        >>> without_identifiers("患者王秀英，电话13812345678")
        '患者***，电话***********'
    """
    while found := identifiers(text, kinds):
        text = masked(text, found)
    return text


def look(row: Row, shape: Shape, mask: Collection[str] = ()) -> tuple[Counter[str], Any]:
    """Return how many of each kind a row has, a flaw once, and its value, masked if asked for.

    Identifiers are looked for under all keys, also those that hold no part of the dialogue; the
    name of such a column is a cue. Flaws are those of what a model would learn: a rejected
    response, and one with a bad verdict, may be bad.
    """
    own = {*shape.columns.values(), *shape.tags.values()}
    skipped = {shape.columns.get(column) for column in MEDIA}
    texts: list[str] = []

    def collect(head: str, text: str) -> str:
        texts.append(head + text)
        return text

    _through(row.value, collect, own, skipped)
    counts = Counter[str]()
    if identifiers("\n".join(texts)):
        for text in texts:
            counts.update(span.kind for span in identifiers(text))
    value = row.value
    if mask and counts.keys() & set(mask):

        def hide(head: str, text: str) -> str:
            return without_identifiers(head + text, mask)[len(head) :]

        value = _through(value, hide, own, skipped)
    counts.update(flaws(row.parsed, shape))
    return counts, value


def flaws(said: Parsed, shape: Shape) -> set[str]:
    """Return what is wrong with the answers of a row, or with a text for pre-training."""
    if shape.kind == "pretraining":
        text = "".join(turn.content for turn in said.turns)
        return {name for name in _OF_TEXT if _WRONG[name]("", "", text)}
    if said.verdict is False:
        return set()
    found: set[str] = set()
    shown, asked = said.system, ""
    turns = [(turn.role, turn.content) for turn in said.turns]
    if said.chosen is not None:
        turns.append(("assistant", said.chosen))
    for role, content in turns:
        if role in ("user", "observation"):
            asked = content
        elif role == "assistant" and content.strip():
            found |= {name for name in FLAWS if _WRONG[name](shown, asked, content)}
        shown += "\n" + content
    return found


def _said(answer: str) -> str:
    """Return an answer without its thoughts."""
    thoughts, end, said = answer.rpartition("</think>")  # behind it none is whole
    return _THOUGHT.sub("", thoughts + end) + said


# From all that stands before an answer, what was asked last, and the answer.
_WRONG: dict[str, Callable[[str, str, str], bool]] = {
    "refusal": lambda _, __, answer: answers.refuses(_said(answer)),
    "speaks_as_ai": lambda _, __, answer: answers.speaks_as_ai(_said(answer)),
    "cut": lambda _, __, answer: answers.is_cut(answer),
    "loop": lambda _, __, answer: answers.loops(answer),
    "copied_prompt": lambda _, asked, answer: answers.copies(asked, _said(answer)),
    "wrong_language": lambda _, asked, answer: answers.in_another_language(asked, answer),
    "traditional": lambda _, asked, answer: answers.is_traditional(asked + answer),
    "mentions_source": lambda shown, _, answer: answers.mentions_source(shown.strip(), answer),
}


def look_before_sending(texts: Sequence[str], policy: str) -> tuple[str, ...] | None:
    """Return texts of one request as they may leave the house: masked or as is, None for refused.

    Args:
        texts: Of one request.
        policy: refuse, mask, or allow; see policy_for().

    Raises:
        UsageError: Another policy.

    Example:
        >>> look_before_sending(["我叫李建国"], "mask")
        ('我叫***',)
    """
    check_one_of("--pii-in", policy, POLICIES)
    if policy == "mask":
        return tuple(without_identifiers(text) for text in texts)
    refused = policy == "refuse" and any(identifiers(text) for text in texts)
    return None if refused else tuple(texts)


def policy_for(url: str) -> str:
    """Return what is done by default with texts for an address: allow on this machine, else mask.

    Example:
        >>> policy_for("http://127.0.0.1:8000/v1"), policy_for("https://api.example.com/v1")
        ('allow', 'mask')
    """
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return "allow" if local else "mask"


def _through(
    value: Any,
    look_at: Callable[[str, str], str],
    own: set[str],
    skipped: set[str | None],
    key: str = "",
) -> Any:
    """Return a value with every text in it, and every long number, as `look_at` makes it."""
    if isinstance(value, str):
        return look_at(f"{key}:" if key and len(value) <= _LONG else "", value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _NUMBER:
        text = look_at(f"{key}:" if key else "", str(value))
        return value if text == str(value) else text
    if isinstance(value, list):
        return [_through(part, look_at, own, skipped, key) for part in value]
    if isinstance(value, dict):
        return {
            name: part
            if name in skipped
            else _through(part, look_at, own, skipped, "" if name in own else name)
            for name, part in value.items()
        }
    return value
