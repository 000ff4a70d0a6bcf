"""CaR: cluster and rank. The best rows of all, and the best row of every cluster.

Source: arXiv 2402.18191. Deviations: any ranker and encoder will do, and those that come with
curate read Chinese; of few rows fewer than 1,000 are taken for their rank alone, or all would be
kept; and see `curate.selectors.clusters` and `cluster_rank` for what the published program loses.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.parameters.car import AUTO, CarParams
from curate.recipes.model_scores import called, embedded, refuse_pairs_and_texts, rewarded
from curate.scorers.contract import OK, Scores
from curate.selection import Selection
from curate.selectors import cluster_rank, clusters
from curate.selectors.choice import Candidates, Choice, scored

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
    rows = judged(rows, "CaR", params.good_only)
    refuse_pairs_and_texts(rows, "CaR")
    started = time.monotonic()
    top = _top(params.top, len(rows))
    found, model = rewarded(rows, params.ranker, None, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "row")
    status = np.where(found.status == OK, vectors.status, found.status).astype(object)
    _check(params, int((status == OK).sum()))
    values = np.where(status == OK, found.values(QUALITY), np.nan)
    usable = vectors.vectors
    if (status != vectors.status).any():  # rows with a vector and without a score
        usable = np.where((status == OK)[:, None], usable, np.float32(np.nan))
    groups = clusters.clusters(
        usable, rows.ids, clusters.ClusterParams(k=params.k, seed=params.seed)
    )
    choice = scored(status)
    candidates = Candidates(choice, rows.ids, values=values, clusters=groups.labels)
    how = cluster_rank.ClusterRankParams(top=top, per_cluster=params.per_cluster)
    kept = cluster_rank.select(candidates, how)
    why = cluster_rank.chosen_by(candidates, how)
    scores = Scores(status, _columns(choice, values, groups.labels, why, rows.ids))
    notes = (*found.notes, *vectors.notes, *_notes(params, groups, why, top))
    used = replace(params, ranker=called(params.ranker), encoder=called(params.encoder), top=top)
    seconds = time.monotonic() - started
    return Selection(NAME, used, rows, scores, kept, QUALITY, model | encoder, notes, seconds)


def _top(top: int | None, rows: int) -> int:
    if top is None:
        return min(MOST, max(1, rows // 10))
    if top > rows:
        raise UsageError(
            f"--top {top}: there are only {rows:,} rows, and all would be kept; give fewer, such "
            f"as {max(1, rows // 10)}"
        )
    return top


def _check(params: CarParams, usable: int) -> None:
    if params.k is not None and params.k > max(1, usable):
        raise UsageError(
            f"--clusters {params.k}: there are only {usable:,} rows with a score; give fewer, or "
            f"{AUTO}"
        )


def _columns(
    choice: Choice,
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    why: NDArray[np.object_],
    ids: NDArray[np.object_],
) -> dict[str, pa.Array]:
    places = np.flatnonzero(choice.kept & ~np.isnan(values))
    ranked = places[np.lexsort((ids[places].astype(str), -values[places]))]
    rank = np.zeros(len(values), dtype=np.int64)
    rank[ranked] = np.arange(1, len(ranked) + 1)
    within = np.zeros(len(values), dtype=np.int64)
    within[ranked] = 1 + cluster_rank.rank_in_group(labels[ranked])
    return {
        QUALITY: pa.array(values),
        "cluster": pa.array(labels, mask=labels < 0),
        "rank": pa.array(rank, mask=rank == 0),
        "rank_in_cluster": pa.array(within, mask=within == 0),
        "chosen_by": pa.array(why, pa.string()),
    }


def _notes(
    params: CarParams, groups: clusters.Clusters, why: NDArray[np.object_], top: int
) -> list[str]:
    counted = {name: int((why == name).sum()) for name in (cluster_rank.TOP, cluster_rank.BEST)}
    both = int((why == cluster_rank.BOTH).sum())
    notes = [
        f"{len(groups.sizes):,} clusters in {groups.dimensions:,} dimensions; kept are "
        f"{counted[cluster_rank.TOP]:,} rows of the best of all, {counted[cluster_rank.BEST]:,} "
        f"of the best of their clusters, and {both:,} that are both"
    ]
    if params.top is None and top < MOST:
        notes.append(
            f"the best {top:,} of all are taken, 10 % of the rows; --top says how many, the paper "
            f"has {MOST:,} of 52,002"
        )
    return notes + ([groups.note] if groups.note else [])
