"""The ledger: what is there after a kill, and files that are none."""

import sqlite3

import pytest

from curate.distill.ledger import open_ledger
from curate.errors import OutputError
from curate.models.openai_request import Completion


def test_what_was_sent_is_paid_for_until_it_is_known_what_it_cost(tmp_path):
    path = tmp_path / "x.answers.db"
    whole = Completion("a", thinking="hm", model="m", prompt_tokens=3, response_tokens=2)
    with open_ledger(path) as ledger:
        first, second = ledger.send("one", 0.5), ledger.send("two", 0.25)
        assert ledger.spent == 0.75
        ledger.end(first, 0.1, "answered", answer=("one", whole))
        assert ledger.spent == pytest.approx(0.35)
    with open_ledger(path) as ledger:  # as after a kill
        assert ledger.spent == pytest.approx(0.35)
        assert ledger.lost() == 1
        assert ledger.answer("one") == whole
        assert ledger.answer("two") is None
        assert ledger.failure("two") == ("sent", "", 1)
        ledger.end(ledger.send("two", 0.25), 0.0, "rate_limited", "slow down")
        assert ledger.failure("two") == ("rate_limited", "slow down", 2)
        ledger.end(second, 0.0, "timed_out")


def test_ledgers_that_are_none(tmp_path):
    path = tmp_path / "x.answers.db"
    path.write_text("no database at all, but a text that is long enough to be taken for one " * 20)
    with pytest.raises(OutputError, match=r"x.answers.db is no ledger of answers .*--name"):
        open_ledger(path).__enter__()
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE things (a)")
    other.close()
    with pytest.raises(OutputError, match=r"is no ledger of answers \(it has tables of another"):
        open_ledger(path).__enter__()
    path.unlink()
    with open_ledger(path):
        pass
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(OutputError, match=r"a newer curatrain \(version 99"):
        open_ledger(path).__enter__()


def test_a_full_disk_ends_the_sending(tmp_path):
    with open_ledger(tmp_path / "x.answers.db") as ledger:
        first = ledger.send("one", 0.0)
        ledger._connection.execute("PRAGMA max_page_count = 20")
        long = Completion("a" * 100_000)
        with pytest.raises(
            OutputError, match=r"full\. Nothing more is sent, and what was answered"
        ):
            ledger.end(first, 0.0, "answered", answer=("one", long))
        assert ledger.answer("one") is None
        assert ledger.failure("one") == ("sent", "", 1)  # it may have been paid for


def test_one_run_at_a_time(tmp_path):
    path = tmp_path / "x.answers.db"
    with (
        open_ledger(path),
        pytest.raises(OutputError, match="another run is asking for 'x.answers"),
    ):
        open_ledger(path).__enter__()
    with pytest.raises(OutputError, match="cannot be written to"):
        open_ledger(tmp_path / "nothing" / "x.answers.db").__enter__()
