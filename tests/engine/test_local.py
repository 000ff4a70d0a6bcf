import re
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, nullcontext

import numpy as np
import pytest
import torch

from curate.engine import local
from curate.engine.local import LocalEngine, machine
from curate.errors import ModelError
from curate.scorers.contract import Work

WIDTHS = (1, 3, 2, 0, 1)


class Job:
    """Items whose numbers are known; it counts the batches it is asked for."""

    def __init__(self, items=40, workers=2, fails_at=None):
        self.lengths = np.array([1 + (7 * each) % 11 for each in range(items)])
        self.widths = np.array([WIDTHS[each % len(WIDTHS)] for each in range(items)])
        self.workers, self.fails_at = workers, fails_at
        self.asked, self.prepared, self.inside = [], 0, 0
        self.lock = threading.Lock()

    def numbers(self, item):
        return [item + place / 10 for place in range(self.widths[item])]

    def expected(self):
        return [each for item in range(len(self.lengths)) for each in self.numbers(item)]

    def compute(self, items):
        with self.lock:
            self.asked.append(items.tolist())
            if len(self.asked) == self.fails_at:
                raise RuntimeError("out of memory")
        return [self.numbers(item) for item in items.tolist()]

    def prepare(self):
        self.prepared += 1

    @contextmanager
    def worker(self):
        with self.lock:
            self.inside += 1
        yield
        with self.lock:
            self.inside -= 1

    def work(self, fingerprint="f"):
        self.fingerprint, self.batch_tokens, self.device, self.threads = fingerprint, 22, "cpu", 1
        return Work(
            model=self,
            lengths=self.lengths,
            widths=self.widths,
            take=lambda items: items,
            answer=lambda model, items: model.compute(items),
            digest="d",
        )


class Watch:
    def __init__(self):
        self.said = []

    def start(self, rows, total, done):
        self.said.append(("start", rows, total, done))

    def advance(self, tokens):
        self.said.append(("advance", tokens))

    def stop(self):
        self.said.append(("stop",))


def done(folder):
    (path,) = folder.rglob("*.sqlite")
    with closing(sqlite3.connect(path)) as journal:
        return journal.execute("SELECT count(*) FROM batches").fetchone()[0]


@pytest.mark.parametrize("workers", [0, 1, 2, 5, 99])
def test_numbers_are_in_the_items_order_for_any_number_of_workers(tmp_path, workers):
    job = Job(workers=workers)
    found = LocalEngine(tmp_path).run(job.work(), 40)
    assert found.tolist() == job.expected()
    assert sorted(item for batch in job.asked for item in batch) == list(range(40))
    assert job.inside == 0


def test_a_second_run_computes_nothing_and_prepares_nothing(tmp_path):
    first = LocalEngine(tmp_path).run(Job().work(), 40)
    job = Job()
    again = LocalEngine(tmp_path).run(job.work(), 40)
    assert (job.asked, job.prepared) == ([], 0)
    assert again.tolist() == first.tolist()


def test_many_results_lie_in_a_file_without_a_name(tmp_path, scratch_cache, monkeypatch):
    monkeypatch.setattr(local, "_MANY_BYTES", 8)
    found = LocalEngine(tmp_path / "j").run(Job().work(), 40)
    assert isinstance(found, np.memmap)
    assert found.tolist() == Job().expected()
    assert [*(scratch_cache / "scratch").iterdir()] == []


def test_another_fingerprint_is_computed_anew(tmp_path):
    LocalEngine(tmp_path).run(Job().work("model a"), 40)
    job = Job()
    LocalEngine(tmp_path).run(job.work("model b"), 40)
    assert job.prepared == 1
    assert len(job.asked) > 1


def test_an_error_reaches_the_caller_and_what_was_done_stays(tmp_path):
    broken = Job(workers=1, fails_at=5)
    with pytest.raises(RuntimeError, match="out of memory"):
        LocalEngine(tmp_path).run(broken.work(), 40)
    assert done(tmp_path) == 4
    job = Job(workers=2)
    assert LocalEngine(tmp_path).run(job.work(), 40).tolist() == job.expected()
    computed = {tuple(batch) for batch in broken.asked[:4]}
    assert computed.isdisjoint(map(tuple, job.asked))


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_a_worker_that_cannot_begin_reaches_the_caller(tmp_path, workers):
    @contextmanager
    def worker():
        raise MemoryError("no room for a worker")
        yield

    job = Job(workers=workers)
    job.worker = worker
    with pytest.raises(MemoryError, match="no room"):
        LocalEngine(tmp_path).run(job.work(), 40)


