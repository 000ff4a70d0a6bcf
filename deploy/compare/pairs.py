"""Two answers to one prompt: the numbers of each, and which is better, says a third.

Numbers are of texts: their length, loops, ROUGE-L and BLEU against a reference, with bootstrap
intervals. Who says which is better is a ranker, a reward model, or a model that answers; it is
asked about every pair twice, in both orders: models prefer the first (or the second) answer
whatever it says (Zheng et al., "Judging LLM-as-a-Judge", arXiv 2306.05685, section 3.4). Only a
verdict that is the same in both orders counts, the rest are ties; as there, the judge may say that
it is a tie. A reward model scores each answer by itself, so no order can mislead it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.content.answers import loops
from curate.data.preference_pairs import joined
from curate.engine.plan import plan_batches
from curate.errors import ModelError
from curate.models.generate import MOST_TOKENS, asked_of_judge, letter
from curate.models.openai_client import is_address
from curate.models.protocols import Generator, RewardModel
from curate.models.ranking.reward_models import load_reward
from curate.scorers.overlap import bleu, bleu_statistics, rouge_l, words
from deploy.compare.asking import Answer, KeptAnswers, Prompt, ask, load_model

ROUGE_L = "rouge_l"
Numbers = dict[str, float]
Floats = NDArray[np.float64]
_RESAMPLES, _RESAMPLES_AT_ONCE = 2000, 100
# With fewer prompts resampling finds certainty where there is none: 5 of 5 is a draw of coins
# that one in 16 pairs of equal models has.
FEWEST = 10


def numbers_of(answer: Answer, reference: str) -> Numbers:
    """Return the numbers of one answer; without a reference ('') none against it."""
    numbers = {
        "characters": float(len(answer.text)),
        "loops": float(loops(answer.text)),
        "cut": float(answer.cut),
        "empty": float(not answer.text.strip()),
    }
    if reference:
        numbers[ROUGE_L] = rouge_l(words(answer.text), words(reference))
    return numbers


@dataclass(frozen=True)
class Interval:
    value: float
    low: float | None  # ends of the 95 % interval; None with fewer than FEWEST prompts
    high: float | None
    prompts: int

    def verdict(self, against: float = 0.0, better: str = "") -> str:
        """Return `too_few`, `none` (not told apart), `higher`, `lower`, or `better`, `worse`."""
        if self.low is None or self.high is None:
            return "too_few"
        if not (self.low > against or self.high < against):
            return "none"
        side = "higher" if self.low > against else "lower"
        return {"": side, side: "better"}.get(better, "worse")


def interval(rows: Floats, statistic: Callable[[Floats], Floats], seed: int) -> Interval:
    """Return a statistic of sums over prompts, with its bootstrap interval (Efron, 1979).

    Prompts are drawn with replacement, both models' numbers on one together. The interval covers
    the luck of prompts, not other kinds of prompts, nor other seeds of the training.
    """
    count = len(rows)
    value = float(statistic(rows.sum(axis=0, keepdims=True))[0])
    if count < FEWEST:
        return Interval(value, None, None, count)
    # How often each prompt is drawn, in blocks, so that memory grows with prompts alone.
    generator = np.random.default_rng(seed)
    chances = np.full(count, 1 / count)
    resampled = [
        statistic(generator.multinomial(count, chances, _RESAMPLES_AT_ONCE).astype(float) @ rows)
        for _ in range(_RESAMPLES // _RESAMPLES_AT_ONCE)
    ]
    low, high = np.quantile(np.concatenate(resampled), (0.025, 0.975))
    return Interval(value, float(low), float(high), count)


def mean(values: Floats, seed: int) -> Interval:
    return interval(values[:, None], lambda sums: sums[:, 0] / len(values), seed)


def bleu_of_both(texts: Sequence[tuple[str, str, str]], seed: int) -> tuple[float, float, Interval]:
    rows = np.array(
        [[*bleu_statistics(base, ref), *bleu_statistics(tuned, ref)] for base, tuned, ref in texts],
        dtype=float,
    )

    def both(sums: Floats) -> Floats:
        return np.array([[bleu(side) for side in line.reshape(2, -1)] for line in sums])

    base, tuned = both(rows.sum(axis=0, keepdims=True))[0].tolist()
    return base, tuned, interval(rows, lambda sums: np.diff(both(sums))[:, 0], seed)


Better = Literal["tuned", "base", "tie", "unjudged"]
Done = Callable[[int], Any]
# How a verdict came about: without asking (an answer is better than none), by rewards, by a model
# that says the same in both orders, the other way round in the other (a tie), nothing (a tie).
IDENTICAL, EMPTY, REWARD, ALIKE = "identical", "empty", "reward", "equal_reward"
AGREED, POSITION, MALFORMED, FAILED = "agreed", "position", "malformed", "failed"
_KINDS = {"tuned": "better", "base": "worse", "tie": "tie"}
# The base model's answer is A in the first order, B in the other.
_AGREED: dict[str, Better] = {"AB": "base", "BA": "tuned", "CC": "tie"}


@dataclass(frozen=True)
class Verdict:
    better: Better
    how: str
    scores: tuple[float, float] | None = None  # rewards of base and tuned


@dataclass(frozen=True)
class Pair:
    prompt: Prompt
    base: Answer
    tuned: Answer
    verdict: Verdict | None = None

    @property
    def answered(self) -> bool:
        return not (self.base.failure or self.tuned.failure)

    @cached_property
    def numbers(self) -> tuple[Numbers, Numbers]:
        reference = self.prompt.reference
        return numbers_of(self.base, reference), numbers_of(self.tuned, reference)

    @property
    def kind(self) -> str:
        """`failed`, `identical`, by judge or ROUGE-L `better`, `worse`, `tie`, else `changed`."""
        if not self.answered:
            return "failed"
        if self.base.text.strip() == self.tuned.text.strip():
            return "identical"
        if self.verdict is not None:
            return _KINDS.get(self.verdict.better, "changed")
        base, tuned = (numbers.get(ROUGE_L) for numbers in self.numbers)
        if base is None or tuned is None:
            return "changed"
        return "tie" if base == tuned else "better" if tuned > base else "worse"

    @property
    def empty(self) -> bool:
        return self.answered and not (self.base.text.strip() and self.tuned.text.strip())


@dataclass(frozen=True)
class Judge:
    """Something that says which answers are better; `kept` holds what it replied."""

    name: str
    fingerprint: str
    verdicts: Callable[[Sequence[Pair], Done], list[Verdict]]
    kept: KeptAnswers | None = None


def load_judge(name: str, mark: str) -> Judge:
    if is_address(name):
        return model_judge(*load_model("--judge", name, mark))
    try:
        return reward_judge(load_reward(name))
    except ModelError as error:
        other = "A model that answers can judge, too: http://HOST:PORT/v1#MODEL"
        raise ModelError(f"--judge: {error}. {other}") from error


def judged(judge: Judge, pairs: Sequence[Pair], done: Done = lambda count: None) -> list[Verdict]:
    """Return a verdict on each pair; two answers that do not differ or lack text are not asked."""
    known: list[Verdict | None] = []
    for pair in pairs:
        base, tuned = pair.base.text.strip(), pair.tuned.text.strip()
        unlike = None if base and tuned else Verdict("tuned" if tuned else "base", EMPTY)
        known.append(Verdict("tie", IDENTICAL) if base == tuned else unlike)
    open_pairs = [pair for pair, verdict in zip(pairs, known, strict=True) if verdict is None]
    verdicts = iter(judge.verdicts(open_pairs, done) if open_pairs else [])
    return [verdict or next(verdicts) for verdict in known]


def model_judge(model: Generator, kept: KeptAnswers) -> Judge:
    def verdicts(pairs: Sequence[Pair], done: Done) -> list[Verdict]:
        questions = [question(pair, swapped) for pair in pairs for swapped in (False, True)]
        replies = ask(model, questions, MOST_TOKENS, kept, lambda count: done(count // 2))
        return [settled(*both) for both in zip(replies[::2], replies[1::2], strict=True)]

    return Judge(model.name, model.fingerprint, verdicts, kept)


def question(pair: Pair, swapped: bool) -> list[dict[str, str]]:
    """Return what the judge is asked; swapped, the tuned model's answer stands first."""
    first, second = (pair.base, pair.tuned)[:: -1 if swapped else 1]
    turns = [f"{message['role']}: {message['content']}" for message in pair.prompt.messages]
    conversation = "\n\n".join(turns) if len(turns) > 1 else pair.prompt.turns[-1].content
    return asked_of_judge(conversation, first.text, second.text)


