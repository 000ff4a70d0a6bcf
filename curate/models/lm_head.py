"""Negative log-likelihood from hidden states without the whole matrix of logits.

A batch of 1,000 positions times a vocabulary of 250,880 (BLOOM) is 1 GB in float32. Only the
positions that are scored are multiplied out, a tile of the vocabulary at a time, so that a tile
stays in cache and memory depends on neither the rows nor the vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from curate.models.architecture import LogitRule

_VOCABULARY_TILE = 2048
_POSITIONS = 256
# oneDNN keeps a program for every number of rows that it meets: in steps there are few of them.
_POSITION_STEP = 16
_BITS = 1 / math.log(2)  # in a nat
_NEAR_OVERFLOW = 80.0  # nats; exp(88) is the end of float32


class TiledHead:
    """Hidden states and targets to nats, by a (vocabulary, width) output embedding."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rule: LogitRule | None = None) -> None:
        self.weight, self.bias, self.rule = weight, bias, rule or LogitRule()
        starts = range(0, weight.shape[0], _VOCABULARY_TILE)
        self.tiles = [(s, weight[s : s + _VOCABULARY_TILE]) for s in starts]

    def __call__(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return -log p(target) in nats, float32, one a position."""
        count = len(targets)
        more = -count % _POSITION_STEP
        hidden, targets = (
            functional.pad(hidden, (0, 0, 0, more)),
            functional.pad(targets, (0, more)),
        )
        blocks = zip(hidden.split(_POSITIONS), targets.split(_POSITIONS), strict=True)
        return torch.cat([self._positions(*block) for block in blocks])[:count]

    def _positions(self, hidden: Tensor, targets: Tensor) -> Tensor:
        # nll = log sum_v exp(logit_v - logit_target): with the target's own logit in float32 the
        # sum cannot fall below 1, and no pass for the maximum is needed unless nll nears 88.
        own = (hidden.float() * self.weight[targets].float()).sum(-1, keepdim=True)
        if self.bias is not None:
            own += self.bias[targets].float()[:, None]
        own = self._ruled(own)
        total = torch.zeros_like(own)
        for start, tile in self.tiles:
            bits = self._bits(hidden, start, tile, targets, own)
            total += bits.exp2_().sum(-1, keepdim=True)
        nll = total.log_()[:, 0]
        high = ~(nll < _NEAR_OVERFLOW)
        if bool(high.any()):
            nll[high] = self._slowly(hidden[high], targets[high], own[high])
        return nll

    def _slowly(self, hidden: Tensor, targets: Tensor, own: Tensor) -> Tensor:
        parts = [
            torch.logsumexp(self._bits(hidden, start, tile, targets, own) / _BITS, -1)
            for start, tile in self.tiles
        ]
        return torch.logsumexp(torch.stack(parts), 0)

    def _bits(
        self, hidden: Tensor, start: int, tile: Tensor, targets: Tensor, own: Tensor
    ) -> Tensor:
        """Return one tile's logits minus the target's, in float32 and in bits.

        torch's exp2 takes a third of the time of its exp. The target's own entry is exactly 0.
        """
        logits = functional.linear(hidden, tile).float()
        if self.bias is not None:
            logits += self.bias[start : start + logits.shape[1]].float()
        logits = self._ruled(logits)
        torch.add(own * -_BITS, logits, alpha=_BITS, out=logits)
        inside = (targets >= start) & (targets < start + logits.shape[1])
        rows = inside.nonzero()[:, 0]
        logits[rows, targets[rows] - start] = 0.0
        return logits

    def _ruled(self, logits: Tensor) -> Tensor:
        if self.rule.scale != 1.0:
            logits.mul_(self.rule.scale)
        if self.rule.cap is not None:
            logits.div_(self.rule.cap).tanh_().mul_(self.rule.cap)
        return logits
