"""What a comparison amounts to, in sentences; one HTML page, a line a prompt, and what made them.

The page stands on `curate.page`: it loads nothing, runs no script but its own, and text of prompts
and answers is data.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.page.document import document
from curate.page.figures import bar
from deploy.compare.asking import counted
from deploy.compare.comparison import Comparison, Measure, WinRate
from deploy.compare.pairs import EMPTY, FAILED, IDENTICAL, MALFORMED, POSITION, Pair
from deploy.exam.result import Result
from deploy.output import portable, write_results

_SHARES, _LARGE = ("cut", "empty", "loops"), ("characters", "bleu")
_VERDICTS = {"none": "not told apart", "too_few": "too few"}
HOW = {
    IDENTICAL: "identical answers",
    EMPTY: "one answer empty",
    POSITION: "other verdict in the other order",
    MALFORMED: "no verdict in what the judge said",
    FAILED: "the judge failed",
}
_PAGE = Path(__file__).parent / "page"


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
        "too_few": f"too few to tell from {counted(rate.prompts)}",
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
    parts = [f"{counted(len(known))} of {', '.join(asked.sources)}"]
    parts.append(f"{referenced:,} with a reference")
    if False in known:
        parts.append(f"{known.count(False):,} held out from the training")
    elif set(known) == {None}:
        parts.append("whether the tuned model was trained on them is not known")
    if asked.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in asked.left_out.items())
        parts.append(f"of {asked.read:,} rows left out: {reasons}")
    return "; ".join(parts)


def write(
    comparison: Comparison, folder: Path, name: str, seconds: float, exam: Result | None = None
) -> list[Path]:
    params = asdict(comparison.params)
    for side in ("base", "tuned", "judge"):
        if params[side]:
            params[side] = portable(params[side])
    asked = comparison.prompts.sources.items()
    sources = [{"name": source, "sha256": sha256} for source, sha256 in asked]
    manifest = {
        "recipe": "compare",
        "params": params,
        "models": comparison.models,
        "sources": sources + (exam.exam.sources if exam else []),
        **counts(comparison, exam),
        "wall_seconds": round(seconds, 1),
    }
    lines = map(_line, comparison.pairs)
    return write_results(folder, name, lines, manifest, page(comparison, exam))


def _line(pair: Pair) -> dict[str, Any]:
    base, tuned = pair.numbers if pair.answered else (None, None)
    return {
        "id": pair.prompt.id,
        "source": pair.prompt.source,
        "messages": pair.prompt.messages,
        "reference": pair.prompt.reference,
        "trained_on": pair.prompt.trained_on,
        "base": {**asdict(pair.base), "numbers": base},
        "tuned": {**asdict(pair.tuned), "numbers": tuned},
        "kind": pair.kind,
        "verdict": asdict(pair.verdict) if pair.verdict is not None else None,
    }


def counts(comparison: Comparison, exam: Result | None = None) -> dict[str, Any]:
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
        **({"exam": exam.as_dict()} if exam else {}),
    }


def page(comparison: Comparison, exam: Result | None = None) -> str:
    sentences = (asked_line, win_line, doubts, untold_line, cells)
    return document(
        _PAGE,
        *(*sentences, filters_of, bar),
        comparison=comparison,
        exam=exam,
        how=HOW,
        counts=Counter(value for pair in comparison.pairs for value in filters_of(pair)),
    )


def filters_of(pair: Pair) -> list[str]:
    changed = ["changed"] if pair.kind in ("better", "worse", "tie") else []
    return ["all", pair.kind, *changed, *(["empty"] if pair.empty else [])]
