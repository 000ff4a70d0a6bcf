"""hf:// addresses, against a hub on 127.0.0.1 and against the cache that it leaves."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from curate.data.hub_files import Address, address, chosen, is_hub, split_of
from curate.errors import DataError, UsageError

COMMIT = "c0ffee" + "0" * 34
OLD = "01d" + "0" * 37
TRAIN = [{"instruction": f"问{each}", "input": "", "output": f"答{each}"} for each in range(3)]
OTHER = [{"instruction": "test", "input": "", "output": "test"}]
FILES = {
    "README.md": "---\nlicense: mit\n---",
    "medical.py": "raise SystemExit('this must never run')",
    "train.json": json.dumps(TRAIN),
    "test.json": json.dumps(OTHER),
    "books/book_zh.json": '{"text": "一本书"}\n{"text": "又一本书"}\n',
}


# Addresses


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("hf://a/b", Address("a/b")),
        ("hf:/a/b", Address("a/b")),  # what Path makes of it
        ("hf://datasets/a/b:train", Address("a/b", split="train")),
        ("hf://a-1/b.c_2:validation", Address("a-1/b.c_2", split="validation")),
        ("hf://a/b@v1.0:train", Address("a/b", "v1.0", split="train")),
        ("hf://a/b@refs%2Fpr%2F1", Address("a/b", "refs/pr/1")),
        ("hf://a/b/pretrain/x y.json", Address("a/b", path="pretrain/x y.json")),
        ("hf://a/b@main/x:y.json", Address("a/b", "main", "x:y.json")),
        ("hf://a/b/", Address("a/b")),
    ],
)
def test_addresses(given, wanted):
    assert is_hub(given)
    assert is_hub(Path(given))
    assert address(given) == wanted
    assert address(Path(given)) == wanted


@pytest.mark.parametrize(
    "given", ["hf://", "hf://a", "hf://a/b:", "hf://a/b@", "hf://a/../b", "hf:/a b/c"]
)
def test_what_is_no_address(given):
    with pytest.raises(UsageError, match="allowed is hf://OWNER/NAME"):
        address(given)


def test_files_whose_names_begin_like_one():
    assert not is_hub("hf/data.json")
    assert not is_hub("data/hf:/x")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("train_zh_0.json", "train"),
        ("valid.json", "validation"),
        ("dev.jsonl", "validation"),
        ("reward/test.json", "test"),
        ("train/dev.json", "validation"),
        ("dpo_zh.json", ""),
        ("training_data.json", "train"),
        ("constraint.json", ""),  # a word within a word is none
        ("latest.json", ""),
    ],
)
def test_splits_are_told_by_words(name, split):
    assert split_of(name) == split


NAMES = ["README.md", ".hidden/train.json", "x.py", "train.json", "test.json", "more/train.csv"]


def test_files_of_an_address():
    assert chosen(Address("a/b", split="train"), NAMES) == ["more/train.csv", "train.json"]
    assert chosen(Address("a/b", split="eval"), NAMES) == ["test.json"]
    assert chosen(Address("a/b", path="more"), NAMES) == ["more/train.csv"]
    assert chosen(Address("a/b", path="README.md"), NAMES) == ["README.md"]
    assert chosen(Address("a/b"), ["dpo_en.json", "dpo_zh.json"]) == ["dpo_en.json", "dpo_zh.json"]
    assert chosen(Address("a/b", split="train"), ["x.jsonl"]) == ["x.jsonl"]
    assert chosen(Address("a/b", split="zh"), ["dpo_en.json", "dpo_zh.json"]) == ["dpo_zh.json"]


@pytest.mark.parametrize(
    ("wanted", "names", "told"),
    [
        (Address("a/b"), NAMES, "files of several splits .* say which, hf://a/b:train"),
        (Address("a/b", split="validation"), NAMES, "no split 'validation'. It has train, test"),
        (Address("a/b", split="tset"), NAMES, "Did you mean 'test'"),
        (Address("a/b", path="trian.json"), NAMES, "no such file. Did you mean 'train.json'"),
        (Address("a/b"), ["README.md", "b.py"], "but a script, and what comes from the hub is not"),
        (Address("a/b"), ["README.md", "b.bin"], "has no files of rows; look on its page"),
    ],
)
def test_what_an_address_cannot_mean(wanted, names, told):
    with pytest.raises((UsageError, DataError), match=told):
        chosen(wanted, names)


# A hub on this machine


@dataclass
class Hub:
    """What is asked of the hub, and what it has."""

    endpoint: str
    home: Path
    asked: list[str] = field(default_factory=list)


class _Answers(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        self.hub.asked.append(self.path)
        status, headers, body = self._found()
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _found(self) -> tuple[int, dict[str, str], bytes]:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:4] == ["api", "datasets", "owner", "gated"]:
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        if parts[:2] == ["api", "datasets"] and parts[2:4] != ["owner", "set"]:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if parts[:2] == ["api", "datasets"]:
            revision = parts[5] if len(parts) > 5 else "main"
            if revision not in ("main", "old"):
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            files = ["train.json"] if revision == "old" else list(FILES)
            told = {
                "id": "owner/set",
                "sha": OLD if revision == "old" else COMMIT,
                "siblings": [{"rfilename": name} for name in files],
            }
            return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
        if parts[:4] == ["datasets", "owner", "set", "resolve"]:
            commit = {"main": COMMIT, "old": OLD}.get(parts[4], parts[4])
            name = "/".join(parts[5:])
            text = json.dumps(OTHER) if commit == OLD else FILES[name]
            etag = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - git's own
            return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, text.encode()
        return 404, {}, b""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with one data set, owner/set, that serves as long as the test runs."""
    answers = type("Answers", (_Answers,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        answers.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "hf")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield answers.hub
        server.shutdown()
        thread.join()


READS = """
import json, sys
import curate
from curate.errors import CuratrainError
told = []
for given in sys.argv[1:]:
    try:
        rows = curate.read(given)
        told.append([len(rows), [source.name for source in rows.sources]])
    except CuratrainError as error:
        told.append(str(error))
print(json.dumps(told))
"""


@pytest.fixture
def child(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in a process that knows this hub only."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(hub.home),
            "HF_HUB_OFFLINE": "0",
            "CURATRAIN_CACHE": str(tmp_path / "cache"),
            **settings,
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def reads(child: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., list[Any]]:
    """Read addresses in a child; return rows and names of each, or what was said instead."""

    def reads(*given: str, **settings: str) -> list[Any]:
        run = child("-c", READS, *given, **settings)
        assert run.returncode == 0, run.stderr
        found: list[Any] = json.loads(run.stdout.splitlines()[-1])
        assert all("\n" not in each for each in found if isinstance(each, str))
        return found

    return reads


def test_a_split_a_file_a_folder_and_a_revision(hub, reads):
    train, book = "owner/set/train.json", "owner/set/books/book_zh.json"
    assert reads(
        "hf://owner/set:train",
        "hf://owner/set/books/book_zh.json",
        "hf://owner/set/books",
        "hf://owner/set@old:train",
        "hf://owner/set@old/train.json",
    ) == [[3, [train]], [2, [book]], [2, [book]], [1, [train]], [1, [train]]]
    # Rows and nothing else: the script is not even fetched.
    assert not any(path.name in ("medical.py", "README.md") for path in hub.home.rglob("*"))


def test_what_the_hub_does_not_give(reads):
    several, missing, gated, nothing, revision = reads(
        "hf://owner/set",
        "hf://owner/none:train",
        "hf://owner/gated:train",
        "hf://owner/set/nothing.json",
        "hf://owner/set@new:train",
    )
    assert "of several splits" in several
    assert "the hub has no such data set" in missing
    assert "terms accepted" in gated
    assert "no such file" in nothing
    assert "no such revision" in revision


def test_without_a_network_what_was_fetched_before_is_read(hub, reads):
    (before,) = reads("hf://owner/set:train", HF_HUB_OFFLINE="1")
    assert "could not be fetched: the hub cannot be reached" in before
    fetched = reads("hf://owner/set:train")
    asked = len(hub.asked)
    again, books = reads("hf://owner/set:train", "hf://owner/set/books", HF_HUB_OFFLINE="1")
    assert len(hub.asked) == asked
    assert [again] == fetched == [[3, ["owner/set/train.json"]]]
    assert "no such file" in books


def test_missing_shards_are_not_passed_over(hub, reads):
    folder = hub.home / "hub" / "datasets--owner--set"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    rows = folder / "snapshots" / COMMIT / "data"
    rows.mkdir(parents=True)
    (rows / "train-00001-of-00002.jsonl").write_text(json.dumps(TRAIN[0]) + "\n")
    (said,) = reads("hf://owner/set:train", HF_HUB_OFFLINE="1")
    assert "only 1 of 2 are in its cache" in said
    (rows / "train-00000-of-00002.jsonl").write_text(json.dumps(TRAIN[1]) + "\n")
    assert reads("hf://owner/set:train", HF_HUB_OFFLINE="1")[0][0] == 2


def test_as_it_is_typed(child, tmp_path):
    typed = "-m curate dedup --json --input hf://owner/set:train --against hf://owner/set:test"
    run = child(*typed.split(), "--output", str(tmp_path / "data"))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["name"] == "set_train_dedup"
    assert "read owner/set/train.json as alpaca, JSON, UTF-8: 3 rows" in run.stderr
    text = (tmp_path / "data" / "set_train_dedup.manifest.json").read_text(encoding="utf-8")
    assert json.loads(text)["sources"][0]["name"] == "owner/set/train.json"
    assert str(tmp_path) not in text


def test_a_hub_that_cannot_be_reached(child):
    run = child(
        *["-m", "curate", "dedup", "hf://owner/set:train"], HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: hf://owner/set:train could not be fetched: the hub cannot be")
    assert "huggingface.co/datasets/owner/set, and give them, or set HF_ENDPOINT" in line
