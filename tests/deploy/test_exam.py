"""`deploy eval`: what is asked, what an answer names, and what it amounts to."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from curate.errors import DataError, UsageError
from curate.models.resolve import files_of, resolve
from curate.system import environments
from deploy.cli import app
from deploy.compare.asking import Answer
from deploy.engines.contract import ServeCall
from deploy.exam import harness
from deploy.exam.letters import letter_in
from deploy.exam.questions import Exam, Question, read_exam
from deploy.exam.result import Result
from deploy.exam.sitting import ANSWER, LETTER, Sitting, letter_ids, letter_model, seen_in_training
from deploy.output import model_name, told_apart
from deploy.quantizing.quantize import find_model
from deploy.serving.served_model import served
from tests.calling import Caller, share_models
from tests.deploy.datasets import write

CMEXAM = [
    ("治疗过敏性休克的首选药物是", "A 地塞米松\nB 肾上腺素\nC 多巴胺\nD 胰岛素\nE 阿托品", "B"),
    ("维生素D缺乏可引起", "A 坏血病\nB 佝偻病\nC 脚气病\nD 夜盲症\nE 癞皮病", "B"),
    ("下列属于抗凝药的有", "A 肝素\nB 华法林\nC 维生素K\nD 氨甲苯酸\nE 酚磺乙胺", "AB"),
    (
        "诊断急性心肌梗死时特异性最高的血清标志物是下列哪一项",
        "A 肌红蛋白\nB 转氨酶\nC 肌钙蛋白\nD 肌酸激酶\nE 尿酸",
        "C",
    ),
    ("没有答案的题", "A 甲\nB 乙\nC 丙\nD 丁\nE 戊", ""),
]
MEDQA = [
    ("Which vitamin is lacking in scurvy?", ("Vitamin A", "Vitamin B1", "Vitamin C", "Iron"), "C"),
    ("Which organ makes bile?", ("Heart", "Kidney", "Spleen", "Liver"), "D"),
    ("Which cells carry oxygen?", ("Platelets", "Red cells", "Neutrophils", "Nerves"), "B"),
    ("Which gland makes insulin?", ("Pancreas", "Thyroid", "Pituitary", "Thymus"), "A"),
    ("Which drug thins the blood?", ("Insulin", "Morphine", "Warfarin", "Glucose"), "C"),
    ("Which bone is in the leg?", ("Radius", "Femur", "Ulna", "Skull"), "B"),
    ("Which fluid is in joints?", ("Bile", "Plasma", "Lymph", "Synovia"), "D"),
    ("Which virus causes AIDS?", ("HIV", "HBV", "EBV", "RSV"), "A"),
    ("Which sugar is in the blood?", ("Lactose", "Sucrose", "Glucose", "Maltose"), "C"),
    ("Which ion makes bones hard?", ("Iron", "Calcium", "Iodine", "Zinc"), "B"),
    ("Which nerve is for sight?", ("Vagus", "Facial", "Ulnar", "Optic"), "D"),
    ("Which organ pumps blood?", ("Heart", "Liver", "Lung", "Spleen"), "A"),
]
Q = Question("1", "f", 0, "问", ("阿司匹林", "肝", "patient", "心"), "B", "")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys, app, "deploy")


def cmexam(rows: Any = CMEXAM) -> Path:
    with Path("cmexam.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("Question", "Options", "Answer"), *rows])
    return Path("cmexam.csv")


def medqa(rows: Any = MEDQA) -> Path:
    return write(
        "medqa.json",
        [
            {
                "question": text,
                "answer": options["ABCD".index(answer)],
                "options": dict(zip("ABCD", options, strict=True)),
                "meta_info": f"step{1 + place % 2}",
                "answer_idx": answer,
            }
            for place, (text, options, answer) in enumerate(rows)
        ],
    )


def sitting(name: str, letters: str, answers: str, **more: Any) -> Sitting:
    by = {LETTER: tuple(letters), ANSWER: tuple(x.strip("-") for x in answers)}
    texts = tuple(Answer(each) for each in answers)
    return Sitting(name=name, fingerprint=name, answers=texts, letters=by, **more)


def exam_of(answers: str) -> Exam:
    texts = ("甲", "乙", "丙", "丁")
    questions = [Question(f"{at}", "f", 0, f"{at}?", texts, x, "") for at, x in enumerate(answers)]
    return Exam(tuple(questions), (), (), {})


# Reading


def test_each_kind_of_exam_is_asked_in_the_same_form():
    exam = read_exam([cmexam()])
    assert exam.left_out == {"no_answer": 1, "several_answers": 1}
    assert [question.answer for question in exam.questions] == ["B", "B", "C"]
    (asked,) = exam.questions[0].conversation()
    assert asked["content"] == (
        "以下是单项选择题，请选出正确答案，只回答选项的字母。\n\n治疗过敏性休克的首选药物是\n"
        "A. 地塞米松\nB. 肾上腺素\nC. 多巴胺\nD. 胰岛素\nE. 阿托品\n答案："
    )
    cmb = {"exam_type": "医师", "exam_subject": "外科", "question_type": "单项选择题"}
    options = {"A": "甲", "B": "乙", "C": "丙", "D": "", "E": ""}
    write("cmb.json", [{**cmb, "question": "问？", "answer": "C", "option": options}] * 1)
    ceval = {"id": 0, "question": "问二？", **dict(zip("ABCD", "子丑寅卯", strict=True))}
    write("physician_val.json", [{**ceval, "answer": "D", "explanation": ""}])
    both = read_exam([Path("cmb.json"), Path("physician_val.json")])
    assert [(q.subject, q.options, q.answer) for q in both.questions] == [
        ("外科", ("甲", "乙", "丙"), "C"),
        ("", ("子", "丑", "寅", "卯"), "D"),
    ]
    only = read_exam([medqa()], subject="meta_info")
    assert {question.subject for question in only.questions} == {"step1", "step2"}
    assert only.questions[0].conversation()[0]["content"].endswith("D. Iron\nAnswer:")
    lines = {"A": "see\nDr. Who", "B": "first\nA. again", "D": "last"}
    write("lines.json", [{"question": "Who?", "options": lines, "answer": "D"}])
    (several,) = read_exam([Path("lines.json")]).questions
    assert (several.options, several.answer) == (("see\nDr. Who", "first\nA. again", "last"), "C")
    numbers = {str(at): f"option {at}" for at in range(1, 11)}
    write("numbers.json", [{"question": "Which?", "options": numbers, "answer": "10"}])
    (ten,) = read_exam([Path("numbers.json")]).questions
    assert (len(ten.options), ten.answer) == (10, "J")
    named = read_exam([Path("physician_val.json"), cmexam()])
    assert {question.subject for question in named.questions} == {"physician_val", "cmexam"}


def test_what_is_shown_before_is_not_asked():
    exam = read_exam([medqa()], shots=5, limit=3)
    assert exam.left_out == {"beyond_limit": 4, "shown_before": 5}
    assert not {q.id for q in exam.shots} & {q.id for q in exam.questions}
    messages = exam.questions[0].conversation(exam.shots)
    assert [message["role"] for message in messages] == ["user", "assistant"] * 5 + ["user"]
    assert [message["content"] for message in messages[1::2]] == [q.answer for q in exam.shots]
    assert "multiple choice" in messages[0]["content"]
    assert "multiple choice" not in messages[-1]["content"]


def test_i_is_an_option_only_where_it_is_no_word():
    ten = Question("1", "f", 0, "Which?", tuple("zyxwvutsrq"), "I", "")
    answers = ("I", "The answer is I.", "Answer: I think it is B", "I'd say J. q")
    assert [letter_in(answer, ten) for answer in answers] == ["I", "I", "B", "J"]


def test_what_is_no_exam_is_refused():
    write("rows.json", [{"instruction": "问", "output": "答"}] * 3)
    with pytest.raises(DataError, match="rows.json holds no exam: its rows are read as alpaca"):
        read_exam([Path("rows.json")])
    with pytest.raises(DataError, match="0 questions can be asked .1 no_answer"):
        read_exam([cmexam(CMEXAM[-1:])])
    with pytest.raises(DataError, match="give more than the 12 that are shown"):
        read_exam([medqa()], shots=12)
    with pytest.raises(UsageError, match="a file is given twice"):
        read_exam([medqa(), Path("../.") / Path.cwd().name / "medqa.json"])
    with pytest.raises(UsageError, match="--subject chapter: no question"):
        read_exam([medqa()], subject="chapter")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *(
            (text, "B")
            for text in ("B", "(B)", "**B**", " B. 肝", "B选项", "Ｂ", "B\n\nNext:\nA. x")
        ),
        *((text, "B") for text in ("答案是B。", "The answer is B.", "肝", "<think>A</think>B")),
        *((text, "B") for text in ("选项A错误，答案选B", "B. 肝\n解释：它最大")),
        *(("故选 D", "D"), ("A 阿司匹林", "A"), ("Answer: A", "A"), ("答案应该是（D）", "D")),
        *((text, "") for text in ("", "A or B", "A、B", "AB", "A patient", "A 45-year-old", "E")),
        *((text, "") for text in ("答案：A、B", "A. 阿司匹林，答案是B", "不选A", "<think>A", "b")),
        *((text, "") for text in ("A. 阿司匹林\nB. 肝\nC. patient", "the answer is a virus")),
        ("A. 阿司匹林\nB. 肝\n\n选择：D", "D"),
        *((text, "B") for text in ("The correct answer is option B", "正确选项是 B", r"\boxed{B}")),
        *((text, "B") for text in ("B. 肝\n解释：A. 阿司匹林不对", "The correct option is B.")),
        *((text, "") for text in ("正确答案是：A或B", "The answer is A or B", "答案：A及B。")),
        *(
            (text, "")
            for text in ("A. 阿司匹林 B. 肝 C. patient", "A. 阿司匹林不对；B. 肝", "A或B")
        ),
        *(
            (text, "B")
            for text in ("【答案】B", "选项B正确", "Option B", "B is the correct answer.")
        ),
        *((text, "B") for text in (r"$\boxed{\text{B}}$", "能选B", "选项B是正确的。", "B项正确")),
        *((text, "") for text in ("不能选A", "不应该选A", "不要选A", "A错误，B正确", "A项是错的")),
        *(
            (text, "")
            for text in ("A项、B项均对", "选项A和选项B", "A is incorrect", "Option A or B")
        ),
        *(
            (text, "")
            for text in ("选项A描述的是脑，选项B是肝", "A项是脑，B项是肝", "Option A, Option B")
        ),
    ],
)
def test_a_letter_is_read_where_one_is_named_and_never_guessed(answer, letter):
    assert letter_in(answer, Q) == letter


def test_what_an_option_begins_with_is_no_letter():
    texts = ("CT", "B超", "X线", "C反应蛋白", "A diuretic")
    asked = Question("1", "f", 0, "首选哪项？", texts, "B", "")
    right = ("B超", "B. B超", "答案是B", "B", "B，即B超")
    assert [letter_in(answer, asked) for answer in right] == ["B"] * 5
    other = ("D. C反应蛋白", "答案是E. A diuretic", "A", "The answer is A because")
    assert [letter_in(answer, asked) for answer in other] == ["D", "E", "A", "A"]
    words = ("首选B超", "B超检查", "答案：C反应蛋白。", "C反应蛋白升高", "Answer: A diuretic")
    assert [letter_in(answer, asked) for answer in words] == [""] * 5


# Numbers


def test_shares_and_tests_are_those_of_the_textbooks():
    first = sitting("one", "BBBBBBBBAA", "BBBBBBBBBB")
    second = sitting("two", "AAAAAAAABA", "BBBBB-----")
    result = Result(exam_of("B" * 10), (first, second))
    share = result.share(first.letters[LETTER])
    assert share
    assert (share.right, share.questions) == (8, 10)
    assert share.interval == pytest.approx((0.4902, 0.9433), abs=5e-5)  # Wilson
    test = result.paired[0]
    assert (test["only_first"], test["only_second"]) == (8, 1)
    assert test["p"] == pytest.approx(0.0390625)  # 2 (1 + 9) / 2^9
    told = result.as_dict()["models"][1]["answer"]
    assert (told["right"], told["unread"]) == (5, 5)
    _, lines = result.tables[-1]
    assert lines[3][3] == "5"
    assert lines[-2:] == [["chance", "", "25.0 %", ""], ["always B", "", "100.0 %", ""]]
    assert any("McNemar p = 0.0391: they differ" in each for each in result.sentences)


def test_a_second_column_is_without_what_any_of_them_was_trained_on():
    one = sitting("one", "BBBB", "BBBB", seen=frozenset({0, 2}))
    result = Result(exam_of("BABA"), (one, sitting("two", "BABA", "BABA")))
    header, lines = result.tables[-1]
    assert header[-1] == "without 2 trained on"
    assert [line[4].split()[0] for line in lines[:4]] == ["0.0", "0.0", "100.0", "100.0"]
    assert result.as_dict()["models"][0]["trained_on"] == ["0", "2"]
    assert len(Result(exam_of("BABA"), (one,)).tables) == 1  # of one subject there is no table
    exam = exam_of("BABA")
    exam = replace(exam, questions=tuple(replace(q, subject=q.answer) for q in exam.questions))
    header, lines = Result(exam, (one, replace(one, name="–", letters={LETTER: None}))).tables[0]
    assert header == ["subject", "questions", "model", LETTER, ANSWER]
    assert [line[0] + line[2] for line in lines] == ["Aone", "A–", "Bone", "B–"]
    assert lines[2][3:] == ["100.0 % [34.2, 100.0]"] * 2
    assert lines[3][3:] == ["–", "–"]
    unseen = Result(exam_of("BABA"), (sitting("run", "BABA", "BABA", seen=frozenset()),)).as_dict()
    assert json.loads(json.dumps(unseen))["models"][0]["trained_on"] == []
    assert any("one was trained on 2 of them: 0, 2" in each for each in result.sentences)


def test_questions_in_the_training_data_of_a_run_are_found_by_what_they_say():
    from tests.deploy.datasets import alpaca, emitted, run

    rows = alpaca(*range(6))
    rows[1]["instruction"] = f"请回答：{CMEXAM[3][0]}（ ）"
    rows[2]["instruction"] = CMEXAM[0][0] + "？"
    emitted(range(6), rows)
    run()
    exam = read_exam([medqa(), cmexam()])
    seen, note = seen_in_training(Path("saves/r"), exam, "r")
    assert note == ""
    assert {exam.questions[at].text for at in seen or ()} == {CMEXAM[0][0], CMEXAM[3][0]}
    with Path("data/chosen.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    assert "changed since then" in seen_in_training(Path("saves/r"), exam, "r")[1]
    assert seen_in_training(Path("nowhere"), exam, "nowhere") == (
        None,
        "what nowhere was trained on is not known here: no question is looked for",
    )


# Servers


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, choice = answer(body)
            data = json.dumps(choice).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1#model"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def says(right: Callable[[str], str], likelihoods: bool) -> Callable[[dict[str, Any]], Any]:
    """A server whose answers name what a function says of the question."""

    def answer(body: dict[str, Any]) -> Any:
        text = right(body["messages"][-1]["content"])
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs"):
            if not likelihoods:
                return 400, {"error": {"message": "'logprobs' is not understood"}}
            spelled = enumerate((" ", " A", "C"))
            tokens = [{"token": x, "logprob": -at, "bytes": None} for at, x in spelled]
            choice["logprobs"] = {"content": [{**tokens[0], "top_logprobs": tokens[::-1]}]}
        told = {"id": "1", "object": "chat.completion", "created": 0, "model": "model"}
        return 200, {**told, "choices": [choice]}

    return answer


def gold(text: str) -> str:
    return next(answer for question, _, answer in MEDQA if question in text)


def test_servers_with_and_without_likelihoods_in_one_table(call):
    file, asked = medqa(), list[str]()

    def right(text: str) -> str:
        asked.append(text)
        return f"The answer is {gold(text)}."

    with (
        serving(says(right, False)) as without,
        serving(says(lambda text: "A or B", True)) as telling,
    ):
        answer = call("eval", without, telling, "--exam", file, "--name", "x", "--json")
        assert answer.code == 0, answer.err
        before = len(asked)
        assert call("eval", without, telling, "--exam", file, "--name", "x").code == 0
        # A server's answers are not kept: it may serve another model tomorrow.
        assert len(asked) == 2 * before
    told = json.loads(answer.out.splitlines()[-1])
    first, second = told["models"]
    assert (first["letter"], first["answer"]["right"], first["answer"]["unread"]) == (None, 12, 0)
    assert "tells no likelihoods of letters: that column is –" in answer.err
    assert (second["letter"]["right"], second["answer"]["unread"]) == (3, 12)
    assert told["most_frequent"] == {"letter": "A", "share": 0.25}
    assert [test["by"] for test in told["paired"]] == [ANSWER]
    assert told["paired"][0]["p"] == pytest.approx(2 / 2**12)
    lines = [json.loads(line) for line in Path("reports/x.jsonl").read_text("utf-8").splitlines()]
    by = [each for each in lines[0]["models"].values()]
    assert [(each["letter"], each["answer"]) for each in by] == [(None, "C"), ("A", "")]
    manifest = json.loads(Path("reports/x.manifest.json").read_text("utf-8"))
    assert manifest["sources"][0]["name"] == "medqa.json"


def test_what_cannot_sit_is_told_before_anything_is_asked(call):
    file, asked = medqa(), list[str]()

    def right(text: str) -> str:
        asked.append(text)
        return gold(text)

    with serving(says(right, True)) as server:
        call.refused("no model 'smolm2'", "eval", server, "smolm2", "--exam", file)
        call.refused(
            "`deploy setup eval` brings it", "eval", server, "smollm2", "--exam", file, "--harness"
        )
        call.refused("a model is given twice", "eval", server, server, "--exam", file)
    assert asked == []


def test_folders_of_one_name_are_told_apart():
    paths = ["a/r", "b/r", "b/s"]
    for path in paths:
        Path(path).mkdir(parents=True)
    assert told_apart(paths, ["r", "r", "s"]) == ["a/r", "b/r", "b/s"]
    for name in ("medical", "smollm2"):
        Path("saves", name).mkdir(parents=True)
    assert [model_name(each) for each in ("medical", "smollm2")] == ["saves/medical", "smollm2"]
    Path("smollm2").mkdir()
    assert [model_name(each) for each in ("smollm2", "./smollm2")] == [
        "smollm2",
        str(Path("smollm2").resolve()),
    ]
    both = ["smollm2", model_name("./smollm2")]
    assert told_apart(both, ["smollm2"] * 2) == ["smollm2", f"{Path.cwd().name}/smollm2"]
    assert told_apart(["b/s", "smollm2"], ["s", "smollm2"]) == ["s", "smollm2"]
    assert told_apart(["a/r", "a/../a/r"], ["r", "r"]) == ["r", "r"]


def test_what_is_refused_leaves_no_folder(call):
    write("p.json", [{"instruction": "a", "output": "b"}])
    call.refused("holds no exam", "eval", "smollm2", "--exam", "p.json", "--output", "new/here")
    assert not Path("new").exists()


def test_a_bundled_name_means_no_folder_that_is_called_so(tmp_path):
    share_models(tmp_path / "cache")
    write("smollm2/adapter_config.json", {"base_model_name_or_path": "smollm2"})
    assert find_model("smollm2")[0] == files_of("smollm2").folder == resolve("smollm2").folder
    assert served(ServeCall("smollm2")).folder == resolve("smollm2").folder
    with pytest.raises(UsageError, match="smollm2 is an adapter, and quantised are whole"):
        find_model("./smollm2")


def test_compare_puts_the_exam_on_its_page(call):
    Path("ask.txt").write_text("".join(f"问题{at}？\n" for at in range(3)), encoding="utf-8")

    def right(text: str) -> str:
        return gold(text) if "Which" in text else "好"

    with serving(says(right, False)) as base, serving(says(right, True)) as tuned:
        words = ("--base", base, "--tuned", tuned, "--prompts", "ask.txt", "--name", "x")
        answer = call("compare", *words, "--exam", medqa(), "--json")
        assert answer.code == 0, answer.err
    assert json.loads(answer.out.splitlines()[-1])["exam"]["questions"] == 12
    manifest = json.loads(Path("reports/x.manifest.json").read_text("utf-8"))
    assert [source["name"] for source in manifest["sources"]] == ["ask.txt", "medqa.json"]
    page = Path("reports/x.html").read_text(encoding="utf-8")
    assert "<h2>Exam</h2>" in page
    assert "<td>100.0 % [75.8, 100.0]</td>" in page


def test_wrong_words(call):
    medqa()
    call.refused("no file 'nowhere.csv'", "eval", "smollm2", "--exam", "nowhere.csv")
    call.refused("no model 'smolm2'. Did you mean", "eval", "smolm2", "--exam", "medqa.json")
    call.refused("Missing option '--exam'", "eval", "smollm2")
    served = ("eval", "http://127.0.0.1:9/v1#m", "--exam", "medqa.json")
    call.refused("--harness loads models itself", *served, "--harness")
    write("saves/rm/run.json", {"format": 1, "state": "done", "stage": "rm", "model": "smollm2"})
    write("saves/rm/adapter_config.json", {"base_model_name_or_path": "smollm2"})
    call.refused("is a reward model", "eval", "saves/rm", "--exam", "medqa.json")


# Models


@pytest.mark.model
@pytest.mark.timeout(600)
def test_the_likeliest_letter_is_that_of_transformers_itself(call, tmp_path):
    import torch

    share_models(tmp_path / "cache")
    file = medqa(MEDQA[:4])
    answer = call("eval", "smollm2", "--exam", file, "--shots", 1, "--max-tokens", 8, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["questions"], told["shots"]) == (3, 1)
    lines = [json.loads(x) for x in Path(told["files"][0]).read_text("utf-8").splitlines()]
    exam, model = read_exam([file], shots=1), letter_model("smollm2")
    model.prepare()
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(model.files.folder, dtype=torch.float32)
    for question, line in zip(exam.questions, lines, strict=True):
        text = model.encoder.render(question.conversation(exam.shots), True)
        ids = letter_ids(model.encoder, text, "ABCD")
        with torch.inference_mode():
            logits = whole(torch.tensor([ids[0]])).logits[0, -1]
        best = max("ABCD", key=lambda letter: logits[ids[1 + "ABCD".index(letter)][-1]].item())
        assert line["models"]["smollm2"]["letter"] == best


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shots", [0, 5])
def test_the_numbers_are_those_of_lm_evaluation_harness(call, tmp_path, monkeypatch, shots):
    """Its own rendering of the rows, from a task that reads the same file, and ours through it."""
    monkeypatch.delenv("CURATRAIN_CACHE")
    python = environments.python(harness.environment())
    assert python, "`deploy setup eval` builds it"
    file = medqa(MEDQA)
    words = ("--exam", file, "--shots", shots, "--max-tokens", 4, "--json")
    answer = call("eval", "smollm2", *words, "--harness")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    model = told["models"][0]
    assert model["harness"] == model["letter"]
    exam = read_exam([file], shots=shots)
    lead = (
        "The following are multiple choice questions. Answer with the letter of the right option "
        "alone.\n\n"
    )
    rows = [
        {"text": q.text, "options": dict(zip("ABCD", q.options, strict=True)), "answer": q.answer}
        for q in (*exam.shots, *exam.questions)
    ]
    for place, row in enumerate(rows):  # it stands once, above all
        row["lead"] = lead if not shots or not place else ""
    data = {"shown": rows[:shots] or rows[:1], "asked": rows[shots:]}
    for name, part in data.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), "utf-8")
    asked = "{{lead}}{{text}}\n" + "".join(f"{x}. {{{{options.{x}}}}}\n" for x in "ABCD")
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {k: str(tmp_path / f"{k}.jsonl") for k in data}},
        "test_split": "asked",
        "fewshot_split": "shown",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_text": f"{asked}Answer:",
        "target_delimiter": "",
    }
    chosen = {"output_type": "multiple_choice", "doc_to_choice": [*"ABCD"]}
    metric = {"metric": "acc"}
    task = {"task": "own", **common, **chosen, "doc_to_target": "answer", "metric_list": [metric]}
    Path("own.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    folder = letter_model("smollm2").files.folder
    command = [str(python), "-m", "lm_eval", "--model", "hf", "--device", "cpu", "--tasks", "own"]
    command += ["--model_args", f"pretrained={folder},dtype=float32", "--include_path", "."]
    command += ["--apply_chat_template", "--num_fewshot", str(shots), "--output_path", "out"]
    command += ["--fewshot_as_multiturn"] if shots else []
    variables = {**harness.environment().variables, "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    subprocess.run(command, check=True, env={**variables, "HF_HOME": str(tmp_path)})
    (found,) = Path("out").rglob("results_*.json")
    own = json.loads(found.read_text(encoding="utf-8"))["results"]["own"]["acc,none"]
    assert own == pytest.approx(model["letter"]["share"])
