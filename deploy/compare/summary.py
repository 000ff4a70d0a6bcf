"""What a comparison amounts to, in sentences: for the page and for the terminal."""

from __future__ import annotations

from deploy.compare.comparison import Comparison, Measure, WinRate
from deploy.compare.judge import EMPTY, FAILED, IDENTICAL, MALFORMED, POSITION

_SHARES = ("cut", "empty", "repeated", "loops")
HOW = {
    IDENTICAL: "identical answers",
    EMPTY: "one answer empty",
    POSITION: "other verdict in the other order",
    MALFORMED: "no verdict in what the judge said",
    FAILED: "the judge failed",
}


def cells(measure: Measure) -> tuple[str, str, str, str, str]:
    """Return title, base, tuned, difference with its interval, and what that amounts to."""
    name, difference = measure.name, measure.difference
    shown = f"{'+' if difference.value >= 0 else '−'}{_number(abs(difference.value), name)}"
    if difference.low is not None and difference.high is not None:
        ends = (_number(end + 0.0, name) for end in (difference.low, difference.high))  # no −0.000
        shown += f" [{', '.join(ends).replace('-', '−')}]"
    words = {"none": "not told apart", "too_few": "too few"}.get(measure.verdict, measure.verdict)
    return measure.title, _number(measure.base, name), _number(measure.tuned, name), shown, words


def _number(value: float, name: str) -> str:
    if name in _SHARES:
        return f"{100 * value:.0f} %"
    return f"{value:.1f}" if name in ("characters", "pieces", "bleu") else f"{value:.3f}"


def untold_line(comparison: Comparison) -> str:
    """Return for which measures no difference can be told, '' if there is none."""
    untold = [measure for measure in comparison.measures if measure.verdict == "none"]
    if not untold:
        return ""
    prompts = max(measure.difference.prompts for measure in untold)
    titles = ", ".join(measure.title for measure in untold)
    return f"no difference can be told from {prompts:,} prompts (the interval spans 0) in: {titles}"


def win_line(wins: WinRate) -> str:
    """Return the verdicts in a sentence."""
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
    """Return what to know of the verdicts, '' if there is nothing."""
    parts = [f"{text}: {wins.how[how]:,}" for how, text in HOW.items() if wins.how.get(how)]
    if decided := wins.wins + wins.losses:
        warning = ": judges tend to prefer length" if wins.longer >= 0.8 * decided else ""
        parts.append(f"the longer answer won {wins.longer:,} of {decided:,}{warning}")
    return "; ".join(parts)


def asked_line(comparison: Comparison) -> str:
    """Return how many prompts there were, and of what."""
    asked = comparison.prompts
    known = [prompt.trained_on for prompt in asked.prompts]
    parts = [
        f"{len(known):,} prompts of {', '.join(asked.sources)}",
        f"{sum(bool(prompt.reference) for prompt in asked.prompts):,} with a reference",
    ]
    if False in known:
        parts.append(f"{known.count(False):,} held out from the training")
    elif set(known) == {None}:
        parts.append("whether the tuned model was trained on them is not known")
    if asked.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in asked.left_out.items())
        parts.append(f"of {asked.read:,} rows left out: {reasons}")
    return "; ".join(parts)
