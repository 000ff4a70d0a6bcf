"""Answers of a proof: overlap by hand, a judge asked in both orders, general rows mixed in."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

from curate.data.read import read
from curate.errors import UsageError
from curate.proofs import trainings
from curate.proofs.arms import Place
from curate.proofs.page import draw
from curate.proofs.proof import prove
from curate.proofs.statistics import difference, holm, smallest_difference
from curate.proofs.trainings import preferred
from curate.recipes.train_between import Trained
from curate.scorers.overlap import overlap
from curate.system.run_record import RunRecord
from tests.browser import browser, opened_browser
from tests.calling import share_models
from tests.conftest import ROOT
from tests.deploy.merging import adapter, tiny
from tests.fake_server import FakeServer, said
from tests.prove.test_prove import SAMPLE, params_of

pytestmark = pytest.mark.timeout(900)
# The first is asked in the rows, word by word, and has their longest answer.
EXAM = (
    ("Name the actors in Star Wars: The Last Jedi.", "Hamill", "Connery", "Moore", "Craig", "A"),
    ("Which organ makes bile?", "Heart", "Kidney", "Spleen", "Liver", "D"),
    ("Which drug thins the blood?", "Insulin", "Morphine", "Warfarin", "Glucose", "C"),
    ("Which fluid is in joints?", "Bile", "Plasma", "Lymph", "Synovia", "D"),
    ("Which organ pumps blood?", "Heart", "Liver", "Lung", "Spleen", "A"),
)
ZH = ROOT / "mixtures" / "samples" / "alpaca_zh.json"


def test_overlap_by_hand():
    # 早睡 is the longest in common of 4 and 3 characters: F1 = 2 * 2 / 7.
    values, whole = overlap("rouge", ["早些睡觉", "drink"], ["早睡。好", "drink water"])
    assert values == pytest.approx([100 * 4 / 7, 100 * 2 / 3])
    assert whole == pytest.approx(np.mean(values))
    # All n-grams stand in both, and nothing does.
    for measure in ("bleu", "chrf"):
        (same, other), both = overlap(
            measure, ["多喝水，早点睡"] * 2, ["多喝水，早点睡", "abcdefg"]
        )
        assert same == pytest.approx(100)
        assert other < 1 < both < 99
    # chrF by hand, one character: precision 1/2, recall 1, beta 2: 5PR / (4P + R).
    assert overlap("chrf", ["ab"], ["a"])[0][0] == pytest.approx(100 * 5 * 0.5 / (4 * 0.5 + 1))


def rows_of(count):
    return read(
        [{"instruction": f"question {n}", "input": "", "output": "x"} for n in range(count)]
    )


def test_a_server_is_asked_in_both_orders_and_disagreement_is_a_tie(scratch_cache):
    def script(text, _):
        first, second = text.split("[Answer A]\n")[1].split("[Answer B]\n")
        if "good" in first:
            return 200, said("A"), {}
        if "good" in second:
            return 200, said("The better answer is B."), {}
        return 200, said("A"), {}  # whatever stands first

    ours = np.array(["good", "bad", "one", "same", "", None, "text"], dtype=object)
    theirs = np.array(["bad", "good", "two", "same", "text", "x", ""], dtype=object)
    server = FakeServer(script)
    try:
        wins = preferred(rows_of(7), ours, theirs, f"{server.address}#m")
        assert len(server.asked) == 6  # what is empty or the same is not asked
    finally:
        server.close()
    assert wins[:5].tolist() == [100, 0, 50, 50, 0]
    assert np.isnan(wins[5])
    assert wins[6] == 100


@pytest.mark.model
def test_the_ranker_says_the_same_in_both_orders(scratch_cache):
    share_models(scratch_cache)
    rows = read(SAMPLE)[:6]
    ours = np.array([row.response for row in rows], dtype=object)
    theirs = np.array(["I do not know."] * 6, dtype=object)
    wins = preferred(rows, ours, theirs, "pairs")
    assert set(wins) <= {0, 50, 100}
    assert wins.mean() > 50
    assert preferred(rows, theirs, ours, "pairs").tolist() == (100 - wins).tolist()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A proof of made-up adapters: all but the trainings is real."""
    folder = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CURATRAIN_CACHE", str(share_models(folder / "cache")))
        model = tiny(folder / "tiny")
        asked = []

        def train_on(request, tell):
            asked.append(request)
            scale = 0.02 + 0.01 * (len(asked) % 3)
            made = folder / "saves" / f"{request.dataset}-{request.seed}"
            if not made.exists():
                dataset = {"name": request.dataset, "dataset_dir": str(request.dataset_dir)}
                adapter(model, made, scale, dataset=dataset)
            return Trained(made, "", RunRecord(), found=False)

        patched.setattr(trainings, "train_on", train_on)
        exam = folder / "exam.csv"
        with exam.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("question", *"ABCD", "answer"), *EXAM])
        more = {"answers": ("chrf,bleu", "rouge"), "judge": "pairs", "max_new_tokens": 6}
        more["exam"] = (str(exam),)
        params = params_of(model, mix=("0,1:1",), test=30, repeats=2, **more)
        place = Place(folder / "data", folder / "saves", "small")
        yield prove(read(SAMPLE), params, place, general=read(ZH)[:24]), place, asked


