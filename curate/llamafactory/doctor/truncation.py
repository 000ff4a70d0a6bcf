"""What a cutoff leaves of a row: LLaMA-Factory's templates and its rules of truncation.

Prompt and response of every turn share what the turns before have left, in proportion to their
lengths where both are long. The tokenizer is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from curate.errors import UsageError
from curate.llamafactory.doctor.converting import Made, Message
from curate.llamafactory.doctor.stages import STAGES, Verdict, parts_of_call, trained

CONTENT = "{{content}}"
_PLACE = "{{idx}}"


class _Eos:
    """Where the tokenizer's end token goes."""


EOS = _Eos()
Slots = tuple["str | _Eos", ...]


class Tokenizer(Protocol):
    """What turns text into tokens."""

    @property
    def end(self) -> int:
        """The id of the token that ends a response."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, nothing added."""


@dataclass(frozen=True)
class Template:
    """How messages become text.

    Attributes:
        name: LLaMA-Factory's.
        user: Around what the user says; what follows is the response.
        assistant: Around a response.
        system: Around the system prompt.
        observation: Around a tool's answer.
        prefix: Before everything.
        default_system: System prompt of rows without one.
    """

    name: str
    user: Slots = (CONTENT,)
    assistant: Slots = (CONTENT,)
    system: Slots = (CONTENT,)
    observation: Slots = ()
    prefix: str = ""
    default_system: str = ""


_TURN = "<|im_start|>{}\n{{{{content}}}}<|im_end|>\n"
_ANSWER = "<|im_start|>assistant\n"
TEMPLATES = {
    each.name: each
    for each in (
        Template(
            "chatml",
            (_TURN.format("user") + _ANSWER,),
            (f"{CONTENT}<|im_end|>\n",),
            (_TURN.format("system"),),
            (_TURN.format("tool") + _ANSWER,),
        ),
        Template(
            "default",
            (f"Human: {CONTENT}", EOS, "\nAssistant:"),
            (CONTENT, EOS, "\n"),
            (f"System: {CONTENT}", EOS, "\n"),
        ),
        Template(
            "alpaca",
            (f"### Instruction:\n{CONTENT}\n\n### Response:\n",),
            (CONTENT, EOS, "\n\n"),
            default_system="Below is an instruction that describes a task. "
            "Write a response that appropriately completes the request.\n\n",
        ),
        Template("empty"),
    )
}


def room(source: int, target: int, cutoff: int) -> tuple[int, int]:
    """Return how many tokens of a prompt and its response are kept.

    A short response is kept whole, then a short prompt; of two long ones each gets its share.

    Example:
        >>> room(100, 20, 60), room(10, 100, 60), room(100, 100, 60)
        ((40, 20), (10, 50), (30, 30))
    """
    if 2 * target < cutoff:
        most = cutoff
    elif 2 * source < cutoff:
        most = cutoff - source
    else:
        most = int(cutoff * (target / (source + target)))
    kept = min(most, target)
    return min(max(cutoff - kept, 0), source), kept


