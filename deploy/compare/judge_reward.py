"""A ranker or reward model as judge: the answer with the higher reward is the better one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from curate.data.pairs import joined
from curate.models.protocols import RewardModel
from deploy.compare.judging import ALIKE, FAILED, REWARD, Pair, Verdict


class RewardJudge:
    """A reward model behind the Judge protocol.

    Args:
        model: Scores each answer by itself: there is no order in which it could be misled.
    """

    def __init__(self, model: RewardModel) -> None:
        self.name, self.fingerprint = model.name, model.fingerprint
        self._model = model

    def judge(self, pairs: Sequence[Pair], done: Callable[[int], Any]) -> list[Verdict]:
        """Return a verdict on each pair.

        Args:
            pairs: Two answers each.
            done: Told how many pairs were judged.
        """
        texts = [
            (joined(pair.prompt.system, pair.prompt.turns), answer.text)
            for pair in pairs
            for answer in (pair.base, pair.tuned)
        ]
        scores = self._scores(texts)
        done(len(pairs))
        return [verdict(base, tuned) for base, tuned in zip(scores[::2], scores[1::2], strict=True)]

    def _scores(self, texts: list[tuple[str, str]]) -> list[float]:
        found = [0.0] * len(texts)
        self._model.prepare()
        lengths = self._model.lengths(texts)
        with self._model.worker():
            for places in batches(lengths, self._model.batch_tokens):
                scores = self._model.score([texts[place] for place in places])
                for place, score in zip(places, scores, strict=True):
                    found[place] = float(score)
        return found


def verdict(base: float, tuned: float) -> Verdict:
    """Return the verdict that two rewards amount to.

    Args:
        base: Of the base model's answer.
        tuned: Of the tuned model's answer.

    Example:
        >>> verdict(0.5, 1.5).better
        'tuned'
    """
    if base != base or tuned != tuned:
        return Verdict("unjudged", FAILED)
    if base == tuned:
        return Verdict("tie", ALIKE, (base, tuned))
    return Verdict("tuned" if tuned > base else "base", REWARD, (base, tuned))


def batches(lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield places that go together: padded to the longest they fit into the room.

    Args:
        lengths: Of each text.
        room: Padded length that a batch may hold; a longer text is a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        longest = lengths[place]
        if batch and longest * (len(batch) + 1) > room:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
