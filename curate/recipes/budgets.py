"""From the budget that was typed to how much of these rows is kept, and what is said of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.models.embedding import DEFAULT_ENCODER
from curate.models.resolve import files_of
from curate.models.token_counter import token_counter
from curate.parameters.budget import DEFAULT_KEEP, parse_budget, row_budget
from curate.scorers.response_tokens import ResponseTokens, response_tokens
from curate.selectors.filled import Wanted
from curate.selectors.kept_and_dropped import Choice


def tokens_of(
    rows: Rows,
    tokenizer: str | None,
    scoring: str | None = None,
    trust_remote_code: bool = False,
) -> ResponseTokens:
    """Return the tokens of every row's responses.

    Args:
        rows: To count in.
        tokenizer: What the user named.
        scoring: The model that scores, whose tokens count where nobody named any.
        trust_remote_code: Whether its code may run.
    """
    if tokenizer is None and scoring:
        files_of(scoring, trust_remote_code)  # what is wrong with it is told as of a model
    return response_tokens(rows, token_counter(tokenizer or scoring or DEFAULT_ENCODER))


def check_rows(keep: str | int | None, rows: int, name: str = "--keep") -> None:
    """Refuse a budget in rows that cannot be, before a model is fetched for its tokenizer."""
    if keep is not None and not parse_budget(keep, name).in_tokens:
        row_budget(keep, rows, name)


def wanted_of(keep: str | int | None, counts: NDArray[np.int64], name: str = "--keep") -> Wanted:
    """Return how many rows, or tokens of their responses, a budget lets keep.

    Args:
        keep: As typed; None for the default share of rows.
        counts: (n,) tokens of all rows' responses.
        name: Of the option, for errors.
    """
    budget = parse_budget(DEFAULT_KEEP if keep is None else keep, name)
    if budget.in_tokens:
        return Wanted(len(counts), budget.of(int(counts.sum()), name), counts)
    return Wanted(row_budget(keep, len(counts), name), None, counts)


def about_budget(choice: Choice, wanted: Wanted, tokens: ResponseTokens) -> list[str]:
    """Return notes: how much of a budget is left, and whose tokens these are."""
    kept = int(choice.kept.sum())
    if wanted.tokens is None:
        if kept >= wanted.rows:
            return []
        return [f"{wanted.rows:,} rows were asked for and only {kept:,} can be chosen"]
    used = int(tokens.counts[choice.kept].sum())
    return [
        f"{kept:,} rows with {used:,} of {wanted.tokens:,} tokens of responses (by {tokens.by}), "
        f"{wanted.tokens - used:,} are left",
        *filter(None, [tokens.note]),
    ]
