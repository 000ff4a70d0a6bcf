"""How many rows a first look draws, and how much of them a budget keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.console import say
from curate.data.rows import Rows
from curate.models.packaged_models import DEFAULT_ENCODER
from curate.models.resolve import files_of
from curate.models.text_tokenizer import token_counter
from curate.parameters.budget import DEFAULT_KEEP, parse_budget, row_budget
from curate.scorers.response_tokens import ResponseTokens, response_tokens
from curate.selectors.kept_and_dropped import Choice, Wanted
from curate.selectors.random import draws


def tokens_of(
    rows: Rows, tokenizer: str | None, scoring: str | None = None, trust_remote_code: bool = False
) -> ResponseTokens:
    """Return the tokens of every row's responses."""
    if tokenizer is None and scoring:
        files_of(scoring, trust_remote_code)  # what is wrong with it is told as of a model
    return response_tokens(rows, token_counter(tokenizer or scoring or DEFAULT_ENCODER))


def wanted_of(keep: str | int | None, counts: NDArray[np.int64], name: str = "--keep") -> Wanted:
    """Return how many rows, or tokens of their responses, a budget lets keep."""
    budget = parse_budget(DEFAULT_KEEP if keep is None else keep, name)
    if budget.in_tokens:
        return Wanted(len(counts), budget.of(int(counts.sum()), name), counts)
    return Wanted(row_budget(keep, len(counts), name), None, counts)


def wanted_of_part(
    keep: str | int | None, default: int, counts: NDArray[np.int64], name: str
) -> Wanted:
    """As wanted_of, of a part of a choice: `default` rows for None; 0, or more than there are."""
    if keep is None or str(keep).strip().isdigit():
        return Wanted(default if keep is None else int(keep), None, counts)
    return wanted_of(keep, counts, name)


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


def sample(
    rows: Rows,
    params: Any,
    together: Callable[[Rows, NDArray[np.bool_]], NDArray[np.int64]] | None = None,
) -> Rows:
    """Return the rows of a first look, in their order; all of them where nobody asks for one.

    They are drawn by their ids: the order of the rows does not matter, and a larger sample holds
    the smaller one of the same seed.
    """
    limit, seed, total = params.limit, params.seed, len(rows)
    if limit is None:
        return rows
    if limit >= total:
        say(f"--limit {limit:,}: there are only {total:,} rows; all of them are taken")
        return rows
    order = draws(np.ones(total, dtype=bool), rows.ids, seed)
    if together:
        sound = rows.table.column("flaw").to_numpy(zero_copy_only=False) == ""
        _, first, group = np.unique(
            together(rows, sound)[order], return_index=True, return_inverse=True
        )
        order = order[np.argsort(first[group], kind="stable")]
    drawn = f"{limit:,} of {total:,} rows, drawn with seed {seed}"
    say(f"{drawn}; leave --limit out for all")
    return rows.at(np.sort(order[:limit]), f"as {drawn}")
