"""Rows in two sets of which neither holds a twin of the other's rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.rows import Rows
from curate.duplicates.alike import together
from curate.duplicates.ngrams import bands_for, buckets
from curate.errors import UsageError
from curate.parameters.budget import row_budget
from curate.parameters.split import SplitParams
from curate.recipes.budgets import tokens_of
from curate.recipes.dedup import sketched
from curate.scorers.contract import OK, Scores
from curate.selectors.kept_and_dropped import Choice, labelled

NAME = "split"
SIDES = ("train", "test")
# What is compared: the same question with another answer is a twin, too.
_COMPARED = ("both", "prompt")


@dataclass(frozen=True)
class Split:
    """Both sides of the same rows."""

    train: Selection  # all rows that are left
    test: Selection  # the rows set aside
    twins: int  # rows that belong with at least one other


def split(rows: Rows, params: SplitParams) -> Split:
    """Set rows aside so that no row has a twin, or a twin's twin, on the other side.

    Rows belong together where their turns, or what is asked in them, are equal after folding or
    alike as in `curate dedup`. What belongs together is drawn as one, by its ids: the order of the
    rows and their files do not matter. What is too large for the place that is left is passed
    over, so that as many rows are set aside as were asked for where that can be.

    Reasons: `in_test`, `in_train`, and the flaws of rows that are on neither side.

    Raises:
        UsageError: More rows asked for than there are without a flaw, or all of them.

    Example:
        >>> split(curate.read("huatuo.json"), SplitParams(test="10%")).test
        split: 500 of 5,000 rows kept; dropped 4,500 in_train
    """
    started = time.monotonic()
    flaws = np.array(rows.table.column("flaw").to_pylist(), dtype=object)
    usable = np.flatnonzero(flaws == "")
    if not len(usable):
        raise UsageError(
            f"none of the {len(rows):,} rows is without a flaw, so none can be set aside; "
            "`curate doctor` says what is wrong with them"
        )
    wanted = row_budget(params.test, len(usable), "--test")
    if wanted >= len(usable):
        raise UsageError(
            f"--test {params.test}: of {len(rows):,} rows {len(usable):,} have no flaw, and some "
            "have to be left to train on; give a smaller number"
        )
    cluster = _clusters(rows, params)
    sizes = np.bincount(cluster[usable], minlength=int(cluster.max(initial=0)) + 1)
    order = usable[np.argsort(rows.ids[usable].astype(str))]
    _, firsts = np.unique(cluster[order], return_index=True)
    by_smallest_id = cluster[order][np.sort(firsts)]
    aside: list[int] = []  # drawn one by one, as long as they fit
    for number in np.random.default_rng(params.seed).permutation(by_smallest_id).tolist():
        if sizes[number] <= wanted:
            aside.append(number)
            wanted -= int(sizes[number])
        if not wanted:
            break
    in_test = np.isin(cluster, aside)
    status = labelled(flaws, flaws == "", OK)
    twins = np.where(flaws == "", sizes[cluster] - 1.0, np.nan)
    columns = {"cluster": pa.array(cluster), "twins": pa.array(twins)}
    sides = {
        "train": np.where(flaws != "", flaws, np.where(in_test, "in_test", "")),
        "test": np.where(flaws != "", flaws, np.where(in_test, "", "in_train")),
    }
    tokens = tokens_of(rows, None)
    train, test = (
        Selection(
            recipe=NAME,
            params=params,
            rows=rows,
            scored=Scores(status, columns),
            choice=Choice(sides[side].astype(object)),
            ranked_by="twins",
            seconds=time.monotonic() - started,
            details={"side": side},
            tokens=tokens,
        )
        for side in SIDES
    )
    return Split(train=train, test=test, twins=int((twins > 0).sum()))


def _clusters(rows: Rows, params: SplitParams) -> NDArray[np.int64]:
    """Return (n,) the number of the cluster of rows that each belongs to."""
    edges = []
    for on in _COMPARED if rows.shape.kind != "pretraining" else _COMPARED[:1]:
        with sketched(rows, on, params.seed, ()) as (sketches, groups, _, _):
            met = buckets(sketches.signatures, bands_for(params.near))
            similar = partial(sketches.similar, near=params.near)
            first = together(met, similar, params.near)
        compared = np.flatnonzero(groups.of_row >= 0)
        edges.append((compared, groups.first[first[groups.of_row[compared]]]))
    cluster, before = np.arange(len(rows)), None
    while before is None or (cluster != before).any():
        before = cluster.copy()
        for left, right in edges:
            low = np.minimum(cluster[left], cluster[right])
            np.minimum.at(cluster, left, low)
            np.minimum.at(cluster, right, low)
    return cluster
