"""What a comparison amounts to: sentences and a table, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.compare.bootstrap import LEVEL, Interval
from deploy.compare.comparison import Comparison
from deploy.compare.marked_text import escaped
from deploy.compare.measures import Measure, WinRate

_SHARES = ("cut", "empty", "repeated", "loops")


def says(told: str) -> str:
    """Return in a word or two what a difference amounts to.

    Args:
        told: `better`, `worse`, `higher`, `lower`, `none` or `too_few`.
    """
    return {"none": "not told apart", "too_few": "too few"}.get(told, told)


def untold_line(found: Comparison) -> str:
    """Return for which measures no difference can be told, '' if there is none.

    Args:
        found: The comparison.
    """
    untold = [each for each in found.measures if each.told == "none"]
    if not untold:
        return ""
    prompts = max(each.difference.prompts for each in untold)
    titles = ", ".join(each.title for each in untold)
    return f"no difference can be told from {prompts:,} prompts (the interval spans 0) in: {titles}"


def number(value: float, name: str) -> str:
    """Return a measure's number as people read it.

    Args:
        value: Of one model, or the difference.
        name: Of the measure.
    """
    if name in _SHARES:
        return f"{100 * value:.0f} %"
    if name in ("characters", "pieces", "bleu"):
        return f"{value:.1f}"
    return f"{value:.3f}"


def difference(measure: Measure) -> str:
    """Return a difference with its interval.

    Args:
        measure: Any.

    Example:
        >>> difference(rouge)
        '+0.031 [0.004, 0.058]'
    """
    value, found = measure.difference.value, measure.difference
    sign = "+" if value >= 0 else "−"
    first = f"{sign}{number(abs(value), measure.name)}"
    if found.low is None or found.high is None:
        return first
    ends = ", ".join(number(each, measure.name).replace("-", "−") for each in _ends(found))
    return f"{first} [{ends}]"


def _ends(found: Interval) -> Iterator[float]:
    for each in (found.low, found.high):
        if each is not None:
            yield each + 0.0  # no −0.000


def win_line(wins: WinRate) -> str:
    """Return the verdicts in a sentence.

    Args:
        wins: What they amount to.
    """
    ends = ""
    if wins.rate.low is not None and wins.rate.high is not None:
        ends = f" [{100 * wins.rate.low:.0f}, {100 * wins.rate.high:.0f}]"
    told = wins.told
    prompts = wins.rate.prompts
    verdict = {
        "none": f"no difference can be told from {prompts:,} prompts",
        "too_few": f"{prompts:,} prompts are too few to tell",
    }.get(told, f"tuned is {told}")
    return (
        f"judge {wins.judge}: tuned wins {wins.wins:,}, ties {wins.ties:,}, loses {wins.losses:,}; "
        f"win rate {100 * wins.rate.value:.0f} %{ends} with a tie as half: {verdict}"
    )


def doubts(wins: WinRate) -> str:
    """Return what to know of the verdicts, '' if there is nothing.

    Args:
        wins: What they amount to.
    """
    named = {
        "identical": "identical answers",
        "empty": "one answer empty",
        "position": "other verdict in the other order",
        "malformed": "no verdict in what the judge said",
        "failed": "the judge failed",
    }
    told = [f"{text}: {wins.how[how]:,}" for how, text in named.items() if wins.how.get(how)]
    decided = wins.wins + wins.losses
    if decided:
        told.append(f"the longer answer won {wins.longer:,} of {decided:,}")
    return "; ".join(told)


def asked_line(found: Comparison) -> str:
    """Return how many prompts there were, and of what.

    Args:
        found: The comparison.
    """
    prompts = found.prompts
    references = sum(bool(each.reference) for each in prompts.prompts)
    held = sum(each.trained_on is False for each in prompts.prompts)
    parts = [f"{len(prompts):,} prompts of {', '.join(prompts.sources)}"]
    parts.append(f"{references:,} with a reference")
    if held:
        parts.append(f"{held:,} held out from the training")
    elif all(each.trained_on is None for each in prompts.prompts):
        parts.append("whether the tuned model was trained on them is not known")
    if prompts.left_out:
        reasons = ", ".join(f"{count:,} {why}" for why, count in prompts.left_out.items())
        parts.append(f"of {prompts.read:,} rows left out: {reasons}")
    return "; ".join(parts)


def summary(found: Comparison) -> str:
    """Return the page's head: what was asked, what was found, and all numbers.

    Args:
        found: The comparison.
    """
    limit = found.params.max_tokens
    parts = [
        f'<p class="soft">{escaped(asked_line(found))}. Greedy answers of at most {limit:,} '
        "tokens.</p>"
    ]
    parts += [
        f'<p class="finding">The tuned model is worse by {escaped(each)}.</p>'
        for each in found.worse
    ]
    parts += [f'<p class="note">{escaped(note)}</p>' for note in found.notes]
    if found.wins is not None:
        parts.append(_verdicts(found.wins))
    if found.measures:
        parts.append(_table(found))
    return "\n".join(parts) + "\n"


def _verdicts(wins: WinRate) -> str:
    total = wins.wins + wins.ties + wins.losses
    shares = [100 * each / total for each in (wins.wins, wins.ties, wins.losses)]
    starts = (0.0, shares[0], shares[0] + shares[1])
    bars = "".join(
        f'<rect class="{name}" x="{start:.3f}" width="{share:.3f}" height="10"></rect>'
        for name, start, share in zip(("wins", "ties", "losses"), starts, shares, strict=True)
    )
    more = doubts(wins)
    return (
        f"<h2>Verdicts</h2>\n<p>{escaped(win_line(wins))}</p>\n"
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="wins, ties, losses">{bars}</svg>\n'
        + (f'<p class="soft">{escaped(more)}</p>\n' if more else "")
    )


def _table(found: Comparison) -> str:
    lines = "".join(_line(each) for each in found.measures)
    percent = round(100 * LEVEL)
    return (
        '<h2>Numbers</h2>\n<table class="measures"><thead><tr><th>mean of the answers</th>'
        '<th class="number">base</th><th class="number">tuned</th>'
        f'<th class="number">difference, {percent} % interval</th><th>tuned is</th></tr></thead>'
        f"<tbody>{lines}</tbody></table>\n<p>{escaped(untold_line(found))}</p>\n"
        '<p class="soft">Intervals are bootstrapped over prompts; of twenty such intervals one '
        "misses by chance.</p>\n"
    )


def _line(each: Measure) -> str:
    told = each.told
    colour = f" {told}" if told in ("better", "worse") else ""
    return (
        f'<tr><th scope="row">{escaped(each.title)}</th>'
        f'<td class="number" data-of="base">{number(each.base, each.name)}</td>'
        f'<td class="number" data-of="tuned">{number(each.tuned, each.name)}</td>'
        f'<td class="number" data-of="difference">{difference(each)}</td>'
        f'<td class="says{colour}">{says(told)}</td></tr>'
    )
