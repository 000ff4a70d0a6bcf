"""Mean NLL of every response, given what comes before it and given nothing.

Prompt and response are tokenised apart and their ids joined: the border is known, and both
passes score the same response tokens. Both begin with the model's BOS.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row
from curate.errors import ModelError, UsageError
from curate.models.protocols import LikelihoodModel, TextEncoder, TokenSequence
from curate.models.row_templates import Rendered, Template
from curate.scorers.contract import OK, Engine, in_batches
from curate.scorers.sequences import Block, SizedRows, tokenised

# Alone, a response of one token says nothing of how it was learned, only of how frequent it is.
FEWEST_TOKENS = 2

Spans = list[tuple[int, int]]


@dataclass
class Likelihoods:
    """What the model says of every row; a turn is one response of a dialogue."""

    status: NDArray[np.object_]  # (n,) `ok`, or why the row has no numbers
    prompt_tokens: NDArray[np.int64]  # (n,) that are not scored; -1 where the row has a flaw
    response_tokens: NDArray[np.int64]  # (n,) that are scored; -1 likewise
    turns: NDArray[np.int64]  # (n,) that were scored
    turn_tokens: NDArray[np.int64]  # (turns,) of each, row after row
    turn_prompted: NDArray[np.float64]  # (turns,) summed NLL given all before, nats
    turn_alone: NDArray[np.float64]  # (turns,) summed NLL without instruction, nats
    refusal: ModelError | None  # what the chat template said of the first row it did not take
    note: str  # what the first row has to tell about how it is framed

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


def longest_scored(asked: int | None, default: int, model: LikelihoodModel) -> int:
    """Return how many tokens of a row are read: as asked, else the default or the model's limit."""
    limit = model.max_positions
    if asked is None:
        return min(default, limit)
    if not 2 <= asked <= limit:
        raise UsageError(f"--max-length {asked}: {model.name} takes 2 to {limit:,} tokens")
    return asked


def likelihoods(
    rows: SizedRows,
    template: Template,
    max_length: int,
    model: LikelihoodModel,
    engine: Engine,
    alone: bool = True,
) -> Likelihoods:
    """Return the likelihood of every row's responses; without `alone`, given their prompts only."""
    key = ("likelihood 5", template.__name__, max_length, alone)
    tokenise = partial(_tokenise, template, max_length, alone)
    sequences = tokenised(rows, tokenise, key, model, engine)
    columns = sequences.columns
    refusal = next((ModelError(told[0]) for told in sequences.told if told[0]), None)
    if refusal and not len(sequences):
        raise refusal
    owners = np.repeat(np.arange(len(rows)), columns["sequences"])
    # Dialogues begin with one system prompt, which a model may compute once for a batch.
    how = {"widths": sequences.counts, "kinds": columns["prompted"]}
    work = sequences.work(rows, owners, model, _span_nll, key[0], **how)
    values = engine.run(work, int((columns["turns"] > 0).sum()))
    prompted = np.repeat(columns["prompted"] > 0, sequences.counts)
    spans = sequences.spans[prompted].astype(np.int64)
    return Likelihoods(
        status=columns["status"].astype(object),
        prompt_tokens=columns["prompt_tokens"],
        response_tokens=columns["response_tokens"],
        turns=columns["turns"],
        turn_tokens=spans[:, 1] - spans[:, 0],
        turn_prompted=values[prompted],
        turn_alone=values[~prompted],
        refusal=refusal,
        note=next((told[1] for told in sequences.told if told[1]), ""),
    )


def _span_nll(model: LikelihoodModel, sequences: list[TokenSequence]) -> list[list[float]]:
    return model.span_nll(sequences)


def _tokenise(
    template: Template, longest: int, alone: bool, model: LikelihoodModel, rows: list[Row]
) -> bytes:
    """Return the sequences of every row that can be scored, each before its responses alone."""
    encoder, block, prompted = model.encoder, Block(), array("q")
    status = [row.flaw or OK for row in rows]
    counts = np.zeros((4, len(rows)), dtype=np.int64)
    counts[:2] = -1
    refusal, note = "", ""
    prefixes: dict[str, list[int]] = {}  # what precedes a response alone, by its header

    def rendered() -> Iterator[tuple[int, Rendered]]:
        nonlocal refusal
        for place, row in enumerate(rows):
            try:
                if not row.flaw:
                    yield place, template(row, encoder)
            except ModelError as error:
                status[place] = "template_refused"
                refusal = refusal or str(error)

    for batch in in_batches(rendered()):
        texts = [text for _, shown in batch for text in (*shown.leads, *shown.responses)]
        encoded = iter(encoder.encode(texts))
        for place, shown in batch:
            note = note or shown.note
            leads = list(islice(encoded, len(shown.leads)))
            responses = list(islice(encoded, len(shown.responses)))
            sequences = _sequences(_opening(encoder, shown.headers[0]), shown, leads, responses)
            response_tokens = sum(map(len, responses))
            # Where each turn has its own context, the last one holds every earlier turn.
            whole = max((len(ids) for ids, _ in sequences), default=0)
            counts[:2, place] = max(0, whole - response_tokens), response_tokens
            if not response_tokens:
                status[place] = "empty_response"
            elif whole > longest:
                status[place] = "truncated"
            elif alone and response_tokens < FEWEST_TOKENS:
                status[place] = "too_short"
            if status[place] != OK:
                continue
            headers = iter([h for h, ids in zip(shown.headers, responses, strict=True) if ids])
            for ids, spans in sequences:
                block.append(ids, spans)
                prompted.append(1)
                for start, end in spans if alone else ():
                    if (header := next(headers)) not in prefixes:
                        opening, own = _opening(encoder, header), encoder.encode([header])[0]
                        prefixes[header] = _opened(opening, own)
                    by_itself = prefixes[header] + ids[start:end]
                    block.append(by_itself, [(len(prefixes[header]), len(by_itself))])
                    prompted.append(0)
                counts[2:, place] += len(spans), 1 + alone * len(spans)
    names = ("prompt_tokens", "response_tokens", "turns", "sequences")
    return block.packed(
        [refusal, note],
        status=np.array(status, dtype=str),
        prompted=np.array(prompted, dtype=np.int64),
        **dict(zip(names, counts, strict=True)),
    )


def _sequences(
    opening: list[int], shown: Rendered, leads: list[list[int]], responses: list[list[int]]
) -> list[tuple[list[int], Spans]]:
    """Return (ids, spans): one for the dialogue, or one a turn if leads are all before it."""
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


def _opening(encoder: TextEncoder, header: str) -> list[int]:
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
