"""The comparison as one HTML page: it loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup, escape

from curate.data.language import language_of
from curate.models.protocols import TOO_LONG
from deploy.compare.answers import Answer
from deploy.compare.comparison import Comparison, Item
from deploy.compare.judge import EMPTY, FAILED, MALFORMED, POSITION
from deploy.compare.measures import ROUGE_L, WinRate
from deploy.compare.metrics import HAN, LEVEL
from deploy.compare.summary import (
    asked_line,
    difference,
    doubts,
    number,
    untold_line,
    verdict_words,
    win_line,
)

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
# Above this, marking what differs takes longer than anybody reads.
_LONGEST = 4000
_PART = re.compile(rf"\s+|[{HAN}]|[^\W_{HAN}]+|.", re.DOTALL)
# What HTML takes for no character; tabs and line breaks stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LANGUAGES = {"zh": Markup(' lang="zh-Hans"'), "en": Markup(' lang="en"')}


def page(comparison: Comparison) -> str:
    """Return the whole page; the same comparison gives the same bytes.

    Text of prompts and answers is data and is escaped. A policy in the page's head lets only
    its own style and script work, known by their sha256, and lets nothing be loaded.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True)
    filters = {
        "shown": shown,
        "paragraph": paragraph,
        "filters_of": filters_of,
        "sides": lambda item: list(_sides(item)),
    }
    environment.filters.update(filters)
    style, script = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    wins = comparison.wins
    return environment.get_template("page.html.jinja").render(
        comparison=comparison,
        names=[comparison.models[side]["name"] for side in ("base", "tuned")],
        style=style,
        script=script,
        policy=Markup(
            f"default-src 'none'; style-src 'sha256-{_sha256(style)}'; "
            f"script-src 'sha256-{_sha256(script)}'; base-uri 'none'; form-action 'none'"
        ),
        asked=asked_line(comparison),
        most=f"{comparison.params.max_tokens:,}",
        wins=win_line(wins) if wins else "",
        doubts=doubts(wins) if wins else "",
        bars=_bars(wins) if wins else [],
        measures=list(_measures(comparison)),
        untold=untold_line(comparison),
        percent=round(100 * LEVEL),
        filters=list(_buttons(comparison)),
        kinds=_KINDS,
        how={how: _HOW.get(how, "") for how in wins.how} if wins else {},
        failures=_FAILURES,
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _bars(wins: WinRate) -> list[tuple[str, str, str]]:
    total = wins.wins + wins.ties + wins.losses
    shares = [100 * count / total for count in (wins.wins, wins.ties, wins.losses)]
    starts = (0.0, shares[0], shares[0] + shares[1])
    names = ("wins", "ties", "losses")
    return [
        (name, f"{start:.3f}", f"{share:.3f}")
        for name, start, share in zip(names, starts, shares, strict=True)
    ]


def _measures(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    for one in comparison.measures:
        colour = f" {one.verdict}" if one.verdict in ("better", "worse") else ""
        base, tuned = number(one.base, one.name), number(one.tuned, one.name)
        yield one.title, base, tuned, difference(one), colour, verdict_words(one.verdict)


def filters_of(item: Item) -> list[str]:
    """Return the filters that a prompt passes."""
    changed = ["changed"] if item.kind in ("better", "worse", "tie") else []
    return [item.kind, *changed, *(["empty"] if item.empty else [])]


def _buttons(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    counts = Counter(value for item in comparison.items for value in filters_of(item))
    counts["all"] = len(comparison.items)
    for value, label in _FILTERS:
        if counts[value]:
            yield value, label, f"{counts[value]:,}"


def _sides(item: Item) -> Iterator[tuple[str, Answer, Markup | None, str]]:
    texts = item.base.text, item.tuned.text
    marked: tuple[Markup | None, Markup | None] = differences(*texts) if all(texts) else (None,) * 2
    for side, (word, answer) in enumerate((("base", item.base), ("tuned", item.tuned))):
        yield word, answer, marked[side], _facts(item, answer, side)


def _facts(item: Item, answer: Answer, side: int) -> str:
    facts = [f"{len(answer.text):,} characters"]
    if answer.cut:
        facts.append("cut off at the limit")
    if item.numbers is not None:
        numbers = item.numbers[side]
        facts += ["ends in a loop"] if numbers["loops"] else []
        facts += [f"ROUGE-L {numbers[ROUGE_L]:.2f}"] if ROUGE_L in numbers else []
    if item.verdict is not None and item.verdict.scores is not None:
        facts.append(f"reward {item.verdict.scores[side]:.2f}")
    return " · ".join(facts)


def shown(text: str) -> Markup:
    """Return a text as HTML: nothing in it is markup, and control characters are seen.

    Example:
        >>> str(shown("</script><b>"))
        '&lt;/script&gt;&lt;b&gt;'
    """
    return escape(_CONTROL.sub("\ufffd", text))


def paragraph(text: str, marked: Markup | None = None, name: str = "text") -> Markup:
    """Return a text as a paragraph in its language; `marked` is the same as HTML already."""
    inside = shown(text) if marked is None else marked
    language = _LANGUAGES.get(language_of(text), "")
    return Markup('<p class="{}" dir="auto"{}>{}</p>').format(name, language, inside)


def differences(first: str, second: str) -> tuple[Markup, Markup]:
    """Return two texts as HTML, what only one of them has in <span class="d">.

    Example:
        >>> differences("多喝水", "多喝茶")
        (Markup('多喝<span class="d">水</span>'), Markup('多喝<span class="d">茶</span>'))
    """
    ours, theirs = _PART.findall(first), _PART.findall(second)
    if max(len(ours), len(theirs)) > _LONGEST:
        return shown(first), shown(second)
    left, right = Markup(), Markup()
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        left += _run("".join(ours[start:end]), what == "equal")
        right += _run("".join(theirs[other_start:other_end]), what == "equal")
    return left, right


def _run(text: str, same: bool) -> Markup:
    if not text or same:
        return shown(text)
    return Markup('<span class="d">{}</span>').format(shown(text))
