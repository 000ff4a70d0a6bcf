"""Mean NLL of every response, given what comes before it and given nothing.

Prompt and response are tokenised apart and their ids joined: the border is known, and both
passes score the same response tokens. Both begin with the model's BOS.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.errors import ModelError, OutputError, UsageError
from curate.models.protocols import LikelihoodModel, TextEncoder, TokenSequence
from curate.models.row_templates import Rendered, Template
from curate.scorers.contract import OK, Engine, Work
from curate.scorers.sequences import SequenceStore

# A response of one token says nothing of how it was learned, only of how frequent it is.
FEWEST_TOKENS = 2
_AT_A_TIME = 256
# Part of the fingerprint: a changed way of joining never continues an older journal.
_JOINING = "likelihood 2"

Spans = list[tuple[int, int]]


@dataclass
class Likelihoods:
    """What the model says of every row; a turn is one response of a dialogue.

    Attributes:
        status: (n,) `ok`, or why the row has no numbers.
        prompt_tokens: (n,) tokens that are not scored; -1 where the row has a flaw.
        response_tokens: (n,) tokens that are scored; -1 where the row has a flaw.
        turns: (n,) turns that were scored.
        turn_tokens: (turns,) tokens of each, row after row.
        turn_prompted: (turns,) summed NLL given all before, nats.
        turn_alone: (turns,) summed NLL without instruction, nats.
        refusal: What the chat template said of the first row that it did not take.
        note: What the first row has to tell about how it is framed, '' where none has.
    """

    status: NDArray[np.object_]
    prompt_tokens: NDArray[np.int64]
    response_tokens: NDArray[np.int64]
    turns: NDArray[np.int64]
    turn_tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    turn_prompted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    turn_alone: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    refusal: ModelError | None = None
    note: str = ""

    def mean(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return nats a token of every row, over all its turns weighted by tokens; NaN without.

        Args:
            sums: turn_prompted or turn_alone.
        """
        means = np.full(len(self.turns), np.nan)
        having = self.turns > 0
        if having.any():
            starts = (np.cumsum(self.turns) - self.turns)[having]
            tokens = np.add.reduceat(self.turn_tokens, starts)
            means[having] = np.add.reduceat(sums, starts) / tokens
        return means


def longest_scored(asked: int | None, default: int, name: str, limit: int) -> int:
    """Return how many tokens of a row are read: as asked, else the default or the model's limit.

    Args:
        asked: What the user gave.
        default: In tokens.
        name: Of the model that has to take them.
        limit: Of the model.

    Raises:
        UsageError: What was asked for is out of the model's range.
    """
    if asked is None:
        return min(default, limit)
    if not 2 <= asked <= limit:
        raise UsageError(f"--max-length {asked}: {name} takes 2 to {limit:,} tokens")
    return asked


def likelihoods(
    rows: Rows,
    template: Template,
    max_length: int,
    model: LikelihoodModel,
    engine: Engine,
    scratch: Path,
) -> Likelihoods:
    """Return the likelihood of every row's responses.

    Args:
        rows: What to score.
        template: How rows become text.
        max_length: Tokens of prompt and response together; a longer row is `truncated`.
        model: Gives likelihoods.
        engine: Runs the model over the rows.
        scratch: Folder for the tokens while the model runs.

    Raises:
        ModelError: The model's chat template takes none of the rows.
        OutputError: The scratch folder is full or cannot be written.
    """
    size = len(rows)
    found = Likelihoods(
        status=np.full(size, OK, dtype=object),
        prompt_tokens=np.full(size, -1, dtype=np.int64),
        response_tokens=np.full(size, -1, dtype=np.int64),
        turns=np.zeros(size, dtype=np.int64),
    )
    with SequenceStore(scratch) as store:
        try:
            prefixes = _Prefixes(model.encoder)
            _tokenise(rows, template, max_length, prefixes, store, found)
            items = _Items(store, prefixes)
        except OSError as error:
            raise OutputError(
                f"tokens cannot be written to {scratch}: {error.strerror or error}; make room, or "
                "set CURATRAIN_CACHE to another folder, and give the command again"
            ) from error
        if found.refusal and not len(store):
            raise found.refusal
        work = items.work(model)
        values = engine.run(work, int((found.turns > 0).sum()))
        found.turn_tokens = items.span_tokens
        found.turn_prompted, found.turn_alone = items.split(values)
    return found


