"""What a cutoff leaves of a row: LLaMA-Factory's rules of truncation.

Prompt and response of every turn share what the turns before have left, in proportion to their
lengths where both are long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.data.ends_training import parts_of_call
from curate.llamafactory.doctor.converting import Example, Message
from curate.llamafactory.doctor.data_set import loader_stage
from curate.llamafactory.doctor.stages import Takes, Verdict, trained
from curate.llamafactory.doctor.templates import CONTENT, Slots, Template, Tokens, template_in
from curate.parameters.doctor import DoctorParams

_PLACE = "{{idx}}"
_CHATML = ("<|im_start|>", "<|im_end|>")
# Rules of rows that the cutoff shortens.
_CUT = {"cut_text", "cut_prompt", "cut_response", "no_end_token", "no_response_left", "lost_turns"}


def cutoff_of(params: DoctorParams) -> Cutoff | None:
    """Return what looks at the tokens of rows, None where no model was given."""
    if params.model is None or params.cutoff_len is None:
        return None
    from curate.models.resolve import resolve

    trusted = params.trust_remote_code
    folder = resolve(params.model, trusted).folder
    template = template_in(folder, params.template, trusted)
    return cutoff_in(folder, params.cutoff_len, template, params.no_packing, trusted)


def cutoff_in(
    folder: Path, cutoff_len: int, template: Template, unpacked: bool, trusted: bool = False
) -> Cutoff:
    """Return what looks at the tokens of rows, with the tokenizer of a model's folder."""
    is_chatml = template.user[0] is not None and template.user[0].startswith(_CHATML[0])
    words = _CHATML if is_chatml and template.name != "own" else ()
    return Cutoff(template, Tokens(folder, words, trusted), cutoff_len, unpacked)


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
    """Looks at the tokens of every usable row, and counts them."""

    template: Template
    tokenizer: Tokens
    cutoff: int  # tokens of a row, or of a packed block
    unpacked: bool = False  # in stage pt, cut every row, as `packing: false` does
    tokens: int = field(default=0, init=False)  # of all rows so far, of all files
    longest: int = field(default=0, init=False)  # tokens of the longest row of this file
    cut: int = field(default=0, init=False)  # rows of this file that are shortened
    # Of this file's texts in stage pt: tokens, those of the batch, whole blocks, what is left over.
    _texts: int = field(default=0, init=False)
    _batch: int = field(default=0, init=False)
    _blocks: int = field(default=0, init=False)
    _rest: int = field(default=0, init=False)

    @property
    def about(self) -> str:
        return f"template {self.template.name}, cutoff {self.cutoff:,} tokens"

    @property
    def takes(self) -> Takes:
        """What the template takes: those that are measured take no pictures."""
        return Takes((), self.template.tools)

    def begins(self) -> None:
        self.longest = self.cut = self._texts = self._batch = self._blocks = self._rest = 0

    def row(self, stage: str, verdict: Verdict) -> Iterable[str]:
        assert verdict.example
        stage = loader_stage(stage)
        if stage == "pt":
            rules = self._text(verdict.example)
        elif verdict.example.tools:
            return ["not_measured"]
        else:
            rules = list(dict.fromkeys(self._rules(verdict.example, stage)))
        self.cut += bool(_CUT & set(rules))
        return rules

    def batch_ends(self) -> None:
        """Pack what the rows of a batch have: LLaMA-Factory does so for every 1,000."""
        self._blocks += self._batch // self.cutoff
        self._rest += self._batch % self.cutoff
        self._batch = 0

    def whole(self) -> Iterator[tuple[str, str]]:
        """Yield what holds for the file, when all rows have passed by."""
        if not self._texts or self.unpacked:
            return
        if not self._blocks:
            yield "no_block", f"{self._texts:,} tokens, {self.cutoff:,} are one block"
        elif self._rest:
            yield "packing_rest", f"{self._rest:,} of {self._texts:,} tokens"

    def _text(self, example: Example) -> list[str]:
        length = len(self.tokenizer.encode(example.prompt[0]["content"])) + 1
        self.tokens += length
        self.longest = max(self.longest, length)
        self._texts += length
        self._batch += length
        return ["cut_text"] if self.unpacked and length > self.cutoff else []

    def _rules(self, example: Example, stage: str) -> Iterator[str]:
        pairs = list(self.kept(example, stage))
        self.tokens += sum(len(ids) for _, pair in pairs for ids in pair)
        length = sum(len(source) + max(map(len, answers)) for _, (source, *answers) in pairs)
        self.longest = max(self.longest, length)
        for kept, (source, *answers) in pairs:
            if kept is None:
                yield "lost_turns"
                continue
            if kept[0] < len(source):
                yield "cut_prompt"
            for ids in answers:
                yield from _ends(ids, min(kept[1], len(ids)), self.tokenizer.end)

    def kept(
        self, example: Example, stage: str
    ) -> Iterator[tuple[tuple[int, int] | None, list[list[int]]]]:
        """Yield, for every prompt and its response (two to compare), what is kept of them."""
        prompt = [self._message(turn, place) for place, turn in enumerate(example.prompt)]
        system = example.system or self.template.default_system
        head = self._slots((self.template.prefix,), "")
        prompt[0] = head + (self._slots(self.template.system, system) if system else []) + prompt[0]
        answers = [self._message(turn, len(example.prompt)) for turn in trained(example, stage)]
        if stage != "sft":
            whole = [one for ids in prompt for one in ids]
            yield room(len(whole), max(map(len, answers)), self.cutoff), [whole, *answers]
            return
        turns, used = [*prompt, *answers], 0
        for source, target in zip(turns[::2], turns[1::2], strict=True):
            if used >= self.cutoff:
                yield None, [source, target]
                continue
            kept = room(len(source), len(target), self.cutoff - used)
            used += sum(kept)
            yield kept, [source, target]

    def _message(self, turn: Message, place: int) -> list[int]:
        role, text = turn["role"], turn["content"]
        if role == "user":
            return self._slots(self.template.user, text, str(place // 2))
        if role == "observation":
            return self._slots(self.template.observation or self.template.user, text)
        return self._slots(self.template.assistant, _call(text) if role == "function" else text)

    def _slots(self, slots: Slots, text: str, place: str = "") -> list[int]:
        ids: list[int] = []
        for slot in slots:
            if slot is None:
                ids.append(self.tokenizer.end)
                continue
            whole = slot.replace(CONTENT, text, 1)
            whole = whole.replace(_PLACE, place, 1) if place else whole
            ids += self.tokenizer.encode(whole) if whole else []
        return ids


def _ends(ids: Sequence[int], kept: int, end: int) -> Iterator[str]:
    last = max((place for place, token in enumerate(ids) if token == end), default=len(ids))
    if not kept and ids:
        yield "no_response_left"
    elif kept < last:
        yield "cut_response"
    if kept <= last < len(ids):
        yield "no_end_token"


def _call(text: Any) -> str:
    before, calls = parts_of_call(text)
    lines = []
    for call in calls if isinstance(calls, list) else [calls]:
        arguments = json.dumps(call["arguments"], ensure_ascii=False)
        lines.append(f"Action: {call['name']}\nAction Input: {arguments}")
    return before + "\n".join(lines)
