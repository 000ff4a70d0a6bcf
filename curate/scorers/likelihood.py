"""Mean NLL of every response, given what comes before it and given nothing.

Prompt and response are tokenised apart and their ids joined: the border is known, and both
passes score the same response tokens. Both begin with the model's BOS.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row
from curate.errors import ModelError, UsageError
from curate.models.protocols import LikelihoodModel, TextEncoder, TokenSequence
from curate.models.row_templates import Rendered, Template
from curate.scorers.contract import OK, Engine, Work, digest_of, in_batches
from curate.scorers.sequences import SequenceStore

# Alone, a response of one token says nothing of how it was learned, only of how frequent it is.
FEWEST_TOKENS = 2

Spans = list[tuple[int, int]]


class SizedRows(Protocol):
    """Rows, or what is made of rows, each at its position."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


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
        """Return nats a token of every row, over all its turns weighted by tokens; NaN without."""
        means = np.full(len(self.turns), np.nan)
        having = self.turns > 0
        if having.any():
            starts = (np.cumsum(self.turns) - self.turns)[having]
            tokens = np.add.reduceat(self.turn_tokens, starts)
            means[having] = np.add.reduceat(sums, starts) / tokens
        return means

    def last(self) -> NDArray[np.float64]:
        """Return nats a token of every row's last response, given all before; NaN without."""
        last = np.full(len(self.turns), np.nan)
        having = self.turns > 0
        ends = np.cumsum(self.turns)[having] - 1
        last[having] = self.turn_prompted[ends] / self.turn_tokens[ends]
        return last


def longest_scored(asked: int | None, default: int, name: str, limit: int) -> int:
    """Return how many tokens of a row are read: as asked, else the default or the model's limit."""
    if asked is None:
        return min(default, limit)
    if not 2 <= asked <= limit:
        raise UsageError(f"--max-length {asked}: {name} takes 2 to {limit:,} tokens")
    return asked


def likelihoods(
    rows: SizedRows,
    template: Template,
    max_length: int,
    model: LikelihoodModel,
    engine: Engine,
    scratch: Path,
    alone: bool = True,
) -> Likelihoods:
    """Return the likelihood of every row's responses; without `alone`, given their prompts only."""
    size = len(rows)
    scored = Likelihoods(
        status=np.full(size, OK, dtype=object),
        prompt_tokens=np.full(size, -1, dtype=np.int64),
        response_tokens=np.full(size, -1, dtype=np.int64),
        turns=np.zeros(size, dtype=np.int64),
    )
    with SequenceStore(scratch) as store:
        items = _Items(store, model.encoder, max_length, scored, alone)
        items.tokenise(rows, template)
        work = items.work(model)
        if scored.refusal and not len(store):
            raise scored.refusal
        values = engine.run(work, int((scored.turns > 0).sum()))
    by_itself = np.repeat(~items.whole, np.asarray(work.widths))
    scored.turn_tokens = items.span_tokens
    scored.turn_prompted, scored.turn_alone = values[~by_itself], values[by_itself]
    return scored


