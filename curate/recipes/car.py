"""CaR: cluster and rank. The best rows of all, and the best row of every cluster.

Source: arXiv 2402.18191. Deviations: any ranker and encoder will do, and those that come with
curate read Chinese; of few rows fewer than 1,000 are taken for their rank alone, or all would be
kept; and see `curate.selectors.kmeans` and `cluster_rank` for what the published program loses.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa

from curate.choices.selection import Selection
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.parameters.car import AUTO, CarParams
from curate.recipes import budgets
from curate.recipes.budgets import sample
from curate.recipes.model_scores import called, embedded, refuse_pairs_and_texts, rewarded
from curate.scorers.contract import OK, Scores
from curate.selectors import cluster_rank
from curate.selectors.kept_and_dropped import Candidates, Wanted, fitting, scored
from curate.selectors.kmeans import KMeansParams, clusters

NAME = "car"
QUALITY = "quality"
MOST = 1000


def car(rows: Rows, params: CarParams) -> Selection:
    """Score rows, cluster them, and choose the best of all and of each cluster.

    The columns of the scores file: `quality` (the ranker's), `cluster` (0 is the largest),
    `rank` (1 is the best of all), `rank_in_cluster`, and `chosen_by`: `top_overall`,
    `best_of_cluster` or both.

    Args:
        rows: Instruction data.
        params: Models and numbers.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: The ranker or the encoder is not to be had.

    Example:
        >>> curate.car(curate.read("huatuo.json"), top=100)
    """
    rows = judged(sample(rows, params), "CaR", params.good_only)
    refuse_pairs_and_texts(rows, "CaR")
    started = time.monotonic()
    tokens = budgets.tokens_of(rows, params.tokenizer)
    if params.top is None or str(params.top) == "0":
        most = min(MOST, max(1, len(rows) // 10)) if params.top is None else 0
        wanted = Wanted(most, None, tokens.counts)
    else:
        wanted = budgets.wanted_of(params.top, tokens.counts, "--top")
    rewards, model = rewarded(rows, params.ranker, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "row")
    status = np.where(rewards.status == OK, vectors.status, rewards.status).astype(object)
    usable = status == OK
    if params.k is not None and params.k > max(1, usable.sum()):
        raise UsageError(
            f"--clusters {params.k}: there are only {usable.sum():,} rows with a score; give "
            f"fewer, or {AUTO}"
        )
    values, points = np.where(usable, rewards.values(QUALITY), np.nan), vectors.vectors
    if (status != vectors.status).any():  # rows with a vector and without a score
        points = np.where(usable[:, None], points, np.float32(np.nan))
    groups = clusters(points, rows.ids, KMeansParams(k=params.k, seed=params.seed))
    candidates = Candidates(scored(status), rows.ids, values=values, clusters=groups.labels)
    ranked = candidates.ranked()
    top = fitting(lambda k: ranked[:k], wanted)
    how = cluster_rank.ClusterRankParams(top=top, per_cluster=params.per_cluster)
    why = cluster_rank.chosen_by(candidates, how)
    labels, (rank, within) = groups.labels, np.zeros((2, len(rows)), dtype=np.int64)
    rank[ranked] = np.arange(1, len(ranked) + 1)
    within[ranked] = 1 + cluster_rank.rank_in_group(labels[ranked])
    columns = {
        QUALITY: pa.array(values),
        "cluster": pa.array(labels, mask=labels < 0),
        "rank": pa.array(rank, mask=rank == 0),
        "rank_in_cluster": pa.array(within, mask=within == 0),
        "chosen_by": pa.array(why, pa.string()),
    }
    counts = {name: int((why == name).sum()) for name in cluster_rank.REASONS}
    of_top, of_best, of_both = counts.values()
    notes = [
        f"{len(groups.sizes):,} clusters in {groups.dimensions:,} dimensions; kept are "
        f"{of_top:,} rows of the best of all, {of_best:,} of the best of their clusters, and "
        f"{of_both:,} that are both"
    ]
    if params.top is None and top < MOST:
        notes.append(
            f"the best {top:,} of all are taken, 10 % of the rows; --top says how many, the paper "
            f"has {MOST:,} of 52,002"
        )
    return Selection(
        recipe=NAME,
        params=replace(
            params,
            ranker=called(params.ranker),
            encoder=called(params.encoder),
            top=top if wanted.tokens is None else params.top,
            tokenizer=tokens.by,
        ),
        rows=rows,
        scored=Scores(status, columns),
        choice=cluster_rank.select(candidates, how),
        ranked_by=QUALITY,
        model=model | encoder,
        notes=(*rewards.notes, *vectors.notes, *notes, *filter(None, [groups.note])),
        seconds=time.monotonic() - started,
        tokens=tokens,
    )
