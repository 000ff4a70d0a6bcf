"""What the stage makes of a converted row: usable, dropped, or the end of the run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from curate.data.ends_training import are_media, miscounted, wrong_call, wrong_tools
from curate.llamafactory.dataset_info import COLUMNS, NOT_READ, Attributes
from curate.llamafactory.doctor.converting import CONVERTERS, Example, Message
from curate.llamafactory.doctor.data_set import loader_stage
from curate.llamafactory.doctor.findings import Ends


@dataclass(frozen=True)
class Takes:
    """What a model's template takes; None where it is not known."""

    media: Collection[str] | None = None  # columns of pictures, videos and sounds
    tools: str | None = None  # tool format, by LLaMA-Factory's name


ANYTHING = Takes()


@dataclass(frozen=True)
class Verdict:
    rule: str = ""  # why the row is left out or ends the run, '' for one that is usable
    said: str = ""
    example: Example | None = None
    losses: tuple[str, ...] = ()


def judge(row: dict[str, Any], attr: Attributes, stage: str, takes: Takes = ANYTHING) -> Verdict:
    """Return what becomes of one row under a template that takes so much."""
    stage, key = loader_stage(stage), attr.columns["kto_tag"]
    tag = row.get(key) if isinstance(key, str) else None
    example: Example | None = None
    try:
        if str(attr.formatting) not in CONVERTERS:
            raise Ends("unknown_formatting", f"ValueError: converter {attr.formatting} not found")
        example = CONVERTERS[attr.formatting](row, attr)
        if stage != "pt" and (dropped := _dropped(example, stage, tag, bool(key))):
            return Verdict(dropped, example=example)
        _check(example, stage, takes)
    except Ends as end:
        return Verdict(end.rule, end.said, example)
    losses = [*example.losses, *["media"] * bool(example.media and takes.media is None)]
    tools = example.tools if stage != "pt" and takes.tools is None else ""
    if tools and wrong_tools(tools, "default"):
        losses.append("tools_by_template")
    losses += _lost_columns(row, attr) + _lost_texts(example, stage, tag)
    return Verdict(example=example, losses=tuple(losses))


def trained(example: Example, stage: str) -> list[Message]:
    if stage == "kto":
        return [example.response[0] if example.response[0]["content"] else example.response[1]]
    return example.response[:2]


def _dropped(example: Example, stage: str, tag: Any, has_tag: bool) -> str:
    """Return why the processor of a stage leaves a row out, '' if it does not."""
    answers = len(example.response)
    if len(example.prompt) % 2 == 1 and (answers == 1 if stage == "sft" else answers >= 2):
        return ""
    if stage == "kto" and answers < 2 and example.rule in ("", "no_response"):
        return "no_verdict" if tag is None else "string_kto_tag"
    if stage == "sft" and answers > 1 and not example.rule:
        return "verdict_in_sft" if has_tag else "pair_in_sft"
    return example.rule or "not_a_pair"


def _check(example: Example, stage: str, takes: Takes) -> None:
    if stage == "pt":
        if not example.prompt:
            why = f" ({example.rule})" if example.rule else ""
            raise Ends("pt_without_text", f"IndexError: list index out of range{why}")
        if not isinstance(example.prompt[0]["content"], str):
            raise Ends("not_text", "TypeError: unsupported operand type(s) for +")
        return
    for message in [*example.prompt, *trained(example, stage)]:
        content = message["content"]
        if message["role"] == "system":
            raise Ends("unknown_role_stops", "NotImplementedError: Unexpected role: system")
        if not isinstance(content, str):
            raise Ends("not_text", f"RuntimeError: Expected a string, got {content}"[:80])
        if message["role"] == "function":
            _end_if(wrong_call(content), "call_not_json")
    if example.tools:
        if not isinstance(example.tools, str):
            raise Ends("tools_not_text", "TypeError: the JSON object must be str")
        _end_if(wrong_tools(example.tools, takes.tools or ""), "tools_not_described")
    if example.system and not isinstance(example.system, str):
        raise Ends("system_not_text", "TypeError: unsupported operand type(s) for +")
    if not all(are_media(files, kind == "videos") for kind, files in example.media.items()):
        raise Ends("bad_media", f"no list of files: {example.media}"[:80])
    for column in example.media:
        if takes.media is not None and column not in takes.media:
            kind = column.removesuffix("s")
            raise Ends("media_not_taken", f"ValueError: This model does not support {kind} input.")
    for answer in trained(example, stage) if example.media or takes.media else ():
        texts = [message["content"] for message in (*example.prompt, answer)]
        _end_if(miscounted(texts, example.media), "media_miscounted")


def _end_if(problem: str, rule: str) -> None:
    if problem:
        raise Ends(rule, problem)


def _lost_columns(row: dict[str, Any], attr: Attributes) -> list[str]:
    """Return a rule for every column under its usual name that the entry does not read."""
    looked_at = [column for column in COLUMNS if column not in NOT_READ[attr.formatting]]
    read = {attr.columns[column] for column in looked_at}
    lost = []
    for column in looked_at:
        key = COLUMNS[column] or column
        there = row.get(key) or isinstance(row.get(key), bool)
        if there and not attr.columns[column] and key not in read:
            lost.append(f"lost_{column}")
    return lost


def _lost_texts(example: Example, stage: str, tag: Any) -> list[str]:
    losses = ["empty_prompt"] * (not example.prompt[0 if stage == "pt" else -1]["content"].strip())
    if stage == "pt":
        more = len(example.prompt) > 1 or any(each["content"] for each in example.response)
        return losses + ["pt_first_message_only"] * bool(more or example.system)
    if stage == "kto" and tag and not example.response[0]["content"]:
        losses.append("verdict_turned")
    elif any(not each["content"].strip() for each in trained(example, stage)):
        losses.append("empty_response")
    if stage == "sft" and tag is not None and not isinstance(tag, bool):
        losses.append("string_kto_tag_sft")
    return losses