def settled(plain: Answer, swapped: Answer) -> Verdict:
    if plain.failure or swapped.failure:
        return Verdict("unjudged", FAILED)
    first, second = letter(plain.text), letter(swapped.text)
    if not (first and second):
        return Verdict("tie", MALFORMED)
    better = _AGREED.get(first + second)
    return Verdict(better, AGREED) if better else Verdict("tie", POSITION)


def reward_judge(model: RewardModel) -> Judge:
    def verdicts(pairs: Sequence[Pair], done: Done) -> list[Verdict]:
        texts = [
            (joined(pair.prompt.system, pair.prompt.turns), answer.text)
            for pair in pairs
            for answer in (pair.base, pair.tuned)
        ]
        rewards = np.zeros(len(texts))
        model.prepare()
        plan = plan_batches(np.array(model.lengths(texts)), model.batch_tokens)
        with model.worker():
            for places in map(plan.batch, range(len(plan))):
                rewards[places] = model.score([texts[place] for place in places])
        done(len(pairs))
        return [reward_verdict(*both) for both in rewards.reshape(-1, 2).tolist()]

    return Judge(model.name, model.fingerprint, verdicts)


def reward_verdict(base: float, tuned: float) -> Verdict:
    if np.isnan([base, tuned]).any():
        return Verdict("unjudged", FAILED)
    if base == tuned:
        return Verdict("tie", ALIKE, (base, tuned))
    return Verdict("tuned" if tuned > base else "base", REWARD, (base, tuned))
