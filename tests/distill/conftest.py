import json

import pytest

from tests.calling import Caller
from tests.distill.lying_server import LyingServer


@pytest.fixture
def serve(monkeypatch):
    for name in ("CURATRAIN_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def start(script=None, **more):
        made.append(LyingServer(script, **more))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def curate(capsys):
    return Caller(capsys)


@pytest.fixture
def questions(tmp_path):
    """Write so many questions and return the file."""

    def write(count, text="question {}?", name="q.jsonl"):
        path = tmp_path / name
        rows = [{"instruction": text.format(n), "output": f"old {n}"} for n in range(count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