class _Prefixes:
    """What precedes each response alone; rows share what is the same."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.numbers: dict[str, int] = {}
        self.ids: list[tuple[int, ...]] = []
        self.of_span = array("i")

    def number(self, header: str) -> int:
        """Return the place in ids of what precedes a response behind that header."""
        if header not in self.numbers:
            opening = _opening(header, self.encoder)
            self.numbers[header] = len(self.ids)
            self.ids.append(tuple(_opened(opening, self.encoder.encode([header])[0])))
        return self.numbers[header]

    def digest(self) -> str:
        """Return a sha256 of all that precedes, in the order of responses."""
        digest = hashlib.sha256(str(self.ids).encode())
        digest.update(self.of_span.tobytes())
        return digest.hexdigest()


def _tokenise(
    rows: Rows,
    template: Template,
    longest: int,
    prefixes: _Prefixes,
    store: SequenceStore,
    found: Likelihoods,
) -> None:
    """Store the sequences of every row that can be scored, and what precedes responses alone."""
    encoder = prefixes.encoder
    rendered = _rendered(rows, template, encoder, found)
    while batch := list(islice(rendered, _AT_A_TIME)):
        texts = [text for _, each in batch for text in (*each.leads, *each.responses)]
        encoded = iter(encoder.encode(texts))
        for row, each in batch:
            found.note = found.note or each.note
            leads = list(islice(encoded, len(each.leads)))
            responses = list(islice(encoded, len(each.responses)))
            sequences = _sequences(
                each.joined, leads, responses, _opening(each.headers[0], encoder)
            )
            _admit(row.position, sequences, sum(map(len, responses)), longest, store, found)
            if found.turns[row.position]:
                pairs = zip(each.headers, responses, strict=True)
                prefixes.of_span.extend(prefixes.number(header) for header, ids in pairs if ids)


def _rendered(
    rows: Rows, template: Template, encoder: TextEncoder, found: Likelihoods
) -> Iterator[tuple[Row, Rendered]]:
    for row in rows:
        if row.flaw:
            found.status[row.position] = row.flaw
            continue
        try:
            yield row, template(row, encoder)
        except ModelError as error:
            found.status[row.position] = "template_refused"
            found.refusal = found.refusal or error


def _opening(header: str, encoder: TextEncoder) -> list[int]:
    """Return the token that both passes begin with, [] where there need be none."""
    first = encoder.bos if header else encoder.first_token
    if first is None and not header:
        raise ModelError(
            "this model's tokenizer has neither BOS nor EOS, so a response alone has no token "
            "before it; give --template alpaca or --template chat"
        )
    return [] if first is None else [first]


def _opened(opening: list[int], ids: list[int]) -> list[int]:
    """Return ids with the opening token before them, unless the template has put it there."""
    return [*ids] if ids[:1] == opening else [*opening, *ids]


def _sequences(
    joined: bool, leads: list[list[int]], responses: list[list[int]], opening: list[int]
) -> list[tuple[list[int], Spans]]:
    """Return (ids, spans): one for the dialogue, or one a turn where each lead is all before it."""
    made: list[tuple[list[int], Spans]] = []
    for lead, response in zip(leads, responses, strict=True):
        if not made or not joined:
            made.append((_opened(opening, lead), []))
        else:
            made[-1][0].extend(lead)
        ids, spans = made[-1]
        if response:
            spans.append((len(ids), len(ids) + len(response)))
            ids.extend(response)
    return [(ids, spans) for ids, spans in made if spans]


def _admit(
    at: int,
    sequences: Sequence[tuple[list[int], Spans]],
    response_tokens: int,
    longest: int,
    store: SequenceStore,
    found: Likelihoods,
) -> None:
    """Store the sequences of a row, or say why it is not scored."""
    # Where each turn has its own context, the last one holds every earlier turn.
    whole = max((len(ids) for ids, _ in sequences), default=0)
    found.prompt_tokens[at] = max(0, whole - response_tokens)
    found.response_tokens[at] = response_tokens
    if not response_tokens:
        found.status[at] = "empty_response"
    elif whole > longest:
        found.status[at] = "truncated"
    elif response_tokens < FEWEST_TOKENS:
        found.status[at] = "too_short"
    else:
        for ids, spans in sequences:
            store.append(ids, spans)
            found.turns[at] += len(spans)


class _Items:
    """What the model is asked, in order: each sequence whole, then each of its responses alone."""

    def __init__(self, store: SequenceStore, prefixes: _Prefixes) -> None:
        self.store, self.prefixes = store, prefixes
        self.digest = store.seal()
        starts, self.span_tokens, counts = store.all_spans()
        size = len(store) + len(starts)
        self.owner = np.repeat(np.arange(len(store)), counts + 1)
        self.first = np.cumsum(counts + 1) - counts - 1
        whole = np.zeros(size, dtype=bool)
        whole[self.first] = True
        self.whole = whole
        self.lengths = np.zeros(size, dtype=np.int64)
        self.lengths[whole] = store.lengths()
        of_span = np.array(prefixes.of_span, dtype=np.int64)
        self.lengths[~whole] = self.span_tokens + np.array(list(map(len, prefixes.ids)))[of_span]
        self.widths = np.ones(size, dtype=np.int64)
        self.widths[whole] = counts
        self.alone = np.repeat(~whole, self.widths)

    def work(self, model: LikelihoodModel) -> Work:
        """Return the work for an engine."""

        def compute(items: NDArray[np.int64]) -> list[list[float]]:
            return model.span_nll([self._item(position) for position in items.tolist()])

        mark = "|".join((_JOINING, model.fingerprint, self.digest, self.prefixes.digest()))
        return Work(
            self.lengths,
            self.widths,
            compute,
            hashlib.sha256(mark.encode()).hexdigest(),
            model.batch_tokens,
            model.workers,
            model.prepare,
            model.worker,
            # Dialogues begin with one system prompt, which a model may compute once for a batch.
            self.whole.astype(np.int64),
        )

    def split(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what the model gave as (prompted, alone), each one number a turn."""
        return values[~self.alone], values[self.alone]

    def _item(self, position: int) -> TokenSequence:
        owner = int(self.owner[position])
        prompted = self.store.get(owner)
        turn = position - int(self.first[owner]) - 1
        if turn < 0:
            return prompted
        start, end = prompted.spans[turn]
        # Before a turn alone stand its own sequence and those before it, each once.
        prefix = self.prefixes.ids[self.prefixes.of_span[position - owner - 1]]
        ids = prefix + prompted.ids[start:end]
        return TokenSequence(ids, ((len(prefix), len(ids)),))
