"""What is sent to others, and what is written: identifiers, and answers that are none."""

import json

import pytest

from curate.distill import making
from curate.errors import UsageError
from curate.parameters.distill import DialogueParams, DocumentParams, InstructParams, Sending
from tests.distill.lying_server import completion

TOLD = "患者王秀英，电话13812345678，高血压能吃党参吗？"
MASKED = "患者***，电话***********，高血压能吃党参吗？"


@pytest.fixture
def ask(curate, serve, tmp_path):
    file = tmp_path / "q.jsonl"
    rows = [{"instruction": TOLD, "output": "x"}, {"instruction": "什么是糖尿病？", "output": "x"}]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")

    def call(*more, text="可以适量服用，注意监测血压。"):
        server = serve(lambda body, times: completion(text(body) if callable(text) else text))
        output = ("--output", tmp_path / "data", "--name", "n", "--json")
        told = curate(
            *(
                "distill",
                "answer",
                "--input",
                file,
                "--model",
                f"{server.address}#m",
                *output,
                *more,
            )
        )
        assert told.code == 0, told.err
        written = (tmp_path / "data" / "n.jsonl").read_text(encoding="utf-8").splitlines()
        sent = {body["messages"][-1]["content"] for body in server.bodies}
        return json.loads(told.out), sent, [json.loads(line)["instruction"] for line in written]

    return call


@pytest.mark.parametrize(
    ("more", "sent", "written", "dropped"),
    [
        ((), TOLD, MASKED, {}),  # this machine is no stranger
        (("--pii", "keep"), TOLD, TOLD, {}),
        (("--pii", "drop"), TOLD, None, {"identifiers": 1}),
        (("--pii-in", "mask"), MASKED, MASKED, {}),
        (("--pii-in", "refuse"), None, None, {"identifiers": 1}),
    ],
)
def test_identifiers(ask, more, sent, written, dropped):
    told, seen, rows = ask(*more)
    other = "什么是糖尿病？"
    assert seen == {other, sent} - {None}
    assert rows == [each for each in (written, other) if each]
    assert told["dropped"] == dropped


def test_addresses_elsewhere_get_masked_texts():
    look = making._looking(Sending())
    assert look([TOLD], "https://api.example.com/v1") == (MASKED,)
    assert look([TOLD], "http://127.0.0.1:8000/v1") == [TOLD]
    allowed = making._looking(Sending(pii_in="allow"))
    assert allowed([TOLD], "https://api.example.com/v1") == [TOLD]


def test_a_key_goes_to_one_host(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-1")
    monkeypatch.delenv("CURATRAIN_API_KEY", raising=False)
    named = Sending(api_key_env="MY_KEY")
    here, there, elsewhere = "http://127.0.0.1:1/v1", "https://a.example/v1", "https://b.example/v1"
    assert making._keys({here}, named) == {here: "sk-1"}
    assert making._keys({here, there}, named) == {here: "", there: "sk-1"}
    with pytest.raises(UsageError, match="the key would be sent to a.example and b.example"):
        making._keys({there, elsewhere}, named)


def test_answers_that_refuse_are_no_rows(ask):
    def by(body):
        refused = "糖尿病" in body["messages"][-1]["content"]
        return (
            "作为一个AI语言模型，我无法提供医疗建议。"
            if refused
            else "可以适量服用，注意监测血压。"
        )

    told, _, rows = ask(text=by)
    assert rows == [MASKED]
    (reason,) = told["dropped"]
    assert reason in ("refusal", "speaks_as_ai")
    assert len(ask("--flawed", "keep", text=by)[2]) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DocumentParams(chunk=100, overlap=100), r"--overlap 100: allowed are 0 to less"),
        (lambda: DocumentParams(questions=0), "--questions 0: allowed are 1 and more"),
        (lambda: DialogueParams(turns=0), "--turns 0: allowed are 1 and more"),
        (lambda: InstructParams(target=0), "--target 0: allowed are 1 and more"),
        (lambda: InstructParams(lang="fr"), "--lang fr: allowed are auto, zh, en"),
        (lambda: Sending(timeout=0), "--timeout 0: allowed are seconds above 0"),
    ],
)
def test_numbers_that_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
