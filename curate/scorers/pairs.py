"""What is wrong with preference pairs: looked at as instruction rows are, before dpo or rm.

- `contradicted`: the reward of the chosen response is below that of the rejected one. Of public
  pairs 20 to 30 % are, and training without them does better (arXiv 2511.10985).
- `too_hard`: among the hardest for a language model. Selective DPO (arXiv 2502.09650) trains on
  the half of the pairs with the lowest loss -log σ(β (Δ - Δ_reference)) under models trained by DPO
  on the other half of the data, Δ being the log-likelihood of chosen minus rejected. Here it is one
  model, as it is given, and no reference. Sums then tell long from short (40 English pairs: rank
  correlation with the difference of lengths -0.88, of means 0.25), so Δ goes by means of a token,
  as SimPO's reward does (arXiv 2405.14734). The loss falls with Δ: the hardest have the lowest. It
  does not say that a pair is wrong, and arXiv 2508.04149 finds pairs of a small gap worth most.
- `only_longer`: the chosen response is longer by more than a tenth, and the reward is higher by so
  little that its length may be all the reason: a margin of at least 0, among the smallest.
- `sides_equal`, `sides_near`: both responses are the same, or nearly (Jaccard similarity of
  5-grams of 0.8 and more, as in `curate dedup`): there is nothing, or little, to be learned.
- `rejected_elsewhere`: the chosen response is the rejected one of another pair of the same prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.preference_pairs import joined
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.duplicates.folding import fold
from curate.duplicates.ngrams import jaccard
from curate.models.protocols import LikelihoodModel, RewardModel
from curate.models.row_templates import TEMPLATES, choose_template
from curate.scorers.contract import OK, PAIRS, Engine, Scores, digest_of
from curate.scorers.likelihood import likelihoods, longest_scored
from curate.scorers.reward import pairs_work
from curate.scorers.sequences import MadeRows

NAME, NEEDS, MAIN = "pairs", PAIRS, "margin"
ABOUT = "preference pairs: by how much the chosen response is better, and what is wrong with a pair"
DEFAULT_LENGTH = 2048  # tokens, LLaMA-Factory's own cutoff_len
NEAR = 0.8
LONGER = 1.1  # times the characters of the rejected response
HARD = 0.5  # of the pairs with a gap are called too hard
SMALL = 0.25  # of the margins, without their signs, are called small
# Column of truths to what it says of a pair.
FINDINGS = {
    "contradicted": "the ranker contradicts, the margin is below 0",
    "too_hard": "too hard, the model finds the chosen response least likely beside the other",
    "only_longer": "only longer, the chosen response is longer and hardly better",
    "sides_equal": "both sides are equal",
    "sides_near": "both sides are nearly equal",
    "rejected_elsewhere": "the chosen response is rejected in another pair of the prompt",
}
_EXAMPLES = 3
Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class PairParams:
    """What decides the numbers, besides rows and models."""

    template: str = "auto"  # of the language model: `chat`, `alpaca`, `none` or `auto`
    # Tokens that it reads; longer pairs have no gap. None is 2,048, or what it takes if less.
    max_length: int | None = None


PARAMS = PairParams


def score(
    rows: Rows,
    params: PairParams,
    reward: RewardModel,
    engine: Engine,
    model: LikelihoodModel | None,
) -> Scores:
    """Return margins and findings of every pair; NaN and a status where there are none.

    Columns: `margin` (`reward_chosen` minus `reward_rejected`), `length_difference` (characters of
    the chosen response minus those of the rejected), `sides_similarity`, and one of truths for each
    of FINDINGS; with a model also `implicit_gap` (log-likelihood of chosen minus rejected given the
    prompt, nats), `implicit_gap_mean` (the same of means, nats a token) and `gap_status`.

    Raises:
        UsageError: The template is unknown, or max_length is out of the model's range.
        ModelError: A model cannot be loaded, or its chat template takes none of the pairs.
    """
    status = np.array([row.flaw or OK for row in rows], dtype=object)
    places = np.flatnonzero(status == OK)

    def texts(item: int) -> tuple[str, str]:
        row = rows[int(places[item // 2])]
        return joined(row.system, row.turns), _both(row)[item % 2]

    every = ((joined(row.system, row.turns), side) for row in rows for side in _both(row))
    named = lambda items: [rows[place].id for place in places[items // 2].tolist()]  # noqa: E731
    work = pairs_work(every, texts, reward, names=named)
    rewards: Floats = engine.run(work, len(places)).reshape(-1, 2)
    rewards[~np.isfinite(rewards).all(axis=1)] = np.nan
    margin = rewards[:, 0] - rewards[:, 1]
    status[places[np.isnan(margin)]] = "non_finite"
    columns: dict[str, NDArray[Any]] = {"margin": margin}
    columns |= {"reward_chosen": rewards[:, 0], "reward_rejected": rewards[:, 1]}
    notes: tuple[str, ...] = ()
    if model is not None:
        gaps, notes = _gaps(rows, len(places), params, model, engine)
        hard = hardest(gaps["implicit_gap_mean"], rows.ids[places], HARD)
        columns |= {**gaps, "too_hard": hard}
    columns |= {"contradicted": margin < 0, **_sides(rows)}
    columns["only_longer"] = only_longer(margin, columns.pop("longer"), SMALL)
    known = status[places] == OK
    whole = {n: _whole(each[known], places[known], len(rows)) for n, each in columns.items()}
    return Scores(status, whole, notes)


def only_longer(margin: Floats, longer: Truths, small: float) -> Truths:
    """Return which chosen responses, (n,), are longer and better by a small margin at most.

    Small is a margin below the quantile `small` of all margins without their signs.

    Example:
        >>> only_longer(np.array([0.1, -0.1, 2.0, 3.0]), np.array([1, 1, 1, 0], bool), 0.5)
        array([ True, False, False, False])
    """
    sizes = np.abs(margin[np.isfinite(margin)])
    least = np.quantile(sizes, small) if len(sizes) else 0.0
    hardly_better: Truths = longer & (margin >= 0) & (margin < least)
    return hardly_better


def hardest(gap: Floats, ids: NDArray[np.object_], hard: float) -> Truths:
    """Return which pairs, (n,), are of that share of those with a gap whose gaps are lowest.

    Equal gaps go by their ids (n,).

    Example:
        >>> hardest(np.array([0.5, -1.0, np.nan]), np.array(["a", "b", "c"]), 0.5)
        array([False,  True, False])
    """
    too_hard = np.zeros(len(gap), dtype=bool)
    places = np.flatnonzero(np.isfinite(gap))
    order = np.lexsort((ids[places].astype(str), gap[places]))
    too_hard[places[order[: int(hard * len(places))]]] = True
    return too_hard


def findings(
    columns: Mapping[str, Any], ids: NDArray[np.object_], among: Truths
) -> dict[str, dict[str, Any]]:
    """Return how many of some pairs (n,) each finding is of, with up to three ids."""
    found = {name: ids[np.asarray(columns[name]) & among] for name in FINDINGS if name in columns}
    return {n: {"pairs": len(x), "ids": x[:_EXAMPLES].tolist()} for n, x in found.items()}


def told(found: Mapping[str, Mapping[str, Any]], pairs: int, what: str) -> tuple[str, ...]:
    """Return a sentence for every finding that some pair has."""
    return tuple(
        f"{name}: {each['pairs']:,} of {pairs:,} {what} ({FINDINGS[name]}), such as "
        f"{', '.join(each['ids'])}"
        for name, each in found.items()
        if each["pairs"]
    )


def _both(row: Row) -> tuple[str, ...]:
    """Return the two responses; none of a row with a flaw."""
    return () if row.flaw else (row.parsed.chosen or "", row.parsed.rejected or "")


def _sides(rows: Rows) -> dict[str, NDArray[Any]]:
    """Return what the texts of the pairs say, (pairs,) each, without a model."""
    lengths: list[tuple[int, int]] = []
    alike: list[float] = []
    equal: list[bool] = []
    digests: list[tuple[str, ...]] = []  # of the prompt with either response
    for row in rows:
        if sides := _both(row):
            prompt, folded = fold(joined(row.system, row.turns)), [fold(side) for side in sides]
            lengths.append((len(sides[0]), len(sides[1])))
            alike.append(float(jaccard(folded, np.array([0]), np.array([1]))[0]))
            equal.append(sides[0].strip() == sides[1].strip())
            digests.append(tuple(digest_of(prompt, side) for side in folded))
    rejected = Counter(digest for _, digest in digests)
    chosen, other = np.array(lengths, dtype=float).reshape(-1, 2).T
    return {
        "length_difference": chosen - other,
        "longer": chosen > LONGER * other,
        "sides_similarity": np.array(alike),
        "sides_equal": np.array(equal, dtype=bool),
        "sides_near": ~np.array(equal, dtype=bool) & (np.array(alike) >= NEAR),
        "rejected_elsewhere": np.array(
            [rejected[one] > (one == two) for one, two in digests], bool
        ),
    }


def _responses(rows: Rows) -> Iterator[Row]:
    """Yield both responses of each pair as rows of one response each, the chosen first."""
    sides = ((row, side) for row in rows for side in _both(row))
    for position, (row, side) in enumerate(sides):
        turns = (*row.turns, Turn("assistant", side))
        parsed = row.parsed._replace(turns=turns, chosen=None, rejected=None)
        yield replace(row, position=position, parsed=parsed)


def _gaps(
    rows: Rows, pairs: int, params: PairParams, model: LikelihoodModel, engine: Engine
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return how much likelier the chosen responses are, and what a user should be told."""
    longest = longest_scored(params.max_length, DEFAULT_LENGTH, model)
    template = TEMPLATES[choose_template(params.template, model.encoder)]
    identity = digest_of("responses", rows.identity)
    responses = MadeRows(identity, 2 * pairs, partial(_responses, rows))
    likely = likelihoods(responses, template, longest, model, engine, alone=False)
    scored = likely.turns > 0
    # Of a dialogue the last answer is the one to compare; those before it are on both sides.
    last = np.cumsum(likely.turns)[scored] - 1
    likelihood, mean = np.full((2, len(responses)), np.nan)
    likelihood[scored] = -likely.turn_prompted[last]
    mean[scored] = likelihood[scored] / likely.turn_tokens[last]
    gap, of_means = (side[::2] - side[1::2] for side in (likelihood, mean))
    status = np.where(likely.status[::2] == OK, likely.status[1::2], likely.status[::2])
    status[(status == OK) & ~np.isfinite(gap)] = "non_finite"
    why = Counter(status[status != OK].tolist())
    notes = [likely.note] if likely.note else []
    if why:
        counts = ", ".join(f"{count:,} {name}" for name, count in why.most_common())
        notes.append(f"pairs without an implicit gap, none of them too_hard: {counts} (gap_status)")
    columns = {"implicit_gap": gap, "implicit_gap_mean": of_means, "gap_status": status}
    return columns, tuple(notes)


def _whole(values: NDArray[Any], places: NDArray[np.int64], rows: int) -> pa.Array:
    """Return values of the pairs at their places among all rows; nothing is said of the others."""
    nothing: Any = {"b": False, "f": np.nan}.get(values.dtype.kind)
    whole = np.full(rows, nothing, dtype=values.dtype)
    whole[places] = values
    return pa.array(whole)
