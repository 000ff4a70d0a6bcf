"""`curate prove`, small and for real: trained, measured, tested; numbers worked out once more."""

import dataclasses
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest

import curate
from curate.data.describe import counted
from curate.data.read import read
from curate.errors import CuratrainError, OutputError, UsageError
from curate.parameters.prove import ProveParams
from curate.proofs import trainings
from curate.proofs.arms import Arm, Place, make_arms
from curate.proofs.page import draw
from curate.proofs.proof import _about_arms, _judged, _sides, prove
from curate.proofs.result import Proof, write_proof
from curate.proofs.statistics import difference, holm
from curate.proofs.trainings import NLL, Measured, Runner
from curate.system.model_folder import ADAPTER_WEIGHTS
from tests.browser import browser, opened_browser
from tests.calling import Caller, share_models
from tests.conftest import ROOT
from tests.deploy.merging import tiny

SAMPLE = ROOT / "mixtures" / "samples" / "alpaca_en.json"
SMALL = ("logging_steps=1",)


def params_of(model, **more):
    asked = {
        "arms": ("longest",),
        "keep": "10%-tokens",
        "model": str(model),
        "repeats": 1,
        "steps": 20,
        "batch": 1,
        "test": 40,
        "rates": "1e-3",
        "train_set": SMALL,
    }
    return ProveParams(**{**asked, **more})


