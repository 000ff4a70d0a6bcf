"""`curate mix --self-answers`: the drawn general prompts with the model's own answers."""

from __future__ import annotations

import json

import pytest

from tests.calling import Caller, share_models
from tests.fake_server import FakeServer, said
from tests.mix.mixing import emitted, manifest, rows, save, sides

pytestmark = pytest.mark.usefixtures("scratch_cache")


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "d.json", rows("d", 5))
    save(tmp_path / "g.json", [*rows("g", 30), {"instruction": "g?", "input": "", "output": ""}])
    return Caller(capsys)


def script(text, _):
    """Answer all but one of three prompts to its end."""
    number = int(text.split()[1].rstrip("?"))
    if number % 3 == 0:
        return 200, said("it would go on", "length"), {}
    return 200, said(f"own {number}"), {}


def test_drawn_rows_have_own_answers_and_others_are_drawn_where_there_is_none(call, tmp_path):
    server = FakeServer(script)
    mixing = ("--domain", "d.json", "--general", "g.json", "--ratio", "1:3", "--json")
    try:
        answer = call("mix", *mixing, "--self-answers", f"{server.address}#m")
        asked = len(server.asked)
        again = call("mix", *mixing, "--self-answers", f"{server.address}#m")
        assert len(server.asked) == asked, "what was answered must not be asked again"
    finally:
        server.close()
    assert answer.code == again.code == 0, answer.err
    assert json.loads(answer.out)["realised"] == "domain 5 : general 15 rows = 1:3"
    written = emitted(tmp_path / "data", "d_mix")
    assert sides(written) == {"d": 5, "g": 15}
    for row in written:
        name, number = row["instruction"].rstrip("?").split()
        assert row["output"] == (f"own {number}" if name == "g" else f"d answer {number}")
    told = manifest(tmp_path / "data", "d_mix")
    own = told["self_answers"]
    # Of 31 prompts no more were asked than were drawn, once each.
    assert own["asked"]["ok"] == 15
    assert sum(own["asked"].values()) == asked < 30
    assert own["left_out"]["g.json"]["no_self_answer"] == own["asked"]["cut_off"]
    assert (own["decoding"], own["prompts_of"][0]["name"]) == ("greedy", "g.json")
    assert "15 general prompts are answered by" in answer.err
    assert "cut_off" in answer.err
    assert any("never enter" in note for note in told["notes"])


def test_too_few_answers_say_so(call):
    server = FakeServer(script)
    try:
        line = call.refused(
            "no_self_answer",
            *("mix", "--domain", "d.json", "--general", "g.json", "--ratio", "1:5"),
            *("--self-answers", f"{server.address}#m"),
        )
    finally:
        server.close()
    assert "general" in line


def test_tokens_cannot_be_known_before(call):
    call.refused(
        "--self-answers goes with --by rows and --stage sft",
        *("mix", "--domain", "d.json", "--general", "g.json", "--by", "tokens"),
        *("--self-answers", "smollm2"),
    )


@pytest.mark.model
def test_the_bundled_model_answers_as_it_does_alone(call, tmp_path, scratch_cache):
    from curate.models.generate import load_generator

    share_models(scratch_cache)
    asked = [{"instruction": "What is the capital of France?", "input": "", "output": "x"}]
    save(tmp_path / "one.json", asked)
    mixing = ("--domain", "d.json", "--general", "one.json", "--ratio", "5:1")
    answer = call("mix", *mixing, "--self-answers", "smollm2")
    assert answer.code == 0, answer.err
    (own,) = (row for row in emitted(tmp_path / "data", "d_mix") if "France" in row["instruction"])
    talk = [{"role": "user", "content": "What is the capital of France?"}]
    assert own["output"] == load_generator("smollm2").replies([talk], 512)[0].text
    assert "Paris" in own["output"]
