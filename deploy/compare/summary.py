"""What a comparison amounts to, in sentences: for the page and for the terminal."""

from __future__ import annotations

from deploy.compare.comparison import Comparison
from deploy.compare.measures import Measure, WinRate

_SHARES = ("cut", "empty", "repeated", "loops")
_HOW = {
    "identical": "identical answers",
    "empty": "one answer empty",
    "position": "other verdict in the other order",
    "malformed": "no verdict in what the judge said",
    "failed": "the judge failed",
}


def verdict_words(verdict: str) -> str:
    """Return in a word or two what a difference amounts to."""
    return {"none": "not told apart", "too_few": "too few"}.get(verdict, verdict)


def untold_line(comparison: Comparison) -> str:
    """Return for which measures no difference can be told, '' if there is none."""
    untold = [measure for measure in comparison.measures if measure.verdict == "none"]
    if not untold:
        return ""
    prompts = max(measure.difference.prompts for measure in untold)
    titles = ", ".join(measure.title for measure in untold)
    return f"no difference can be told from {prompts:,} prompts (the interval spans 0) in: {titles}"


def number(value: float, name: str) -> str:
    """Return the number of the measure of that name as people read it."""
    if name in _SHARES:
        return f"{100 * value:.0f} %"
    return f"{value:.1f}" if name in ("characters", "pieces", "bleu") else f"{value:.3f}"


def difference(measure: Measure) -> str:
    """Return a difference with its interval.

    Example:
        >>> difference(rouge)
        '+0.031 [0.004, 0.058]'
    """
    value, low, high = measure.difference.value, measure.difference.low, measure.difference.high
    signed = f"{'+' if value >= 0 else '−'}{number(abs(value), measure.name)}"
    if low is None or high is None:
        return signed
    ends = (number(end + 0.0, measure.name).replace("-", "−") for end in (low, high))  # no −0.000
    return f"{signed} [{', '.join(ends)}]"


def win_line(wins: WinRate) -> str:
    """Return the verdicts in a sentence."""
    rate = wins.rate
    ends = ""
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
    parts = [f"{text}: {wins.how[how]:,}" for how, text in _HOW.items() if wins.how.get(how)]
    if decided := wins.wins + wins.losses:
        parts.append(f"the longer answer won {wins.longer:,} of {decided:,}")
    return "; ".join(parts)


def asked_line(comparison: Comparison) -> str:
    """Return how many prompts there were, and of what."""
    prompts = comparison.prompts
    known = [prompt.trained_on for prompt in prompts.prompts]
    parts = [
        f"{len(prompts):,} prompts of {', '.join(prompts.sources)}",
        f"{sum(bool(prompt.reference) for prompt in prompts.prompts):,} with a reference",
    ]
    if held := known.count(False):
        parts.append(f"{held:,} held out from the training")
    elif known.count(None) == len(known):
        parts.append("whether the tuned model was trained on them is not known")
    if prompts.left_out:
        reasons = ", ".join(f"{count:,} {why}" for why, count in prompts.left_out.items())
        parts.append(f"of {prompts.read:,} rows left out: {reasons}")
    return "; ".join(parts)
