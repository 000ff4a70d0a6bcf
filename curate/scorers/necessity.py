"""What a model answers to the instructions of rows, and how good those answers are.

MoDS (arXiv 2311.15653, section 3.3): a row is necessary if the model, trained on the seeds, answers
its instruction badly, as the reward model sees it. The answer is scored with the same prompt as the
row's own response was; what is asked is the dialogue up to its last response.

Small models fall into loops, and reward models that were taught that longer is better take a loop
for a long answer. An answer that was cut off and repeats itself is told apart by how well it
compresses, as Whisper does (arXiv 2212.04356, section 4.5).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.errors import ModelError
from curate.models.protocols import CUT, STOPPED, Generator, Message, Reply, RewardModel
from curate.models.row_templates import chat_messages
from curate.scorers.contract import OK, Engine, Work, digest_of, in_batches
from curate.scorers.embedding import without_surrogates
from curate.scorers.reward import score_texts, texts_of

REFUSED, EMPTY, LOOP, NOT_ASKED = "template_refused", "empty_answer", "repeats_itself", ""
_STATUS = {STOPPED: OK, CUT: "cut_off"}  # others are called as the ends are
_LOOP_RATIO = 2.4  # Whisper's; ordinary text of this length stays below 2.2
_TAIL = 500  # characters, about what Whisper looks at; longer texts compress better


@dataclass(frozen=True)
class Answers:
    """What was answered, a line for each row."""

    # (n,) `ok`, `cut_off` (after so many tokens), `repeats_itself` (likewise, and it would have
    # gone on for ever), `empty_answer`, `prompt_too_long`, `content_filter` (of a server),
    # `template_refused`, or '' for a row that was not asked.
    status: NDArray[np.object_]
    texts: NDArray[np.object_]  # (n,) None where there is no answer

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Whether each answer is none to be scored: empty, or a loop; shape (n,)."""
        return np.isin(self.status.astype(str), (EMPTY, LOOP))

    @property
    def given(self) -> NDArray[np.bool_]:
        """Whether each row has an answer, be it empty; shape (n,)."""
        there: NDArray[np.bool_] = np.array([each is not None for each in self.texts], dtype=bool)
        return there

    def counts(self) -> dict[str, int]:
        """Return how many rows have each status, rows that were not asked left out."""
        names, counts = np.unique(self.status.astype(str), return_counts=True)
        pairs = zip(names.tolist(), counts.tolist(), strict=True)
        return {name: count for name, count in pairs if name != NOT_ASKED}


def conversation(row: Row) -> list[Message]:
    """Return what the model is asked: all that comes before the last response."""
    return [
        {**message, "content": without_surrogates(message["content"])}
        for message in chat_messages(row)[:-1]
    ]


def answers(
    rows: Rows, places: NDArray[np.int64], most: int, model: Generator, engine: Engine
) -> Answers:
    """Return the model's answers to some rows; equal conversations are asked once.

    Conversations are put in an order of their own, so answers do not depend on that of the rows.
    `places` (m,) are the rows to ask, without flaws; an answer is cut off after `most` tokens.

    Raises:
        ModelError: The model cannot be loaded, or the server does not answer.

    Example:
        >>> answers(rows, np.arange(3), 256, load_generator("smollm2"), engine).texts
    """
    status = np.full(len(rows), NOT_ASKED, dtype=object)
    texts = np.full(len(rows), None, dtype=object)
    tokens, digests = [], []
    for batch in in_batches(places.tolist()):
        talks = [conversation(rows[place]) for place in batch]
        tokens += _lengths(talks, model)
        digests += [hashlib.sha256(repr(talk).encode()).hexdigest()[:32] for talk in talks]
    lengths = np.array(tokens, dtype=np.int64)
    taken = lengths >= 0
    status[places[~taken]] = REFUSED
    owners = places[taken]
    different, first, inverse = np.unique(
        np.array(digests, dtype="S32")[taken], return_index=True, return_inverse=True
    )
    asked = owners[first]
    work = _work(
        model,
        lengths[taken][first],
        most,
        take=lambda items: [conversation(rows[place]) for place in asked[items].tolist()],
        digest=digest_of("answers 2", most, different),
        names=lambda items: [rows[place].id for place in asked[items].tolist()],
    )
    replies = engine.run(work, len(owners)).reshape(-1, 2)
    for place, item in zip(owners.tolist(), inverse.tolist(), strict=True):
        reply = Reply(*replies[item])
        looping = reply.end == CUT and repeats_itself(reply.text)
        empty = reply.given and not reply.text.strip()
        status[place] = EMPTY if empty else LOOP if looping else _STATUS.get(reply.end, reply.end)
        texts[place] = reply.text if reply.given else None
    return Answers(status, texts)


def ask(
    talks: Sequence[Sequence[Message]], most: int, model: Generator, engine: Engine
) -> list[Reply]:
    """Return a reply of so many tokens at most to each conversation, kept in the journal."""
    work = _work(
        model,
        np.array(model.lengths(talks), dtype=np.int64),
        most,
        take=lambda items: [talks[item] for item in items.tolist()],
        digest=digest_of("answers 2", most, *map(repr, talks)),
    )
    return [Reply(*pair) for pair in engine.run(work, len(talks)).reshape(-1, 2).tolist()]


def _work(model: Generator, prompts: NDArray[np.int64], most: int, **more: Any) -> Work:
    """Return the work of answering prompts of so many tokens, with so many at most."""
    replies = partial(_replies, most)
    return Work(model, prompts + most, widths=2, answer=replies, dtype="object", **more)


def repeats_itself(text: str) -> bool:
    """Return whether the end of a text compresses too well to say anything.

    Example:
        >>> repeats_itself("Vegan Bistro, " * 20), repeats_itself("A classic example of a sphere")
        (True, False)
    """
    tail = text[-_TAIL:].encode()
    return len(tail) > _LOOP_RATIO * len(zlib.compress(tail))


def necessity(
    rows: Rows, replies: Answers, model: RewardModel, engine: Engine
) -> NDArray[np.float64]:
    """Return the reward of each answer, (n,); NaN where none was given, or it is empty."""
    values = np.full(len(rows), np.nan)
    places = np.flatnonzero(replies.given & (replies.status != EMPTY))
    pairs = []
    for place in places.tolist():
        prompt, _ = texts_of(rows[place])
        pairs.append((without_surrogates(prompt), without_surrogates(replies.texts[place])))
    values[places] = score_texts(pairs, model, engine)
    return values


def _replies(most: int, model: Generator, talks: list[list[Message]]) -> list[list[str]]:
    return [[without_surrogates(reply.text), reply.end] for reply in model.replies(talks, most)]


def _lengths(talks: Sequence[Sequence[Message]], model: Generator) -> list[int]:
    """Return the tokens of each conversation, -1 where the chat template refuses it."""
    try:
        return model.lengths(talks)
    except ModelError:
        return [-1] if len(talks) == 1 else [n for each in talks for n in _lengths([each], model)]