class _Items:
    """What the model is asked, in order: each sequence whole, then each of its responses alone.

    What precedes a response alone is kept once for all rows that share it.
    """

    def __init__(
        self,
        store: SequenceStore,
        encoder: TextEncoder,
        longest: int,
        scored: Likelihoods,
        alone: bool,
    ) -> None:
        self.store, self.encoder, self.longest, self.scored = store, encoder, longest, scored
        self.alone = alone
        self.prefix_numbers: dict[str, int] = {}
        self.prefixes: list[tuple[int, ...]] = []
        self.prefix_of_span = array("i")

    def tokenise(self, rows: SizedRows, template: Template) -> None:
        """Store the sequences of every row that can be scored; of the others say why not."""
        for batch in in_batches(self._rendered(rows, template)):
            texts = [text for _, shown in batch for text in (*shown.leads, *shown.responses)]
            encoded = iter(self.encoder.encode(texts))
            for row, shown in batch:
                self.scored.note = self.scored.note or shown.note
                leads = list(islice(encoded, len(shown.leads)))
                responses = list(islice(encoded, len(shown.responses)))
                sequences = self._sequences(shown, leads, responses)
                if self._admit(row.position, sequences, responses) and self.alone:
                    pairs = zip(shown.headers, responses, strict=True)
                    self.prefix_of_span.extend(self._prefix(header) for header, ids in pairs if ids)

    def work(self, model: LikelihoodModel) -> Work:
        """Return the work for an engine; no sequence can be added any more."""
        digest = digest_of(
            "likelihood 3" if self.alone else "likelihood 3, prompted",
            self.store.seal(),
            self.prefixes,
            np.array(self.prefix_of_span),
        )
        _, self.span_tokens, counts = self.store.all_spans()
        behind = counts if self.alone else np.zeros_like(counts)
        size = len(self.store) + int(behind.sum())
        self.owner = np.repeat(np.arange(len(self.store)), behind + 1)
        self.first = np.cumsum(behind + 1) - behind - 1
        self.whole = np.zeros(size, dtype=bool)
        self.whole[self.first] = True
        lengths, widths = np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64)
        lengths[self.whole], widths[self.whole] = self.store.lengths(), counts
        if self.alone:
            before = np.array(list(map(len, self.prefixes)), dtype=np.int64)
            prefixes = before[np.array(self.prefix_of_span, dtype=int)]
            lengths[~self.whole] = self.span_tokens + prefixes
        return Work(
            model=model,
            lengths=lengths,
            widths=widths,
            take=lambda positions: [self._item(position) for position in positions.tolist()],
            answer=_span_nll,
            digest=digest,
            # Dialogues begin with one system prompt, which a model may compute once for a batch.
            kinds=self.whole.astype(np.int64),
        )

    def _rendered(self, rows: SizedRows, template: Template) -> Iterator[tuple[Row, Rendered]]:
        for row in rows:
            if row.flaw:
                self.scored.status[row.position] = row.flaw
                continue
            try:
                yield row, template(row, self.encoder)
            except ModelError as error:
                self.scored.status[row.position] = "template_refused"
                self.scored.refusal = self.scored.refusal or error

    def _sequences(
        self, shown: Rendered, leads: list[list[int]], responses: list[list[int]]
    ) -> list[tuple[list[int], Spans]]:
        """Return (ids, spans): one for the dialogue, or one a turn if leads are all before it."""
        opening = self._opening(shown.headers[0])
        sequences: list[tuple[list[int], Spans]] = []
        for lead, response in zip(leads, responses, strict=True):
            if not sequences or not shown.joined:
                sequences.append((_opened(opening, lead), []))
            else:
                sequences[-1][0].extend(lead)
            ids, spans = sequences[-1]
            if response:
                spans.append((len(ids), len(ids) + len(response)))
                ids.extend(response)
        return [(ids, spans) for ids, spans in sequences if spans]

    def _admit(
        self, row: int, sequences: list[tuple[list[int], Spans]], responses: list[list[int]]
    ) -> bool:
        """Store the sequences of a row, or say why it is not scored."""
        scored, response_tokens = self.scored, sum(map(len, responses))
        # Where each turn has its own context, the last one holds every earlier turn.
        whole = max((len(ids) for ids, _ in sequences), default=0)
        scored.prompt_tokens[row] = max(0, whole - response_tokens)
        scored.response_tokens[row] = response_tokens
        if not response_tokens:
            scored.status[row] = "empty_response"
        elif whole > self.longest:
            scored.status[row] = "truncated"
        elif self.alone and response_tokens < FEWEST_TOKENS:
            scored.status[row] = "too_short"
        else:
            for ids, spans in sequences:
                self.store.append(ids, spans)
                scored.turns[row] += len(spans)
        return bool(scored.turns[row])

    def _opening(self, header: str) -> list[int]:
        """Return the token that both passes begin with, [] where there need be none."""
        first = self.encoder.bos if header else self.encoder.first_token
        if first is None and not header:
            raise ModelError(
                "this model's tokenizer has neither BOS nor EOS, so a response alone has no token "
                "before it; give --template alpaca or --template chat"
            )
        return [] if first is None else [first]

    def _prefix(self, header: str) -> int:
        """Return the place in prefixes of what precedes a response behind that header."""
        if header not in self.prefix_numbers:
            ids = _opened(self._opening(header), self.encoder.encode([header])[0])
            self.prefix_numbers[header] = len(self.prefixes)
            self.prefixes.append(tuple(ids))
        return self.prefix_numbers[header]

    def _item(self, position: int) -> TokenSequence:
        owner = int(self.owner[position])
        prompted = self.store.get(owner)
        turn = position - int(self.first[owner]) - 1
        if turn < 0:
            return prompted
        start, end = prompted.spans[turn]
        # Before a turn alone stand its own sequence and those before it, each once.
        prefix = self.prefixes[self.prefix_of_span[position - owner - 1]]
        ids = prefix + prompted.ids[start:end]
        return TokenSequence(ids, ((len(prefix), len(ids)),))


def _opened(opening: list[int], ids: list[int]) -> list[int]:
    """Return ids with the opening token before them, unless the template has put it there."""
    return [*ids] if ids[:1] == opening else [*opening, *ids]


def _span_nll(model: LikelihoodModel, sequences: list[TokenSequence]) -> list[list[float]]:
    return model.span_nll(sequences)
