"""Work that yields vectors: journalled in 32 bits, bit for bit."""

import sqlite3
from contextlib import closing, nullcontext

import numpy as np
import pytest

from curate.engine.local import LocalEngine
from curate.scorers.contract import Work

VECTORS = np.random.default_rng(0).standard_normal((10, 5)).astype(np.float32)
VECTORS[3, 2] = np.nan
VECTORS[4, 0] = np.inf


class Model:
    fingerprint, device, batch_tokens, workers, threads = "m", "cpu", 6, 1, 1

    def prepare(self):
        pass

    def worker(self):
        return nullcontext()


class Stop(Exception):
    pass


def work(asked, stop_after=99, size=10):
    def compute(items):
        if len(asked) == stop_after:
            raise Stop
        asked.append(items.tolist())
        return VECTORS[items]

    return Work(
        model=Model(),
        lengths=1 + np.arange(size) % 4,
        widths=5,
        take=lambda items: items,
        answer=lambda model, items: compute(items),
        digest="v",
        dtype="float32",
    )


def test_the_same_bits_after_a_stop(tmp_path):
    engine, asked = LocalEngine(tmp_path), []
    with pytest.raises(Stop):
        engine.run(work(asked, stop_after=2), 10)
    found = engine.run(work(asked), 10)
    assert found.dtype == np.float32
    assert found.tobytes() == VECTORS.tobytes()
    assert sorted(sum(asked, [])) == list(range(10)), "what was journalled is not computed again"


def test_a_vector_takes_its_bytes_and_no_more(tmp_path):
    engine = LocalEngine(tmp_path)
    engine.run(work([]), 10)
    (path,) = tmp_path.rglob("*.sqlite")
    with closing(sqlite3.connect(path)) as journal:
        (stored,) = journal.execute("SELECT sum(length(data)) FROM batches").fetchone()
    assert stored == VECTORS.nbytes


def test_forget_deletes_this_journal_and_no_other(tmp_path):
    engine, asked = LocalEngine(tmp_path), []
    engine.run(work(asked), 10)
    engine.run(work(asked, size=7), 7)
    assert len(list(tmp_path.rglob("*.sqlite"))) == 2
    engine.forget(work(asked))
    assert len(list(tmp_path.rglob("*.sqlite"))) == 1
    engine.forget(work(asked))  # again, it does nothing
    before = len(asked)
    engine.run(work(asked, size=7), 7)
    assert len(asked) == before
    engine.run(work(asked), 10)
    assert len(asked) > before


def test_no_items(tmp_path):
    assert LocalEngine(tmp_path).run(work([], size=0), 0).dtype == np.float32
