"""New tasks, after examples: what they are about and of which kind is drawn for each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from curate.data.rows import Rows
from curate.distill.answers import ALPACA, REPEAT, Known, listed, texts_of
from curate.distill.prompts import Prompts, text_of
from curate.distill.requests import NOT_IN_SCHEMA, OK, Line, Request, Steps, Verb
from curate.errors import UsageError
from curate.parameters.distill import InstructParams
from curate.system.files import at_home

_PROMPT = "instruct"
BEYOND = "beyond_target"
KINDS: dict[str, Sequence[str]] = {
    "zh": (
        *("问答", "解释概念", "总结", "改写", "分类", "信息抽取", "比较", "给出建议", "制定计划"),
        "判断正误并说明理由",
    ),
    "en": (
        *("question answering", "explaining a term", "summary", "rewriting", "classification"),
        *("extracting facts", "comparison", "advice", "making a plan", "true or false, and why"),
    ),
}
_EXAMPLES, _ENTITIES = 3, 5
_ROUNDS = 4  # as many requests as the target needs, so many times, and no more


def instruct(rows: Rows, params: InstructParams, models: Mapping[str, str]) -> Verb:
    """Show three examples with each request, and ask for some tasks of one kind."""
    fields = ("examples", "task", "entities", "count")
    prompt = Prompts({_PROMPT: fields}, params, texts_of(rows))
    about = [*filter(None, map(str.strip, text_of(params.entities, "--entities").splitlines()))]
    kinds = _kinds(params.tasks, prompt.lang)
    target = min(params.target, params.limit or params.target)

    def steps(place: int) -> Steps:
        draw = np.random.default_rng([params.seed, place])
        shown = draw.choice(len(rows), min(_EXAMPLES, len(rows)), replace=False).tolist()
        drawn = draw.permutation(len(about))[:_ENTITIES]
        messages = prompt.messages(
            _PROMPT,
            examples=[
                {"instruction": row.prompt, "input": "", "output": row.response}
                for row in (rows[at] for at in shown)
            ],
            task=kinds[int(draw.integers(len(kinds)))],
            entities=[about[at] for at in drawn],
            count=params.per_request,
        )
        count = params.per_request
        (reply,) = yield [Request.by(params, models["model"], messages, place, count)]
        source_id, source = f"request-{place + 1}", rows.sources[0].name
        items = listed(reply)
        if isinstance(items, str):
            return [Line(source_id, source, items, None, (reply,))]
        lines = []
        for number, item in enumerate(items[0], 1):
            task = item if isinstance(item, dict) else {}
            texts = {key: task.get(key, "") for key in ("instruction", "input", "output")}
            good = all(isinstance(each, str) for each in texts.values())
            good = good and bool(texts["instruction"].strip())
            id_ = f"{source_id}-{number}"
            value = {**texts, "source_id": id_} if good else None
            took = (reply,) if number == 1 else ()  # its tokens are counted once
            lines.append(Line(id_, source, OK if good else NOT_IN_SCHEMA, value, took, items[1]))
        return lines

    def chosen(lines: Iterable[Line]) -> Iterator[Line]:
        known, kept = Known(row.prompt for row in rows), 0
        for line in lines:
            if line.status != OK or line.value is None:
                yield line
            elif kept >= target:
                yield replace(line, status=BEYOND, value=None)
            elif not known.add(f"{line.value['instruction']}\n{line.value['input']}".strip()):
                yield replace(line, status=REPEAT, value=None)
            else:
                kept += 1
                yield line

    return Verb(
        size=_ROUNDS * -(-target // params.per_request),
        steps=steps,
        shape=ALPACA,
        prompts=prompt.sha256,
        chosen=chosen,
        target=target,
        per_request=params.per_request,
    )


def _kinds(path: Path | None, lang: str) -> Sequence[str]:
    """Return the kinds of tasks: a YAML list, or the usual ones."""
    if path is None:
        return KINDS[lang]
    try:
        kinds = yaml.safe_load(at_home(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--tasks {path} cannot be read: {error}") from error
    if not isinstance(kinds, list) or not kinds or not all(isinstance(k, str) for k in kinds):
        raise UsageError(f"--tasks {path}: allowed is a YAML list of texts, a kind of task each")
    return kinds