def killed(arguments, log, stage):
    """Start a proof and kill it outright as soon as it has come to a stage."""
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "curate", "prove", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        until = time.monotonic() + 900
        while not stage(log.read_text("utf-8")):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.05)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A proof of two arms by a tiny model, killed three times; LLaMA-Factory trains."""
    folder = tmp_path_factory.mktemp("proof")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CURATRAIN_CACHE", str(share_models(folder / "cache")))
        model = tiny(folder / "tiny")
        place = Place(folder / "data" / "small", folder / "saves" / "small", "small")
        params = params_of(model)
        arguments = ["--input", SAMPLE, "--arms", "longest", "--model", model, "--name", "small"]
        for option in ("keep", "repeats", "steps", "batch", "test", "rates"):
            arguments += [f"--{option}", getattr(params, option)]
        arguments += ["--train-set", *SMALL, "--output", folder / "data"]
        arguments += ["--saves", folder / "saves"]
        stages = (
            lambda said: "arm longest: choosing" in said,
            lambda said: list(place.saves.glob("small_random-*/run.json")),
            lambda said: "arm random: nll" in said,
        )
        for stage in stages:
            killed(arguments, folder / "log", stage)
        yield prove(read(SAMPLE), params, place), place, model


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_several_stages_it_has_the_numbers_of_an_unbroken_one(proved, tmp_path):
    proof, place, model = proved
    longest = next(each for each in proof.arms if each.arm.name == "longest")
    elsewhere = dataclasses.replace(place, saves=tmp_path)
    unbroken = Runner(params_of(model), elsewhere, proof.test).measure(longest.arm, 1e-3)
    assert unbroken.folders[0] != longest.folders[0]
    one, other = ((each.folders[0] / ADAPTER_WEIGHTS).read_bytes() for each in (unbroken, longest))
    assert one == other
    assert np.array_equal(unbroken.nll, longest.nll)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_arm_is_trained_and_measured_on_rows_set_aside(proved):
    proof, place, _ = proved
    arms = {each.arm.name: each for each in proof.arms}
    assert list(arms) == ["base", "random", "longest"]
    assert arms["base"].nll.shape == (1, 40)
    assert arms["longest"].nll.shape == (1, 40)
    test = set(proof.test.ids)
    for each in proof.arms[1:]:
        assert not proof.failed
        for choice in each.arm.choices:
            assert not test & set(choice.rows.ids)
        assert [folder.is_dir() for folder in each.folders] == [True]
    # A budget in tokens that random rows fill, too, makes them the control at equal tokens.
    assert arms["longest"].arm.control == "random"
    assert abs(arms["longest"].arm.tokens / arms["random"].arm.tokens - 1) < 0.2
    assert (place.data / "small_longest.jsonl").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_numbers_are_those_of_the_model_row_by_row(proved):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.naive import mean_nll

    proof, _, model = proved
    longest = next(each for each in proof.arms if each.arm.name == "longest")
    untrained = next(each for each in proof.arms if each.arm.name == "base")
    tokenizer = AutoTokenizer.from_pretrained(longest.folders[0])
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    trained = PeftModel.from_pretrained(base, longest.folders[0]).eval()
    moved = []
    for place in range(0, 40, 8):
        row = proof.test[place]
        messages = [{"role": "user", "content": row.prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        context = tokenizer(text, add_special_tokens=False)["input_ids"]
        response = tokenizer(row.response, add_special_tokens=False)["input_ids"]
        by_hand = mean_nll(trained, context, response)
        # The proof measures in bfloat16 where the processor computes in it: three digits.
        assert longest.nll[0, place] == pytest.approx(by_hand, rel=0.03)
        moved.append(abs(untrained.nll[0, place] / by_hand - 1))
    assert max(moved) > 0.06, moved


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_is_told_follows_from_the_numbers(proved):
    proof, place, _ = proved
    arms = {each.arm.name: each for each in proof.arms}
    told = proof.as_dict()
    own, control = arms["longest"].nll, arms["random"].nll
    assert told["arms"]["longest"]["nll"] == pytest.approx(own.mean(axis=1))
    one = difference(own, control, 0)
    assert told["arms"]["longest"]["difference"]["value"] == pytest.approx(
        control.mean() - own.mean()
    )
    assert told["arms"]["longest"]["difference"]["low"] == one.low
    assert told["arms"]["longest"]["p_holm"] == holm({"longest": one.p})["longest"]
    assert told["smallest_difference"] is None  # one repeat tells no spread
    written = write_proof(proof, place.data, "small")
    assert json.loads(written.read_text())["wins"] == told["wins"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_second_run_finds_everything_and_tells_the_same(proved, monkeypatch):
    proof, place, model = proved
    monkeypatch.setattr(
        "curate.recipes.train_between._run",
        lambda *_: pytest.fail("what is there must not be trained again"),
    )
    again = prove(read(SAMPLE), params_of(model), place)
    assert again.as_dict() == proof.as_dict()
    assert draw(again, "small") == draw(proof, "small")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_arm_whose_training_fails_is_marked_and_the_others_go_on(proved, monkeypatch):
    _, place, model = proved
    train_on = trainings.train_on

    def failing(request, tell):
        if request.dataset == "small_clusters":
            raise OutputError("the training in between ended with exit code 1: no room")
        return train_on(request, tell)

    monkeypatch.setattr(trainings, "train_on", failing)
    proof = prove(read(SAMPLE), params_of(model, arms=("longest", "clusters")), place)
    assert proof.failed == ["clusters"]
    assert "clusters" not in proof.differences["nll"]
    assert proof.differences["nll"]["longest"].rows == 40
    assert "no room" in draw(proof, "small")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_has_every_arm_and_no_row_that_runs(proved):
    proof, _, _ = proved
    hostile = dataclasses.replace(proof, notes=("</script><script>alert(1)</script>",))
    page = draw(hostile, "small")
    assert "<script>alert" not in page
    assert "default-src 'none'" in page
    for name in ("base", "random", "longest"):
        assert f'<th scope="row">{name}</th>' in page


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"arms": ("best",)}, "--arms best: allowed are base, random"),
        ({"rates": "fast"}, "--rates fast: allowed are numbers"),
        ({"repeats": 0}, "--repeats 0: allowed are 1 and more"),
        ({"keep": "0%"}, "--keep 0%: allowed are"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0: allowed are 1 and more"),
    ],
)
def test_what_cannot_be_is_refused(asked, message):
    with pytest.raises(UsageError, match=message):
        params_of("smollm2", **asked)


def test_a_test_set_of_more_than_half_is_refused(tmp_path, scratch_cache):
    place = Place(tmp_path / "data", tmp_path / "saves", "small")
    with pytest.raises(UsageError, match="--test 200: that is more than half of"):
        prove(read(SAMPLE), params_of("smollm2", test=200), place)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"test": "no.json"}, "--test no.json: there is no such file"),
        ({"keep": 5000}, "--keep 5000: there are only 259 rows"),
        ({"judge": "nope"}, "no ranker or reward model 'nope'"),
        ({"train_set": ("learning_rat=1",)}, "--train-set learning_rat: .* no such key"),
    ],
)
def test_what_these_rows_do_not_have_is_refused(asked, message, tmp_path, scratch_cache, capsys):
    share_models(scratch_cache)
    place = Place(tmp_path / "data", tmp_path / "saves", "small")
    with pytest.raises(CuratrainError, match=message):
        prove(read(SAMPLE), params_of("smollm2", **asked), place)
    assert "choosing" not in capsys.readouterr().err, "it is refused before anything is chosen"


def test_a_mixture_needs_an_arm_that_chooses(tmp_path, scratch_cache):
    place, rows = Place(tmp_path / "data", tmp_path / "saves", "small"), read(SAMPLE)
    asked = params_of("smollm2", arms=("random",), mix=("1:1",))
    with pytest.raises(UsageError, match="--mix: it mixes the rows of the first of --arms"):
        prove(rows, asked, place, general=rows)


def test_the_test_rows_may_be_a_file(tmp_path, scratch_cache):
    test = tmp_path / "test.json"
    rows = [row.value for row in read(SAMPLE)[:40]]
    test.write_text(json.dumps(rows), encoding="utf-8")
    place = Place(tmp_path / "data", tmp_path / "saves", "small")
    pool, aside = _sides(read(SAMPLE), str(test), 0, place)
    assert [row.prompt for row in aside] == [row.prompt for row in read(SAMPLE)[:40]]
    assert len(pool) <= len(read(SAMPLE)) - 40
    assert not {row.prompt for row in pool} & {row.prompt for row in aside}


def test_a_data_set_that_is_there_loses_what_the_test_asks(scratch_cache):
    share_models(scratch_cache)
    rows = read(SAMPLE)
    pool, test = rows[:250], rows[250:]
    asked = params_of("smollm2", arms=("longest",), repeats=1)
    arms = {arm.name: arm for arm in make_arms(pool, test, asked, (), {"mine": rows})}
    kept = arms["mine"].choices[0].kept
    assert 200 < len(kept) <= 250
    assert not {row.prompt for row in kept} & {row.prompt for row in test}
    # It has other tokens than the budget: each is tested against as many of its own.
    assert arms["mine"].control == "random-tokens-mine"
    assert arms["base"].control == "random"
    assert "20 steps of 1 train on 20 rows" in _about_arms([arms["mine"]], test, asked)[0]


def test_like_needs_questions(tmp_path, scratch_cache, capsys):
    Caller(capsys).refused(
        "--arms like: give --like FILE",
        *("prove", "--input", SAMPLE, "--arms", "like", "--output", tmp_path / "data"),
        *("--saves", tmp_path / "saves", "--test", "40"),
    )


def test_general_rows_are_one_source(tmp_path, scratch_cache, capsys):
    mixture = ROOT / "mixtures" / "chathome-pt.yaml"
    Caller(capsys).refused(
        f"--general {mixture}: a mixture of 2 sources; give one file or name",
        *("prove", "--input", SAMPLE, "--general", mixture, "--output", tmp_path / "data"),
    )


@pytest.mark.parametrize(
    "name",
    ["ifd", "random", "random-tokens", "random-tokens-x", "random_0", "train", "longest-1to1"],
)
def test_a_data_set_named_as_an_arm_of_the_proof_is_refused(name, tmp_path, scratch_cache):
    place = Place(tmp_path / "data", tmp_path / "saves", "small")
    rows, asked = read(SAMPLE), params_of("smollm2", arms=(), mix=("1:1",))
    with pytest.raises(UsageError, match=f"--arm {name}: the proof has an arm or a file of that"):
        prove(rows, asked, place, others={name: rows}, general=rows)


def of_ones(arm, by=0.0, rows=2):
    return Measured(arm, numbers={NLL: np.ones((2, rows)) - by})


def test_the_page_of_one_test_row_a_torn_log_and_mixed_arms(scratch_cache, tmp_path):
    rows = read(SAMPLE)[:40]
    random = Arm("random", (curate.select(rows, recipe="random", keep=6),))
    longest = Arm("longest", (curate.select(rows, recipe="longest", keep=6),), "random")
    mixed = Arm("longest-1to1", (curate.select(rows, recipe="longest", keep=12),), "longest")
    assert (longest.tested, mixed.tested, mixed.chose) == (True, False, False)
    (tmp_path / "trainer_log.jsonl").write_text(
        '{"current_steps": 1, "loss": 2.0}\n{"current_steps": 2, "lo{"current_steps": 2\n'
        '{"current_steps": 3, "loss": 1.0}\n{"current_steps": 3, "eval_loss": 9}\n'
    )
    arms = [of_ones(each, rows=1) for each in (Arm("base", control="random"), random, mixed)]
    arms.append(dataclasses.replace(of_ones(longest, 0.5, 1), folders=(tmp_path,)))
    proof = _judged(Proof(params_of("smollm2"), rows[:1], ()), arms)
    assert proof.differences[NLL]["longest"].value == 0.5
    page = draw(proof, "small")
    assert not re.search(r"\bnan\b", page)
    assert "<h2>Learning</h2>" in page
    shared = len(set(random.ids) & set(longest.ids))
    assert f"longest: {counted(6 - shared)} that no other arm has" in page
    assert "longest-1to1: " not in page
    assert "nan" not in proof.sentence()


@browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_as_wide_as_the_window_whatever_an_arm_is_called(
    scratch_cache, tmp_path, width
):
    rows = read(SAMPLE)[:40]
    (tmp_path / "trainer_log.jsonl").write_text(
        "".join(f'{{"current_steps": {n}, "loss": {n}}}\n' for n in range(3))
    )
    long = Arm("</b>" + "y" * 200, (curate.select(rows, recipe="longest", keep=6),), "random")
    arms = [of_ones(Arm("base", control=long.name)), of_ones(Arm("random"))]
    arms += [dataclasses.replace(of_ones(long, 0.5), folders=(tmp_path,))]
    (tmp_path / "p.html").write_text(
        draw(_judged(Proof(params_of("m"), rows[:2], ()), arms), "small"), encoding="utf-8"
    )
    with opened_browser(tmp_path / "browser") as page:
        page.open(tmp_path / "p.html", "", width)
        assert (page.complaints, len(page.requests)) == ([], 1)
        assert page.value("document.documentElement.scrollWidth") == width
        table, around = page.value(
            "[...document.querySelectorAll('.forest, .wide')].map((one) => one.offsetWidth)"
        )[:2]
        assert width < 600 or table == around


def test_no_numbers_of_any_choice_show_nothing(scratch_cache):
    rows = read(SAMPLE)[:40]
    arms = [of_ones(Arm("base", control="random")), of_ones(Arm("random"))]
    chosen = Arm("longest", (curate.select(rows, recipe="longest", keep=6),), "random")
    proof = _judged(
        Proof(params_of("smollm2"), rows[:2], ()), [*arms, Measured(chosen, failure="x")]
    )
    assert proof.sentence() == "no choice was trained and measured, so nothing is shown yet"


def test_arms_by_commas_and_by_words():
    assert params_of("m", arms=("ifd,like", "car")).named == ("ifd", "like", "car")
    assert np.allclose(params_of("m", rates="5e-5, 1e-4").learning_rates, (5e-5, 1e-4))
