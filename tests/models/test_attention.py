"""CausalAttention against the formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from curate.models.attention import CausalAttention, query_scale

GROUPS, REPEAT, WIDTH = 2, 3, 16


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (batch, length, heads, width) over (batch, length, groups, width)."""
    k, v = (each.double().repeat_interleave(REPEAT, 2) for each in (k, v))
    scores = torch.einsum("bshd,bthd->bhst", q.double(), k) / WIDTH**0.5
    later = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).triu_(1)
    weights = scores.masked_fill_(later, float("-inf")).softmax(-1)
    return torch.einsum("bhst,bthd->bshd", weights, v).flatten(2)


def ours(q: Tensor, k: Tensor, v: Tensor, shared: int) -> Tensor:
    """The same by CausalAttention, lines put back to (batch, length, ...)."""
    batch, length, dtype = *q.shape[:2], q.dtype
    attention = CausalAttention((batch, GROUPS, length, REPEAT, WIDTH), shared, dtype)
    grouped = (q.float() * query_scale(WIDTH)).unflatten(2, (GROUPS, REPEAT)).transpose(1, 2)
    attention.q[:, :, :length] = grouped.to(dtype)
    attention.k[:, :, :length] = k.transpose(1, 2)
    attention.v[:, :, :length] = v.transpose(1, 2)
    lines = torch.empty(shared + batch * (length - shared), GROUPS * REPEAT * WIDTH, dtype=dtype)
    attention(lines)
    first = lines[:shared].expand(batch, -1, -1)
    return torch.cat((first, lines[shared:].unflatten(0, (batch, -1))), 1)


def made(batch: int, length: int, shared: int, size: float) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    q = torch.randn(batch, length, GROUPS * REPEAT, WIDTH, generator=random) * size
    k, v = (torch.randn(batch, length, GROUPS, WIDTH, generator=random) for _ in "kv")
    for each in (q, k, v):
        each[:, :shared] = each[:1, :shared]
    return q, k, v


@pytest.mark.parametrize("shared", [0, 8, 104])
@pytest.mark.parametrize(("batch", "length"), [(1, 105), (3, 300), (2, 192)])
def test_what_queries_see(batch: int, length: int, shared: int) -> None:
    q, k, v = made(batch, length, shared, 1.0)
    torch.testing.assert_close(
        ours(q, k, v, shared).double(), written_out(q, k, v), rtol=1e-5, atol=1e-5
    )


# Scores of some hundreds: 2 ** score is infinite in some lines, 0 in others.
@pytest.mark.parametrize("size", [60.0, 1000.0])
def test_scores_beyond_what_a_float_can_raise(size: float) -> None:
    q, k, v = made(2, 150, 0, size)
    found = ours(q, k, v, 0)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), written_out(q, k, v), rtol=1e-3, atol=1e-3)


def test_scores_that_are_all_far_below_zero() -> None:
    q, _, v = made(1, 40, 0, 1.0)
    q, k = q.abs() + 1, -q[:, :, :GROUPS].abs() * 40 - 40
    found = ours(q, k, v, 0)
    torch.testing.assert_close(found.double(), written_out(q, k, v), rtol=1e-3, atol=1e-3)


def test_bfloat16_is_within_its_rounding() -> None:
    q, k, v = (each.bfloat16() for each in made(2, 200, 16, 1.0))
    expected = written_out(q, k, v)
    off = (ours(q, k, v, 16).double() - expected).norm() / expected.norm()
    assert float(off) < 2**-7