@pytest.mark.model
def test_every_measure_has_numbers_and_is_tested_as_the_nll_is(measured):
    proof, place, asked = measured
    arms = {each.arm.name: each for each in proof.arms}
    assert {"base", "random", "longest", "longest-1to1"} <= set(arms)
    # Repeats have seeds of their own; the mixed arm has twice the rows and stands against its own.
    assert [request.seed for request in asked if request.dataset == "small_longest"] == [0, 1]
    assert arms["longest-1to1"].arm.rows == 2 * arms["longest"].arm.rows
    assert arms["longest-1to1"].arm.control == "longest"
    own, random = arms["longest"], arms["random"]
    control = arms[own.arm.control]
    for measure in ("chrf", "bleu", "rouge"):
        assert own.numbers[measure].shape == (2, 30)
        one = difference(-own.numbers[measure], -control.numbers[measure], 0)
        assert proof.differences[measure]["longest"] == one
        assert one.value == pytest.approx(
            own.numbers[measure].mean() - control.numbers[measure].mean()
        )
        assert proof.corrected[measure] == holm({"longest": one.p})
    wins = own.numbers["wins"]
    assert proof.differences["wins"]["longest"].value == pytest.approx(wins.mean() - 50)
    assert "random" not in proof.differences["wins"]
    assert proof.smallest == smallest_difference(random.nll, 30, 2, 1)
    assert json.loads((place.data / "pilot.json").read_text()) == random.nll.tolist()


@pytest.mark.model
def test_letters_in_the_exam_are_the_models_and_what_was_trained_on_does_not_count(measured):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    proof, _, _ = measured
    arms = {each.arm.name: each for each in proof.arms}
    base, random, longest = (arms[name] for name in ("base", "random", "longest"))
    tokenizer = AutoTokenizer.from_pretrained(proof.params.model)
    letters = [tokenizer(x, add_special_tokens=False)["input_ids"][0] for x in "ABCD"]
    lead = "The following are multiple choice questions. Answer with the letter of the right option"
    for of, folders in ((base, (None,)), (longest, longest.folders)):
        assert of.numbers["exam"].shape == (len(folders), len(EXAM))
        for folder, points in zip(folders, of.numbers["exam"], strict=True):
            model = AutoModelForCausalLM.from_pretrained(proof.params.model, dtype=torch.float32)
            model = (PeftModel.from_pretrained(model, folder) if folder else model).eval()
            for (question, *options, right), point in zip(EXAM, points, strict=True):
                lines = [f"{x}. {text}" for x, text in zip("ABCD", options, strict=True)]
                asked = "\n".join([f"{lead} alone.\n\n{question}", *lines, "Answer:"])
                text = tokenizer.apply_chat_template(
                    [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True
                )
                ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
                with torch.inference_mode():
                    likeliest = "ABCD"[int(model(ids).logits[0, -1, letters].argmax())]
                if not np.isnan(point):
                    assert point == 100 * (likeliest == right)
    for of in (random, longest):
        for choice, points in zip(of.arm.choices, of.numbers["exam"], strict=True):
            chosen = {choice.rows[int(at)].prompt for at in np.flatnonzero(choice.choice.kept)}
            assert np.isnan(points).tolist() == [question in chosen for question, *_ in EXAM]
    assert np.isnan(longest.numbers["exam"]).sum(axis=1).tolist() == [1, 1]
    assert not np.isnan(base.numbers["exam"]).any()
    both = ~np.isnan([*longest.numbers["exam"], *random.numbers["exam"]]).any(axis=0)
    one = proof.differences["exam"]["longest"]
    assert one.rows == both.sum() == 4
    ours, theirs = (each.numbers["exam"][:, both].mean() for each in (longest, random))
    assert one.value == pytest.approx(ours - theirs)


@pytest.mark.model
def test_general_rows_that_are_measured_on_are_not_mixed_in(measured):
    proof, place, _ = measured
    general = read(dataset="small_general_test", dataset_dir=place.data)
    mixed = read(dataset="small_longest-1to1", dataset_dir=place.data)
    assert len(general) == 12
    assert not {row.response for row in general} & {row.response for row in mixed}
    shown = proof.as_dict()["arms"]
    assert shown["longest-1to1"]["general_difference"]["rows"] == len(general)
    # Only choices have to beat random rows.
    assert list(proof.corrected["nll"]) == ["longest"]


@pytest.mark.model
def test_table_page_and_json_have_the_answers(measured):
    proof, _, _ = measured
    lines, header = proof.table()
    names = ("chrF", "BLEU", "ROUGE-L", "wins", "exam")
    assert header[-5:] == tuple(f"{x}, better by" for x in names)
    assert all(len(line) == len(header) for line in lines)
    told = json.loads(json.dumps(proof.as_dict(), allow_nan=False))
    assert set(told["arms"]["longest"]["answers"]) == {"chrf", "bleu", "rouge", "wins", "exam"}
    assert "By chrF of answers:" in told["sentence"]
    assert "By exam:" in told["sentence"]
    page = draw(proof, "small")
    for title in ("Answers: chrF", "Answers: wins", "What is forgotten", "<h2>Exam</h2>"):
        assert title in page


@browser
@pytest.mark.model
def test_the_page_fits_a_desktop_and_a_telephone(measured, tmp_path):
    proof, _, _ = measured
    long = dataclasses.replace(proof, notes=("x" * 300,))
    path = tmp_path / "proof.html"
    path.write_text(draw(long, "small"), encoding="utf-8")
    with opened_browser(tmp_path) as page:
        for width in (1280, 390):
            page.open(path, width=width)
            assert page.value("document.documentElement.scrollWidth") <= width
            assert not page.complaints
            page.picture(tmp_path / f"{width}.png")


def test_what_cannot_be_measured_is_refused(tmp_path, scratch_cache):
    with pytest.raises(UsageError, match="--answers meteor: allowed are chrf, bleu"):
        params_of("smollm2", answers=("meteor",))
    place = Place(tmp_path / "data", tmp_path / "saves", "small")
    with pytest.raises(UsageError, match="--mix: give --general"):
        prove(read(SAMPLE), params_of("smollm2", mix=("1:1",)), place)
