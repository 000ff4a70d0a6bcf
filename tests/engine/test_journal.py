import json
import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from curate.engine import journal as module
from curate.engine.journal import Journal, open_journal
from curate.errors import OutputError

MARK = "ab" * 32


def file_in(folder):
    return folder / f"{MARK[:32]}.jsonl"


def write(folder, batches, mark=MARK):
    """Journal some batches, and return those that were found before."""
    found = {}
    with open_journal(folder, mark, found.__setitem__) as journal:
        for number, values in batches.items():
            journal.append(number, values)
    return found


def test_what_was_journalled_is_found_again_to_the_last_bit(tmp_path):
    values = [[0.1 + 0.2, 1e-300], [float("inf"), -0.0]]
    assert write(tmp_path / "journals", {3: values, 0: [[1.0]]}) == {}
    found = write(tmp_path / "journals", {})
    assert json.dumps(found) == json.dumps({3: values, 0: [[1.0]]})


def test_not_a_number_comes_back_as_such(tmp_path):
    write(tmp_path, {0: [[float("nan")]]})
    assert str(write(tmp_path, {})[0]) == "[[nan]]"


@pytest.mark.parametrize("cut", [1, 2, 10, 30])
def test_a_line_that_was_cut_is_cut_off_and_written_again(tmp_path, cut):
    write(tmp_path, {0: [[1.0]], 1: [[2.0]]})
    whole = file_in(tmp_path).read_bytes()
    file_in(tmp_path).write_bytes(whole[:-cut])
    assert write(tmp_path, {1: [[2.0]]}) == {0: [[1.0]]}
    assert file_in(tmp_path).read_bytes() == whole


def test_a_file_cut_at_any_byte_gives_a_prefix_of_the_batches(tmp_path):
    batches = {number: [[float(number)]] for number in range(4)}
    write(tmp_path, batches)
    whole = file_in(tmp_path).read_bytes()
    for size in range(len(whole) + 1):
        file_in(tmp_path).write_bytes(whole[:size])
        found = write(tmp_path, {})
        assert found == {number: batches[number] for number in range(len(found))}
        missing = {number: each for number, each in batches.items() if number not in found}
        write(tmp_path, missing)
        assert file_in(tmp_path).read_bytes() == whole


def test_a_header_of_other_numbers_is_not_believed(tmp_path):
    write(tmp_path, {0: [[1.0]]})
    other = MARK[:32] + "cd" * 16
    assert write(tmp_path, {}, other) == {}
    assert json.loads(file_in(tmp_path).read_text())["of"] == other


def test_rubbish_in_the_middle_ends_what_is_believed(tmp_path):
    write(tmp_path, {0: [[1.0]], 1: [[2.0]]})
    lines = file_in(tmp_path).read_bytes().splitlines(keepends=True)
    file_in(tmp_path).write_bytes(lines[0] + lines[1] + b"\x00" * 20 + b"\n" + lines[2])
    assert write(tmp_path, {}) == {0: [[1.0]]}
    assert file_in(tmp_path).read_bytes() == lines[0] + lines[1]


class Stingy:
    """A raw file that takes three bytes at a time."""

    def __init__(self, path):
        self.raw = path.open("ab", buffering=0)

    def write(self, block):
        return self.raw.write(bytes(block[:3]))

    def fileno(self):
        return self.raw.fileno()


def test_a_write_that_takes_a_part_goes_on_with_the_rest(tmp_path):
    stream = Stingy(tmp_path / "j")
    Journal(tmp_path / "j", stream).append(7, [[1.5, 2.5]])
    stream.raw.close()
    assert (tmp_path / "j").read_text() == '{"batch": 7, "values": [[1.5, 2.5]]}\n'


def hold(folder, held, release):
    with open_journal(folder, MARK, lambda number, values: None):
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


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), open_journal(tmp_path, MARK, print):
        raise ZeroDivisionError
    with FileLock(f"{file_in(tmp_path)}.lock", timeout=0):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_with_what_to_do():
    with (
        Path("/dev/full").open("wb", buffering=0) as stream,
        pytest.raises(OutputError, match="No space left on device.*CURATRAIN_CACHE"),
    ):
        Journal(Path("/cache/journals/x.jsonl"), stream).append(0, [[1.0]])


def test_a_disk_that_is_full_only_when_synced_is_told_too(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module.os, "fsync", full)
    monkeypatch.setattr(module, "_SYNC_EVERY", -1.0)
    with pytest.raises(OutputError, match="No space left on device"):
        write(tmp_path, {0: [[1.0]]})
    monkeypatch.undo()
    assert write(tmp_path, {}) == {0: [[1.0]]}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "journals").write_text("a file")
    with pytest.raises(OutputError, match="scores cannot be written"):
        write(tmp_path / "journals", {})
