"""Addresses of both hubs, against a hub on 127.0.0.1 and against the cache that it leaves."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from curate.data.hub_files import chosen, split_of
from curate.errors import DataError, UsageError
from curate.system.hub import Address, address, is_hub, model_address

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
MODEL = {
    "README.md": "",
    "config.json": '{"model_type": "llama"}',
    "configuration_tiny.py": "raise SystemExit('this must never run')",
    "model.safetensors": "\x02\0\0\0\0\0\0\0{}",  # a header, and no tensors
    "tokenizer.json": "{}",
}
REPOS: dict[str, dict[str, dict[str, str]]] = {
    "datasets/owner/set": {"main": FILES, "old": {"train.json": json.dumps(OTHER)}},
    "models/owner/tiny": {"main": MODEL},
    "models/owner/pickled": {"main": {"config.json": "{}", "pytorch_model.bin": "no"}},
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
        ("ms://a/b", Address("a/b", hub="ms")),
        ("ms://datasets/a/b@v1:train", Address("a/b", "v1", split="train", hub="ms")),
        ("ms:/a/b/x.json", Address("a/b", path="x.json", hub="ms")),
    ],
)
def test_addresses(given, wanted):
    assert is_hub(given)
    assert is_hub(Path(given))
    assert address(given) == wanted
    assert address(Path(given)) == wanted


@pytest.mark.parametrize(
    "given",
    ["hf://", "hf://a", "hf://a/b:", "hf://a/b@", "hf://a/../b", "hf:/a b/c", "hf://a/b@%2E%2E"],
)
@pytest.mark.parametrize("hub", ["hf", "ms"])
def test_what_is_no_address(given, hub):
    with pytest.raises(UsageError, match=f"^{hub}://.*: allowed is {hub}://OWNER/NAME.* {hub}://O"):
        address(given.replace("hf", hub))


def test_models_are_named_by_address_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("USE_MODELSCOPE_HUB", raising=False)
    assert model_address("a/b") == model_address("hf://a/b") == Address("a/b")
    assert model_address("ms://a/b@v1") == Address("a/b", "v1", hub="ms")
    assert model_address("smollm2") is model_address("./a/b") is model_address("a/b/c") is None
    assert model_address("saves/a") is None  # a run, mistyped or not there yet
    with pytest.raises(UsageError, match="all of a repository; give ms://a/b"):
        model_address("ms://a/b:train")
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")  # as LLaMA-Factory takes it
    assert model_address("a/b") == Address("a/b", hub="ms")
    (tmp_path / "a").mkdir()
    assert model_address("a/b") is None  # a folder that was mistyped


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
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] == ["api", "v1"]:
            return self._modelscope(parts[2:], dict(parse_qsl(url.query)))
        if parts[0] == "api":
            return self._hugging_face("/".join(parts[1:4]), parts[5] if len(parts) > 5 else "main")
        kind, owner, name, _, revision, *path = parts if "datasets" in parts else ["models", *parts]
        revision = {COMMIT: "main", OLD: "old"}.get(revision, revision)
        text = REPOS[f"{kind}/{owner}/{name}"][revision]["/".join(path)]
        etag = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - git's own
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": {"main": COMMIT}.get(revision, OLD)}
        return 200, headers, text.encode()

    def _hugging_face(self, repo: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        if repo.endswith("/gated"):
            return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
        if repo.endswith("/busy"):
            return 418, {}, b"{}"
        if repo not in REPOS:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if revision not in REPOS[repo]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        answer = {
            "id": repo.partition("/")[2],
            "sha": {"main": COMMIT}.get(revision, OLD),
            "siblings": [{"rfilename": name} for name in REPOS[repo][revision]],
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _modelscope(
        self, parts: list[str], asked: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        repo = "/".join(parts[:3])
        if repo.endswith("/busy"):
            return 503, {"Retry-After": "60"}, b"{}"
        if repo.endswith("/gated"):
            return 403, {}, json.dumps({"Code": 10010205, "Message": "no access"}).encode()
        revision = asked.get("Revision", "").replace("master", "main")
        files = REPOS.get(repo, {}).get(revision)
        if files is None:
            return 404, {}, json.dumps({"Code": 404, "Message": "not found"}).encode()
        if parts[3:] == ["repo"]:
            return 200, {}, files[asked["FilePath"]].encode()
        assert parts[3:] == ["repo", "tree" if parts[0] == "datasets" else "files"]
        entries = [{"Path": "books", "Type": "tree"}, {"Path": "../train.json", "Type": "blob"}]
        for name, text in files.items():
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            size = len(text.encode())
            entries.append({"Path": name, "Type": "blob", "Size": size, "Sha256": sha256})
        if asked["Recursive"] == "False":
            entries = [entry for entry in entries if "/" not in entry["Path"]]
        return 200, {}, json.dumps({"Code": 200, "Data": {"Files": entries}}).encode()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Both hubs with a data set, owner/set, and a model, owner/tiny, as long as the test runs."""
    answers = type("Answers", (_Answers,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        answers.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "hub")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield answers.hub
        server.shutdown()
        thread.join()


READS = """
import json, sys
import curate
from curate.errors import CuratrainError
from curate.models.resolve import resolve
told = []
for given in sys.argv[1:]:
    try:
        if "owner/tiny" in given or "owner/pickled" in given:
            model = resolve(given)
            told.append([model.name, sorted(path.name for path in model.folder.iterdir())])
        else:
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
            "MODELSCOPE_ENDPOINT": hub.endpoint,
            "MODELSCOPE_CACHE": str(hub.home),
            "MODELSCOPE_HOME": str(hub.home / "login"),
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


both = pytest.mark.parametrize("at", ["hf", "ms"])
AWAY = {
    "HF_HUB_OFFLINE": "1",
    "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",
}


@both
def test_a_split_a_file_a_folder_and_a_revision(hub, reads, at):
    train, book = "owner/set/train.json", "owner/set/books/book_zh.json"
    assert reads(
        f"{at}://owner/set:train",
        f"{at}://owner/set/books/book_zh.json",
        f"{at}://owner/set/books",
        f"{at}://owner/set@old:train",
        f"{at}://owner/set@old/train.json",
    ) == [[3, [train]], [2, [book]], [2, [book]], [1, [train]], [1, [train]]]
    # Rows and nothing else: the script is not even fetched.
    assert not any(path.name in ("medical.py", "README.md") for path in hub.home.rglob("*"))


@both
def test_what_the_hub_does_not_give(reads, at):
    several, missing, gated, nothing, revision, busy = reads(
        f"{at}://owner/set",
        f"{at}://owner/none:train",
        f"{at}://owner/gated:train",
        f"{at}://owner/set/nothing.json",
        f"{at}://owner/set@new:train",
        f"{at}://owner/busy:train",
    )
    assert "of several splits" in several
    assert f"say which, {at}://owner/set:test, or name a file, {at}://owner/set/books" in several
    assert "the hub has no such data set" in missing
    assert "terms accepted" in gated
    assert "no such file" in nothing
    assert f"the hub {'answered 418; try' if at == 'hf' else 'cannot be'}" in busy
    assert "HF_ENDPOINT" in busy
    assert "no such revision" in revision or "with a revision 'new'" in revision


@both
def test_without_a_network_what_was_fetched_before_is_read(hub, reads, at):
    fetched = reads(f"{at}://owner/set:train")
    asked = len(hub.asked)
    again, books = reads(f"{at}://owner/set:train", f"{at}://owner/set/books", **AWAY)
    assert len(hub.asked) == asked
    assert [again] == fetched == [[3, ["owner/set/train.json"]]]
    assert "no such file" in books


@both
def test_an_older_revision_is_not_taken_for_the_newest(reads, at):
    assert reads(f"{at}://owner/set@old:train") == [[1, ["owner/set/train.json"]]]
    old, newest = reads(f"{at}://owner/set@old", f"{at}://owner/set:train", **AWAY)
    assert old == [1, ["owner/set/train.json"]]
    assert "could not be fetched: the hub cannot be reached" in newest


@both
def test_a_file_that_the_hub_has_changed_is_fetched_anew(reads, at, monkeypatch):
    assert reads(f"{at}://owner/set/train.json")[0][0] == 3
    monkeypatch.setitem(FILES, "train.json", json.dumps([*TRAIN, *OTHER]))
    monkeypatch.setattr(sys.modules[__name__], "COMMIT", "beef" + "0" * 36)
    assert reads(f"{at}://owner/set/train.json")[0][0] == 4


@both
def test_a_model(hub, reads, at):
    whole = ["config.json", "model.safetensors", "tokenizer.json"]
    fetched, pickled = reads(f"{at}://owner/tiny", f"{at}://owner/pickled")
    assert fetched == [f"{at}://owner/tiny", whole]
    assert "has no *.safetensors" in pickled
    assert not list(hub.home.rglob("pytorch_model.bin"))
    asked = len(hub.asked)
    again, split, revision = reads(
        f"{at}://owner/tiny", f"{at}://owner/tiny:train", f"{at}://owner/tiny@v1", **AWAY
    )
    assert again == fetched
    assert len(hub.asked) == asked
    assert f"a model is all of a repository; give {at}://owner/tiny" in split
    assert revision.startswith(f"hub model '{at}://owner/tiny@v1' could not be fetched: the hub c")


def test_llama_factory_is_given_the_folder_of_a_model_of_the_other_hub(child):
    code = (
        "from train.config.model import find\n"
        "from curate.models.inventory import at_hand\n"
        "model = find('ms://owner/tiny')\n"
        "print(model.path == str(model.folder), model.name, model.kind)\n"
        "print([m.name for m in at_hand() if m.folder and str(m.folder) == model.path])"
    )
    run = child("-c", code)
    assert run.stdout.splitlines() == ["True ms://owner/tiny llama", "['ms://owner/tiny']"], run


@pytest.mark.parametrize("case", ["hf silent", "ms silent", "ms refuses"])
def test_a_hub_that_does_not_answer_is_given_up_in_seconds(child, case):
    at, how = case.split()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if how == "silent":  # takes connections and never answers
            server.listen(50)
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        endpoints = {"HF_ENDPOINT": endpoint, "MODELSCOPE_ENDPOINT": endpoint}
        run = child("-c", READS, f"{at}://owner/set:train", f"{at}://owner/tiny", **endpoints)
    data, model = json.loads(run.stdout)
    assert not run.stderr
    for line in (data, model):
        assert "could not be fetched: the hub cannot be reached; set " in line
        assert "\n" not in line
        assert "HF_ENDPOINT" in line
        assert ("ms://OWNER/NAME" if at == "hf" else "MODELSCOPE_ENDPOINT") in line


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


@both
def test_as_it_is_typed(child, tmp_path, at):
    typed = f"-m curate dedup --json --input {at}://owner/set:train --against {at}://owner/set:test"
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
    assert "huggingface.co/datasets/owner/set, and give them" in line
    assert "set HF_ENDPOINT to a mirror, give ms://OWNER/NAME if ModelScope has it" in line
