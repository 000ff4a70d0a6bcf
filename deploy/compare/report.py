"""What a comparison amounts to, in sentences; one HTML page, a line a prompt, and what made them.

The page loads nothing, and runs no script but its own. Text of prompts and answers is data and is
escaped; a policy in the page's head lets only its own style and script work, known by sha256.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from curate.data.describe import language_of
from curate.errors import UsageError
from curate.system.files import sha256_of, write_text, writing_to
from curate.system.manifest import to_json, versions
from deploy.compare.comparison import Comparison, Measure, WinRate
from deploy.compare.judge import EMPTY, FAILED, IDENTICAL, MALFORMED, POSITION, Pair
from deploy.compare.metrics import HAN

_SHARES, _LARGE = ("cut", "empty", "repeated", "loops"), ("characters", "pieces", "bleu")
_VERDICTS = {"none": "not told apart", "too_few": "too few"}
HOW = {
    IDENTICAL: "identical answers",
    EMPTY: "one answer empty",
    POSITION: "other verdict in the other order",
    MALFORMED: "no verdict in what the judge said",
    FAILED: "the judge failed",
}
_PAGE = Path(__file__).parent / "page"
_NAME = re.compile(r"[\w.-]+")
_LONGEST_NAME = 200
_KEPT = ". What was answered is kept"
# Above this, marking what differs takes longer than anybody reads.
_MOST_PARTS = 4000
_PART = re.compile(rf"\s+|[{HAN}]|[^\W_{HAN}]+|.", re.DOTALL)
# What HTML takes for no character; tabs and line breaks stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LANGUAGES = {"zh": Markup(' lang="zh-Hans"'), "en": Markup(' lang="en"')}


def cells(measure: Measure) -> tuple[str, str, str, str, str]:
    """Return title, base, tuned, difference with its interval, and what that amounts to."""

    def number(value: float) -> str:
        if measure.name in _SHARES:
            return f"{100 * value:.0f} %"
        return f"{value:.{1 if measure.name in _LARGE else 3}f}"

    difference = measure.difference
    with_ends = f"{'+' if difference.value >= 0 else '−'}{number(abs(difference.value))}"
    if difference.low is not None and difference.high is not None:
        ends = (number(end + 0.0) for end in (difference.low, difference.high))  # no −0.000
        with_ends += f" [{', '.join(ends).replace('-', '−')}]"
    verdict = _VERDICTS.get(measure.verdict, measure.verdict)
    return measure.title, number(measure.base), number(measure.tuned), with_ends, verdict


def untold_line(comparison: Comparison) -> str:
    untold = [measure for measure in comparison.measures if measure.verdict == "none"]
    if not untold:
        return ""
    prompts = max(measure.difference.prompts for measure in untold)
    titles = ", ".join(measure.title for measure in untold)
    return f"no difference can be told from {prompts:,} prompts (the interval spans 0) in: {titles}"


def win_line(wins: WinRate) -> str:
    rate, ends = wins.rate, ""
    if rate.low is not None and rate.high is not None:
        ends = f" [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"
    verdict = {
        "none": f"no difference can be told from {rate.prompts:,} prompts",
        "too_few": f"{rate.prompts:,} prompts are too few to tell",
    }.get(wins.verdict, f"tuned is {wins.verdict}")
    return (
        f"judge {wins.judge}: tuned wins {wins.wins:,}, ties {wins.ties:,}, loses {wins.losses:,}; "
        f"win rate {100 * rate.value:.0f} %{ends} with a tie as half: {verdict}"
    )


def doubts(wins: WinRate) -> str:
    parts = [f"{text}: {wins.how[how]:,}" for how, text in HOW.items() if wins.how.get(how)]
    if decided := wins.wins + wins.losses:
        warning = ": judges tend to prefer length" if wins.longer >= 0.8 * decided else ""
        parts.append(f"the longer answer won {wins.longer:,} of {decided:,}{warning}")
    return "; ".join(parts)


def asked_line(comparison: Comparison) -> str:
    asked = comparison.prompts
    known = [prompt.trained_on for prompt in asked.prompts]
    referenced = sum(bool(prompt.reference) for prompt in asked.prompts)
    parts = [f"{len(known):,} prompts of {', '.join(asked.sources)}"]
    parts.append(f"{referenced:,} with a reference")
    if False in known:
        parts.append(f"{known.count(False):,} held out from the training")
    elif set(known) == {None}:
        parts.append("whether the tuned model was trained on them is not known")
    if asked.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in asked.left_out.items())
        parts.append(f"of {asked.read:,} rows left out: {reasons}")
    return "; ".join(parts)


def default_name(base: str, tuned: str) -> str:
    stems = []
    for name in (tuned, base):
        server, _, model = name.partition("#")
        last = model or re.sub(r"^https?://|/v1$", "", server)
        parts = [part for part in re.split(r"[/\\]", last) if part not in ("", ".", "..")]
        stem = re.sub(r"[^\w.-]+", "_", parts[-1] if parts else "model").strip("._")
        stems.append(stem or "model")
    return "_beside_".join(stems)[:_LONGEST_NAME]


def check_target(folder: Path, name: str) -> None:
    """Make the folder and refuse what could not be written, before models are loaded."""
    if not _NAME.fullmatch(name) or name.startswith(".") or len(os.fsencode(name)) > _LONGEST_NAME:
        allowed = f"up to {_LONGEST_NAME} bytes of letters, digits, _, - and ."
        raise UsageError(f"--name {name}: allowed are {allowed}")
    with writing_to(folder, more=_KEPT):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write(comparison: Comparison, folder: Path, name: str, seconds: float) -> list[Path]:
    """Write page, lines and manifest, the manifest last; return their paths in this order."""
    paths = [folder / f"{name}{ending}" for ending in (".html", ".jsonl", ".manifest.json")]
    lines = []
    for pair in comparison.pairs:
        numbers = pair.numbers if pair.answered else (None, None)
        line = {
            "id": pair.prompt.id,
            "source": pair.prompt.source,
            "messages": pair.prompt.messages,
            "reference": pair.prompt.reference,
            "trained_on": pair.prompt.trained_on,
            "base": {**asdict(pair.base), "numbers": numbers[0]},
            "tuned": {**asdict(pair.tuned), "numbers": numbers[1]},
            "kind": pair.kind,
            "verdict": asdict(pair.verdict) if pair.verdict is not None else None,
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    params = asdict(comparison.params)
    for side in ("base", "tuned", "judge"):
        if os.path.isabs(params[side] or ""):
            params[side] = Path(params[side]).name  # folders are this machine's
    with writing_to(folder, more=_KEPT):
        write_text(paths[0], page(comparison))
        write_text(paths[1], "".join(f"{line}\n" for line in lines))
        sources = comparison.prompts.sources.items()
        manifest = {
            "recipe": "compare",
            "params": params,
            "models": comparison.models,
            "sources": [{"name": source, "sha256": sha256} for source, sha256 in sources],
            **counts(comparison),
            "files": {path.name: sha256_of(path) for path in paths[:2]},
            "versions": versions(),
            "wall_seconds": round(seconds, 1),
        }
        write_text(paths[2], to_json(manifest))
    return paths


def counts(comparison: Comparison) -> dict[str, Any]:
    prompts, pairs, wins = comparison.prompts, comparison.pairs, comparison.wins
    known = [prompt.trained_on for prompt in prompts.prompts]
    measures = {}
    for measure in comparison.measures:
        both = {"base": measure.base, "tuned": measure.tuned}
        measures[measure.name] = {**both, **asdict(measure.difference), "told": measure.verdict}
    return {
        "read": prompts.read,
        "left_out": prompts.left_out,
        "asked": len(prompts.prompts),
        "answered": sum(pair.answered for pair in pairs),
        "failed": {
            "base": sum(bool(pair.base.failure) for pair in pairs),
            "tuned": sum(bool(pair.tuned.failure) for pair in pairs),
        },
        "held_out": known.count(False),
        "trained_on": known.count(True),
        "kinds": dict(sorted(Counter(pair.kind for pair in pairs).items())),
        "measures": measures,
        "judge": {**asdict(wins), "told": wins.verdict} if wins is not None else None,
        "worse_by": comparison.worse,
        "notes": list(comparison.notes),
    }


def page(comparison: Comparison) -> str:
    """Return the whole page; the same comparison gives the same bytes."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(_PAGE), autoescape=True)
    sentences = (asked_line, win_line, doubts, untold_line, cells)
    for function in (*sentences, shown, paragraph, differences, filters_of, sha256_in_base64):
        environment.filters[function.__name__] = function
    return environment.get_template("page.html.jinja").render(
        comparison=comparison,
        how=HOW,
        style=(_PAGE / "style.css").read_text(encoding="utf-8"),
        script=(_PAGE / "script.js").read_text(encoding="utf-8"),
        counts=Counter(value for pair in comparison.pairs for value in filters_of(pair)),
    )


