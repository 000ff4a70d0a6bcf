from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from curate.errors import ModelError
from curate.models.causal_lm import CausalLM
from curate.models.protocols import TokenSequence
from tests.models.tiny import VOCABULARY, causal_lm, make, naive, sequences


@pytest.fixture(scope="module")
def lm() -> CausalLM:
    model = causal_lm()
    model.prepare()
    return model


def test_a_padded_batch_gives_what_its_sequences_give_alone(lm: CausalLM) -> None:
    batch = sequences(150, 3, 64, 2, 129)
    alone = [lm.span_nll([sequence])[0] for sequence in batch]
    for together, single in zip(lm.span_nll(batch), alone, strict=True):
        assert together == pytest.approx(single, rel=1e-5)


def test_spans_may_touch_overlap_or_be_absent(lm: CausalLM) -> None:
    (whole,) = sequences(30)
    spans = ((1, 30), (1, 10), (10, 30), (29, 30))
    batch = [TokenSequence(whole.ids, ()), TokenSequence(whole.ids, spans)]
    none, sums = lm.span_nll(batch)
    assert none == []
    assert sums[0] == pytest.approx(sums[1] + sums[2], rel=1e-6)
    assert sums == pytest.approx(naive(make("Llama"), batch[1]), rel=1e-5)


@pytest.mark.parametrize("kind", ["Llama", "GPT2"])
def test_the_chance_of_the_next_token_is_the_models_own(kind: str) -> None:
    given = causal_lm(lambda: make(kind))
    given.prepare()
    batch = sequences(30, 2, 7)
    found = given.next_nll(batch, [3, 299, 0])
    for line, each in zip(found, batch, strict=True):
        with torch.inference_mode():
            logits = make(kind)(input_ids=torch.tensor([each.ids])).logits[0, -1]
        expected = -torch.log_softmax(logits.float(), -1)[[3, 299, 0]]
        assert line == pytest.approx(expected.tolist(), rel=1e-4)


def test_nothing_gives_nothing(lm: CausalLM) -> None:
    assert lm.span_nll([]) == []
    assert lm.span_nll([TokenSequence((), ())]) == [[]]


@pytest.mark.parametrize("span", [(0, 2), (2, 2), (3, 2), (1, 5)])
def test_a_span_outside_its_sequence_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not lie in"):
        TokenSequence((1, 2, 3, 4), (span,))


def test_an_id_without_embedding_is_told_in_words(lm: CausalLM) -> None:
    with pytest.raises(
        ModelError, match="the tokenizer of tiny gives id 300, its weights end at 299"
    ):
        lm.span_nll([TokenSequence((1, VOCABULARY), ((1, 2),))])


def test_the_same_batch_gives_the_same_bits_in_any_thread(lm: CausalLM) -> None:
    batch = sequences(100, 40)
    found: list[Any] = []

    def work() -> None:
        with lm.worker():
            found.extend(lm.span_nll(batch) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(sums == found[0] for sums in found)


def test_prepare_loads_once_however_many_threads_call_it() -> None:
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return make("Llama")

    model = causal_lm(load)
    assert model.route is None
    threads = [threading.Thread(target=model.prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.prepare()
    assert loads == [1]
    assert model.route == "selected"


def test_span_nll_before_prepare_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="prepare"):
        causal_lm().span_nll(sequences(5))


def test_each_worker_has_one_core_and_gives_the_setting_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        model = causal_lm()
        assert (model.workers, model.threads) == (6, 1)
        inside: list[int] = []
        barrier = threading.Barrier(2)

        def work() -> None:
            with model.worker():
                barrier.wait()
                inside.append(torch.get_num_threads())

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert inside == [1, 1]
        assert torch.get_num_threads() == 6
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [6]
        with pytest.raises(KeyError), model.worker():
            raise KeyError
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
