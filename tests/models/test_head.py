from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from curate.models.likelihood_routes import LogitRule, TiledHead

TILES = 4096 * 2 + 100


def made(vocabulary: int, width: int = 16, positions: int = 300, size: float = 1.0):
    torch.manual_seed(1)
    weight = torch.randn(vocabulary, width) * size
    hidden = torch.randn(positions, width)
    targets = torch.randint(0, vocabulary, (positions,))
    return weight, hidden, targets


@pytest.mark.parametrize("vocabulary", [5, 4096, 4097, TILES])
@pytest.mark.parametrize("with_bias", [False, True])
def test_it_is_cross_entropy(vocabulary: int, with_bias: bool) -> None:
    weight, hidden, targets = made(vocabulary)
    bias = torch.randn(vocabulary) if with_bias else None
    given = TiledHead(weight, bias)(hidden, targets)
    logits = hidden @ weight.T + (0 if bias is None else bias)
    torch.testing.assert_close(
        given, cross_entropy(logits, targets, reduction="none"), atol=1e-4, rtol=1e-5
    )


@pytest.mark.parametrize("size", [20.0, 300.0])
def test_logits_beyond_the_range_of_exp_stay_finite_and_right(size: float) -> None:
    weight, hidden, targets = made(TILES, size=size)
    given = TiledHead(weight, None)(hidden, targets)
    expected = cross_entropy((hidden.double() @ weight.double().T), targets, reduction="none")
    assert expected.max() > 88
    assert torch.isfinite(given).all()
    torch.testing.assert_close(given.double(), expected, rtol=1e-4, atol=1e-3)


def test_a_certain_token_costs_nothing_and_never_less() -> None:
    weight = torch.zeros(10, 4)
    weight[3] = 100.0
    given = TiledHead(weight, None)(torch.ones(1, 4), torch.tensor([3]))
    assert given.tolist() == [0.0]


@pytest.mark.parametrize("rule", [LogitRule(scale=0.25), LogitRule(cap=5.0), LogitRule(2.0, 7.0)])
def test_scales_and_caps_come_before_the_softmax(rule: LogitRule) -> None:
    weight, hidden, targets = made(TILES, size=3.0)
    logits = hidden @ weight.T * rule.scale
    if rule.cap:
        logits = rule.cap * torch.tanh(logits / rule.cap)
    given = TiledHead(weight, torch.zeros(TILES), rule)(hidden, targets)
    torch.testing.assert_close(
        given, cross_entropy(logits, targets, reduction="none"), atol=1e-4, rtol=1e-4
    )


def test_hidden_states_that_are_not_finite_give_nan_and_no_number() -> None:
    weight, hidden, targets = made(50)
    hidden[7] = float("nan")
    given = TiledHead(weight, None)(hidden, targets)
    assert torch.isnan(given).nonzero().flatten().tolist() == [7]