def sha256_in_base64(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def filters_of(pair: Pair) -> list[str]:
    changed = ["changed"] if pair.kind in ("better", "worse", "tie") else []
    return ["all", pair.kind, *changed, *(["empty"] if pair.empty else [])]


def shown(text: str) -> Markup:
    """Return a text as HTML: nothing in it is markup, and control characters are seen."""
    return escape(_CONTROL.sub("\ufffd", text))


def paragraph(text: str, marked: Markup | None = None, name: str = "text") -> Markup:
    """Return a text as a paragraph in its language; `marked` is the same as HTML already."""
    inside = shown(text) if marked is None else marked
    language = _LANGUAGES.get(language_of(text), "")
    return Markup('<p class="{}" dir="auto"{}>{}</p>').format(name, language, inside)


def differences(first: str, second: str) -> tuple[Markup, Markup]:
    """Return two texts as HTML, what only one of them has in <span class="d">."""
    ours, theirs = _PART.findall(first), _PART.findall(second)
    if not ours or not theirs or max(len(ours), len(theirs)) > _MOST_PARTS:
        return shown(first), shown(second)
    left, right, span = Markup(), Markup(), Markup('<span class="d">{}</span>')
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for what, *ends in matcher.get_opcodes():
        run = shown("".join(ours[slice(*ends[:2])]))
        other_run = shown("".join(theirs[slice(*ends[2:])]))
        left += run if what in ("equal", "insert") else span.format(run)
        right += other_run if what in ("equal", "delete") else span.format(other_run)
    return left, right