@dataclass
class Cutoff:
    """Looks at the tokens of every usable row.

    Attributes:
        template: How rows become text.
        tokenizer: Of the model.
        cutoff: Tokens of a row, or of a packed block.
        unpacked: In stage pt, cut every row instead of packing them, as `packing: false` does.
    """

    template: Template
    tokenizer: Tokenizer
    cutoff: int
    unpacked: bool = False
    _batch: int = field(default=0, init=False)
    _tokens: int = field(default=0, init=False)
    _blocks: int = field(default=0, init=False)
    _rest: int = field(default=0, init=False)
    _pt: bool = field(default=False, init=False)

    @property
    def about(self) -> str:
        """What is assumed, for people."""
        return f"template {self.template.name}, cutoff {self.cutoff:,} tokens"

    def row(self, stage: str, verdict: Verdict) -> Iterable[str]:
        """Return the rules that a usable row falls under."""
        assert verdict.made
        stage = STAGES[stage]
        if stage == "pt":
            return self._pretraining(verdict.made)
        if verdict.made.tools:
            return ["not_measured"]
        return list(dict.fromkeys(self._rules(verdict.made, stage)))

    def batch_ends(self) -> None:
        """Pack what the rows of a batch have: LLaMA-Factory does so for every 1,000."""
        self._blocks += self._batch // self.cutoff
        self._rest += self._batch % self.cutoff
        self._batch = 0

    def begins(self) -> None:
        """Forget what was counted: another file follows."""
        self._batch = self._tokens = self._blocks = self._rest = 0
        self._pt = False

    def whole(self) -> Iterator[tuple[str, str]]:
        """Yield what holds for the file, when all rows have passed by."""
        if not self._pt or self.unpacked:
            return
        if not self._blocks:
            yield "no_block", f"{self._tokens:,} tokens, {self.cutoff:,} are one block"
        elif self._rest:
            yield "packing_rest", f"{self._rest:,} of {self._tokens:,} tokens"

    def _pretraining(self, made: Made) -> list[str]:
        self._pt = True
        ids = len(self.tokenizer.encode(made.prompt[0]["content"])) + 1
        self._tokens += ids
        if self.unpacked:
            return ["cut_text"] if ids > self.cutoff else []
        self._batch += ids
        return []

    def _rules(self, made: Made, stage: str) -> Iterator[str]:
        for kept, pair in self.kept(made, stage):
            if kept is None:
                yield "lost_turns"
                continue
            source, target = kept
            if source < len(pair[0]):
                yield "cut_prompt"
            for ids in pair[1:]:
                yield from _ends(ids, min(target, len(ids)), self.tokenizer.end)

    def kept(
        self, made: Made, stage: str
    ) -> Iterator[tuple[tuple[int, int] | None, list[list[int]]]]:
        """Yield, for every prompt and its response (two to compare), what is kept of them."""
        prompt = [self._ids(made, place) for place in range(len(made.prompt))]
        answers = [self._message(each, len(made.prompt)) for each in trained(made, stage)]
        if stage != "sft":
            whole = [one for ids in prompt for one in ids]
            yield room(len(whole), max(map(len, answers)), self.cutoff), [whole, *answers]
            return
        turns, used = [*prompt, *answers], 0
        for source, target in zip(turns[::2], turns[1::2], strict=True):
            if used >= self.cutoff:
                yield None, [source, target]
                continue
            found = room(len(source), len(target), self.cutoff - used)
            used += sum(found)
            yield found, [source, target]

    def _ids(self, made: Made, place: int) -> list[int]:
        ids = self._message(made.prompt[place], place)
        if place:
            return ids
        head = self._slots((self.template.prefix,), "")
        system = made.system or self.template.default_system
        return head + (self._slots(self.template.system, system) if system else []) + ids

    def _message(self, each: Message, place: int) -> list[int]:
        text = each["content"]
        if each["role"] == "user":
            return self._slots(self.template.user, text, str(place // 2))
        if each["role"] == "observation":
            return self._slots(self.template.observation or self.template.user, text)
        text = _call(text) if each["role"] == "function" else text
        return self._slots(self.template.assistant, text)

    def _slots(self, slots: Slots, text: str, place: str = "") -> list[int]:
        ids: list[int] = []
        for slot in slots:
            if isinstance(slot, _Eos):
                ids.append(self.tokenizer.end)
            elif slot:
                whole = slot.replace(CONTENT, text, 1)
                whole = whole.replace(_PLACE, place, 1) if place else whole
                ids += self.tokenizer.encode(whole) if whole else []
        return ids


def _ends(ids: Sequence[int], kept: int, end: int) -> Iterator[str]:
    """Yield what a response that is cut to so many tokens has lost."""
    last = max((place for place, each in enumerate(ids) if each == end), default=len(ids))
    if not kept and ids:
        yield "no_response_left"
    elif kept < last:
        yield "cut_response"
    if kept <= last < len(ids):
        yield "no_end_token"


def _call(text: Any) -> str:
    """Return function calls as LLaMA-Factory's default tool format writes them."""
    before, found = parts_of_call(text)
    calls = found if isinstance(found, list) else [found]
    said = (
        f"Action: {each['name']}\nAction Input: {json.dumps(each['arguments'], ensure_ascii=False)}"
        for each in calls
    )
    return before + "\n".join(said)


def check_cutoff(cutoff: int) -> None:
    """Refuse a cutoff that leaves nothing."""
    if cutoff < 1:
        raise UsageError(f"--cutoff-len {cutoff}: allowed are whole numbers from 1")
