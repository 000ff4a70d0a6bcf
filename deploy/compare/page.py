"""The comparison as one HTML page: it loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from curate.models.protocols import TOO_LONG
from deploy.compare.comparison import Comparison, Item
from deploy.compare.judging import EMPTY, FAILED, IDENTICAL, MALFORMED, POSITION, Verdict
from deploy.compare.marked_text import differences, escaped, paragraph
from deploy.compare.measures import ROUGE_L
from deploy.compare.summary import summary

_FOLDER = Path(__file__).parent / "page"
_KINDS = {
    "better": "tuned is better",
    "worse": "tuned is worse",
    "tie": "tie",
    "changed": "changed",
    "identical": "identical",
    "failed": "no answer",
}
_HOW = {
    POSITION: "the judge changed its mind when the order changed",
    MALFORMED: "the judge gave no verdict",
    FAILED: "the judge failed",
    EMPTY: "one answer is empty",
    IDENTICAL: "",
}
_FAILURES = {TOO_LONG: "the prompt is too long for the model"}
# Value of a button, its label; what an article is stands in data-is.
_FILTERS = (
    ("all", "All"),
    ("better", "Better"),
    ("worse", "Worse"),
    ("tie", "Tie"),
    ("changed", "Changed"),
    ("identical", "Identical"),
    ("empty", "Empty"),
    ("failed", "No answer"),
)


def page(found: Comparison) -> str:
    """Return the whole page; the same comparison gives the same bytes.

    Text of prompts and answers is data and is escaped. A policy in the page's head lets only
    its own style and script work, known by their sha256, and lets nothing be loaded.

    Args:
        found: From compare().
    """
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    script = (_FOLDER / "script.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_sha256(style)}'; "
        f"script-src 'sha256-{_sha256(script)}'; base-uri 'none'; form-action 'none'"
    )
    names = [escaped(found.models[side]["name"]) for side in ("base", "tuned")]
    articles = "\n".join(_article(at, item, found) for at, item in enumerate(found.items, 1))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{names[1]} beside {names[0]}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{names[1]} <span class="soft">beside</span> {names[0]}</h1>\n'
        f"{summary(found)}</header>\n{_tools(found)}\n<main>\n{articles}\n</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def is_(item: Item) -> list[str]:
    """Return the filters that a prompt passes.

    Args:
        item: One prompt.
    """
    passes: list[str] = [item.kind]
    if item.kind in ("better", "worse", "tie"):
        passes.append("changed")
    if item.empty:
        passes.append("empty")
    return passes


def _tools(found: Comparison) -> str:
    counts = {"all": len(found.items)}
    for item in found.items:
        for each in is_(item):
            counts[each] = counts.get(each, 0) + 1
    buttons = "".join(
        f'<button type="button" data-show="{value}" aria-pressed="false">{label} '
        f"{counts[value]:,}</button>"
        for value, label in _FILTERS
        if counts.get(value)
    )
    return (
        '<div class="tools" hidden>\n'
        f'<div class="filters" role="group" aria-label="Which prompts are shown">{buttons}</div>\n'
        '<input type="search" id="search" placeholder="Search prompts and answers" '
        'aria-label="Search prompts and answers">\n'
        '<label class="check"><input type="checkbox" id="diff">mark differences</label>\n'
        '<span id="count" class="soft" role="status"></span>\n'
        '<details class="keys"><summary>keys</summary><p>/ search, j next, k previous, '
        "d differences, Esc leaves the search</p></details>\n</div>"
    )


def _article(at: int, item: Item, found: Comparison) -> str:
    texts = (item.base.text, item.tuned.text)
    marked = differences(*texts) if all(texts) else (escaped(texts[0]), escaped(texts[1]))
    sides = "".join(_side(item, found, side, html) for side, html in enumerate(marked))
    kind = item.kind
    colour = f' class="{kind}"' if kind in ("better", "worse") else ""
    says = [f"<span{colour}>{_KINDS[kind]}</span>", *_why(item.verdict)]
    if item.prompt.trained_on:
        says.append('<span class="soft">the tuned model was trained on this prompt</span>')
    return (
        f'<article id="p{at}" tabindex="-1" data-is="{" ".join(is_(item))}">\n'
        f"<h3><span>{at}</span>{''.join(says)}</h3>\n{_asked(item)}\n"
        f'<div class="sides">{sides}</div>\n{_reference(item)}</article>'
    )


def _why(verdict: Verdict | None) -> list[str]:
    told = _HOW.get(verdict.how, "") if verdict else ""
    return [f'<span class="soft">{told}</span>'] if told else []


def _asked(item: Item) -> str:
    prompt = item.prompt
    before = [("system", prompt.system)] if prompt.system else []
    before += [(turn.role, turn.content) for turn in prompt.turns[:-1]]
    said = "".join(f"<h4>{escaped(role)}</h4>{paragraph(text)}" for role, text in before)
    earlier = f"<details><summary>what was said before</summary>{said}</details>" if said else ""
    return paragraph(prompt.turns[-1].content, name="text asked") + earlier


def _reference(item: Item) -> str:
    if not item.prompt.reference:
        return ""
    return f"<details><summary>reference</summary>{paragraph(item.prompt.reference)}</details>\n"


def _side(item: Item, found: Comparison, side: int, html: str) -> str:
    answer = (item.base, item.tuned)[side]
    word = ("base", "tuned")[side]
    name = escaped(found.models[word]["name"])
    head = f"<h4>{word}: {name}</h4>"
    if answer.failure:
        why = _FAILURES.get(answer.failure, answer.failure)
        return f'<section>{head}<p class="worse">no answer: {escaped(why)}</p></section>'
    text = paragraph(answer.text, html) if answer.text.strip() else '<p class="soft">(empty)</p>'
    return f'<section>{head}{text}<p class="facts">{_facts(item, side)}</p></section>'


def _facts(item: Item, side: int) -> str:
    answer = (item.base, item.tuned)[side]
    told = [f"{len(answer.text):,} characters"]
    if answer.cut:
        told.append("cut off at the limit")
    if item.numbers is not None:
        numbers = item.numbers[side]
        told += ["ends in a loop"] if numbers["loops"] else []
        told += [f"ROUGE-L {numbers[ROUGE_L]:.2f}"] if ROUGE_L in numbers else []
    if item.verdict is not None and item.verdict.scores is not None:
        told.append(f"reward {item.verdict.scores[side]:.2f}")
    return " · ".join(told)