def test_too_little_memory_of_a_gpu_is_told_in_a_line(tmp_path):
    job, said = Job(workers=1), "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"

    def compute(items):
        raise torch.OutOfMemoryError(said)

    job.compute = compute
    with pytest.raises(ModelError, match=r"for a batch \(CUDA out of memory\); end what"):
        LocalEngine(tmp_path).run(job.work(), 40)


def test_no_thread_is_left_behind_by_an_error(tmp_path):
    before = threading.active_count()
    with pytest.raises(RuntimeError):
        LocalEngine(tmp_path).run(Job(workers=4, fails_at=2).work(), 40)
    assert threading.active_count() == before


def test_ctrl_c_ends_the_run_and_what_was_done_stays(tmp_path):
    job = Job(workers=2)
    plain = job.compute

    def slow(items):
        if len(job.asked) == 4:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.02)
        return plain(items)

    job.compute = slow
    watch = Watch()
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(tmp_path, watch).run(job.work(), 40)
    assert watch.said[-1] == ("stop",)
    before = done(tmp_path)
    assert 0 < before < len(batches_of(job))
    again = Job()
    assert LocalEngine(tmp_path).run(again.work(), 40).tolist() == again.expected()
    assert len(again.asked) == len(batches_of(job)) - before


def batches_of(job):
    from curate.engine.plan import plan_batches

    return plan_batches(job.lengths, 22)


def test_progress_hears_of_all_tokens_and_of_those_done_before(tmp_path):
    total = int(Job().lengths.sum())
    watch = Watch()
    with pytest.raises(RuntimeError):
        LocalEngine(tmp_path, watch).run(Job(workers=1, fails_at=5).work(), 17)
    assert watch.said[0] == ("start", 17, total, 0)
    before = sum(each[1] for each in watch.said if each[0] == "advance")
    again = Watch()
    LocalEngine(tmp_path, again).run(Job().work(), 17)
    assert again.said[0] == ("start", 17, total, before)
    assert before + sum(each[1] for each in again.said if each[0] == "advance") == total
    assert again.said[-1] == ("stop",)


def test_nothing_to_compute_is_an_empty_answer(tmp_path):
    job = Job(items=0)
    assert LocalEngine(tmp_path).run(job.work(), 0).tolist() == []
    assert job.prepared == 0


def test_a_batch_of_too_few_numbers_is_refused(tmp_path):
    job = Job()
    job.compute = lambda items: [[0.0]]
    job.worker = nullcontext
    with pytest.raises(ValueError, match="1 numbers instead of"):
        LocalEngine(tmp_path).run(job.work(), 40)


def test_batches_of_another_machine_are_told_and_not_taken(tmp_path, monkeypatch):
    first, said = Job(), []
    LocalEngine(tmp_path).run(first.work(), 40)
    monkeypatch.setattr(local, "machine", lambda model: "another CPU")
    job = Job()
    job.numbers = lambda item: [each + 1e-7 for each in first.numbers(item)]
    found = LocalEngine(tmp_path, say=said.append).run(job.work(), 40)
    assert sorted(job.asked) == sorted(first.asked), "all of it was computed anew"
    assert found.tolist() == job.expected()
    assert len(said) == 1
    assert re.match(rf"computed by .*torch.*: {len(first.asked)} batches of these rows", said[0])
    monkeypatch.undo()
    again = Job()
    assert LocalEngine(tmp_path, say=said.append).run(again.work(), 40).tolist() == first.expected()
    told = ["an earlier run computed all of this; nothing is computed anew"]
    assert (again.asked, said[1:]) == ([], told)


def test_what_rounds_is_part_of_a_machine(monkeypatch):
    job = Job()
    job.work()
    here = machine(job)
    assert torch.__version__ in here
    assert np.__version__ in here
    job.threads = 4
    assert machine(job) != here
    job.device = ""
    assert machine(job) == "a server"
