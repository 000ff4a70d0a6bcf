"""What is on disk after any end of a run is whole batches, and another run goes on from them."""

import multiprocessing
import os
import resource
import signal

import pytest

from curate.engine.journal import delete_journal, is_finished, open_journal
from curate.errors import OutputError

NAME = "ab" * 32
HERE = "this CPU"


def write(folder, batches, machine=HERE):
    """Append batches; return what was there before."""
    with open_journal(folder, NAME, machine, 3) as journal:
        before = dict(journal.batches())
        for number, data in batches.items():
            journal.append(number, data)
    return before


def file_in(folder):
    return folder / f"{NAME[:32]}.sqlite"


def test_what_was_written_is_read(tmp_path):
    batches = {0: b"one", 7: b"", 3: bytes(range(256)) * 100}
    assert write(tmp_path / "new", batches) == {}
    assert write(tmp_path / "new", {1: b"more"}) == batches
    assert write(tmp_path / "new", {}) == {**batches, 1: b"more"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == [file_in(tmp_path).name]


def test_machines_do_not_see_each_others_batches(tmp_path):
    write(tmp_path, {0: b"one", 1: b"two"})
    assert write(tmp_path, {0: b"eins"}, "a GPU") == {}
    with open_journal(tmp_path, NAME, "a GPU", 3) as journal:
        assert (dict(journal.batches()), journal.of_others()) == ({0: b"eins"}, {HERE: 2})


def test_halves_of_two_machines_are_no_finished_journal(tmp_path):
    write(tmp_path, {0: b"one", 1: b"two"})
    write(tmp_path, {2: b"drei"}, "a GPU")
    assert not is_finished(file_in(tmp_path))
    write(tmp_path, {2: b"three"})
    assert is_finished(file_in(tmp_path))


def killed(folder, sent):
    with open_journal(folder, NAME, HERE, 3) as journal:
        for number in range(1000):
            journal.append(number, b"x" * number)
            sent.send(number)


@pytest.mark.parametrize("after", [0, 1, 40, 300])
def test_a_kill_loses_no_batch_that_was_written(tmp_path, after):
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    other = context.Process(target=killed, args=(tmp_path, sent))
    other.start()
    written = -1
    while written < after:
        assert received.poll(60)
        written = received.recv()
    os.kill(other.pid, signal.SIGKILL)
    other.join(60)
    while received.poll():
        try:
            written = received.recv()
        except EOFError:
            break
    found = write(tmp_path, {})
    assert list(found) == list(range(len(found)))
    assert len(found) > written
    assert all(found[number] == b"x" * number for number in found)


def test_a_log_cut_at_any_byte_gives_a_prefix_of_the_batches(tmp_path):
    batches = {number: bytes([number]) * 900 for number in range(4)}
    with open_journal(tmp_path, NAME, HERE, 3) as journal:
        for number, data in batches.items():
            journal.append(number, data)
        main = file_in(tmp_path).read_bytes()
        log = file_in(tmp_path).with_name(file_in(tmp_path).name + "-wal").read_bytes()
    for size in range(0, len(log) + 1, 97):
        folder = tmp_path / str(size)
        folder.mkdir()
        file_in(folder).write_bytes(main)
        file_in(folder).with_name(file_in(folder).name + "-wal").write_bytes(log[:size])
        found = write(folder, {})
        assert found == {number: batches[number] for number in range(len(found))}
    assert len(found) >= 3


@pytest.mark.parametrize("rubbish", [b"\x00" * 5000, b"no journal" * 900, b"x"])
def test_rubbish_is_begun_anew(tmp_path, rubbish):
    write(tmp_path, {0: b"one"})
    file_in(tmp_path).write_bytes(rubbish)
    assert write(tmp_path, {0: b"one"}) == {}
    assert write(tmp_path, {}) == {0: b"one"}


def hold(folder, held, release):
    with open_journal(folder, NAME, HERE, 3):
        held.set()
        release.wait(60)


def test_a_second_run_is_told_that_the_first_is_at_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(OutputError, match="another run is scoring these rows"):
            write(tmp_path, {})
    finally:
        release.set()
        other.join(60)
    assert write(tmp_path, {}) == {}


def test_the_journal_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), open_journal(tmp_path, NAME, HERE, 3):
        raise ZeroDivisionError
    assert write(tmp_path, {}) == {}


def test_an_error_of_what_is_computed_is_no_error_of_the_journal(tmp_path):
    with pytest.raises(OSError, match="the model"), open_journal(tmp_path, NAME, HERE, 3):
        raise OSError("the model")


def test_a_full_disk_is_told_with_what_to_do(tmp_path):
    message = "scores cannot be written .*full.*CURATRAIN_CACHE"
    with open_journal(tmp_path, NAME, HERE, 3) as journal:
        journal.append(0, b"one")
        journal._connection.execute("PRAGMA max_page_count = 5")
        with pytest.raises(OutputError, match=message):
            journal.append(1, b"x" * 100_000)
    assert write(tmp_path, {}) == {0: b"one"}


def test_a_disk_that_is_full_when_a_run_goes_on_is_told(tmp_path):
    write(tmp_path, {0: b"one"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(OutputError, match="scores cannot be written .*CURATRAIN_CACHE"):
            write(tmp_path, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert write(tmp_path, {}) == {0: b"one"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "journals").write_text("a file")
    with pytest.raises(OutputError, match="scores cannot be written"):
        write(tmp_path / "journals", {})


def test_a_deleted_journal_leaves_nothing(tmp_path):
    write(tmp_path, {0: b"one"})
    delete_journal(tmp_path, NAME)
    assert list(tmp_path.iterdir()) == []
    delete_journal(tmp_path, NAME)  # again, it does nothing


def test_a_page_that_a_disk_has_spoiled_is_not_believed(tmp_path):
    write(tmp_path, {number: bytes(900) for number in range(200)})
    whole = file_in(tmp_path).read_bytes()
    file_in(tmp_path).write_bytes(whole[:12288] + b"\xff" * 4096 + whole[16384:])
    assert write(tmp_path, {0: b"one"}) == {}
    assert write(tmp_path, {}) == {0: b"one"}
