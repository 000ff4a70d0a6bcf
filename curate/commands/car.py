"""`curate car`."""

from __future__ import annotations

from curate.commands.options import Reading, WithControl, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.car import CarParams


@with_options
def car(
    reading: Reading, params: CarParams, writing: Writing, with_control: WithControl = None
) -> None:
    """Keep the best rows of all, and the best row of every cluster (CaR, arXiv 2402.18191).

    A ranker scores every response; embeddings, cut by PCA to 95 % of their
    variance, are put into clusters by k-means.

    What such scores are worth: at equal rows no better than random rows on average
    (arXiv 2410.09335), and what they keep is longer; --with-control tokens writes
    a control as large.

    Example: curate car --input huatuo.json --top 100
    """
    from curate.recipes import car as recipe

    choose(
        reading, writing, recipe.NAME, lambda rows, _: recipe.car(rows, params), with_control or ()
    )
