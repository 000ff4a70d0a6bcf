"""Causal attention on CPU, in blocks of queries whose scores stay in a core's cache.

Queries that share keys lie together, so that a block is one product; the exponentials are taken
without looking for the highest score first, as none has overflowed where their sum has not.
Memory is taken once for all layers: to get it from the system again costs as much as to compute.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from curate.models.linear import linear

# Queries that attend together: their scores should stay in a core's cache.
_QUERY_BLOCK = 96
_LENGTH_STEP = 16  # as ROW_STEP of the linear layers: few shapes for the products
# Sums of powers of two outside are added up again from the highest score.
_LEAST, _MOST = 2.0**-96, 2.0**120


class CausalAttention:
    """Callable: attention of the queries written to q over k and v, as lines.

    Args:
        shape: Sequences, heads of keys and values, positions of each sequence, heads of queries to
            each head of keys, width of a head.
        shared: How many positions all sequences begin with: lines that come once.
        dtype: float32 or bfloat16.

    Attributes:
        q: (batch, groups, length or more, repeat, width), to be filled with the queries times
            query_scale(width).
        k: (batch, groups, length or more, width), to be filled.
        v: As k.
    """

    def __init__(
        self, shape: tuple[int, int, int, int, int], shared: int, dtype: torch.dtype
    ) -> None:
        batch, groups, length, repeat, width = shape
        # Keys beyond the last position are never seen: causality hides them.
        longer = -(-length // _LENGTH_STEP) * _LENGTH_STEP
        self.shared = shared
        self.q = torch.zeros(batch, groups, longer, repeat, width, dtype=dtype)
        self.k, self.v = (torch.zeros(batch, groups, longer, width, dtype=dtype) for _ in "kv")
        mask = torch.full((_QUERY_BLOCK, _QUERY_BLOCK), float("-inf"), dtype=dtype).triu_(1)
        self._mask = mask.repeat_interleave(repeat, 0)
        most = batch * groups * repeat * min(longer, _QUERY_BLOCK) * longer
        self._scores = torch.empty(most, dtype=dtype)
        self._raised = self._scores if dtype == torch.float32 else torch.empty(most)

    def __call__(self, mixed: Tensor) -> None:
        """Write to mixed what the queries see.

        Args:
            mixed: (shared + batch * (length - shared), groups * repeat * width), contiguous.
        """
        batch, groups, longer, repeat, width = self.q.shape
        queries = self.q.view(batch * groups, longer * repeat, width)
        keys, values = self.k.flatten(0, 1), self.v.flatten(0, 1)
        first = mixed[: self.shared].view(1, -1, groups, repeat, width)
        rest = mixed[self.shared :].view(batch, -1, groups, repeat, width)
        for start, end in _blocks(self.shared, longer):
            common = start < self.shared
            some = slice(groups if common else batch * groups)
            asking = queries[some, start * repeat : end * repeat]
            seen = self._seen(asking, keys[some, :end], values[some, :end], end - start)
            seen = seen.view(-1, groups, end - start, repeat, width).transpose(1, 2)
            here = slice(start, end) if common else slice(start - self.shared, end - self.shared)
            target = (first if common else rest)[:, here]
            target.copy_(seen[:, : target.shape[1]])

    def _seen(self, queries: Tensor, keys: Tensor, values: Tensor, block: int) -> Tensor:
        """Return what queries (n, block * repeat, d) see of (n, s, d); they are the last ones."""
        count, rows, _ = queries.shape
        shape = (count, rows, keys.shape[1])
        scores, raised = (t[: math.prod(shape)].view(shape) for t in (self._scores, self._raised))
        mask = self._mask[:rows, :block]
        _score(queries, keys, mask, scores)
        total = torch.exp2(raised.copy_(scores), out=raised).sum(-1, keepdim=True)
        least, most = total.aminmax()
        if not (float(least) > _LEAST and float(most) < _MOST):
            _score(queries, keys, mask, scores)
            scores.sub_(scores.amax(-1, keepdim=True))
            total = torch.exp2(raised.copy_(scores), out=raised).sum(-1, keepdim=True)
        seen = torch.empty_like(queries)
        _multiply(scores.copy_(raised), values, seen)
        return seen.float().div_(total)


def query_scale(width: int) -> float:
    """Return what queries are multiplied by, so that their scores are exponents of two.

    Args:
        width: Of a head.
    """
    return 1 / (math.sqrt(width) * math.log(2))


def _score(queries: Tensor, keys: Tensor, mask: Tensor, scores: Tensor) -> None:
    """Write the exponents to scores (n, block * repeat, s), -inf where keys come later."""
    _multiply(queries, keys.transpose(1, 2), scores)
    scores[:, :, -mask.shape[1] :].add_(mask)


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Write a (n, i, d) times b (n, d, j) to out."""
    if a.dtype != torch.float32:
        torch.bmm(a, b, out=out)
        return
    # torch's batched product calls MKL, which on some CPUs gives half of what oneDNN does.
    for one, other, target in zip(a, b, out, strict=True):
        target.copy_(linear(one, other.t()))


def _blocks(shared: int, length: int) -> list[tuple[int, int]]:
    """Return where blocks of queries begin and end; none lies on both sides of shared."""
    starts = [*range(0, shared, _QUERY_BLOCK), *range(shared, length, _QUERY_BLOCK)]
    return list(pairwise([*starts, length]))
