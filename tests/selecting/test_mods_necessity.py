"""`curate mods`, necessity: what is asked, what counts as a bad answer, what is added, and why."""

import json

import numpy as np
import pytest

from curate.data.read import read
from curate.models.protocols import CUT, FILTERED, TOO_LONG, Reply
from curate.parameters.mods import ModsParams
from curate.recipes.model_scores import embedded
from curate.recipes.mods import mods, necessary_below
from curate.scorers.necessity import conversation, repeats_itself
from tests.conftest import SAMPLE


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "huatuo.json"
    path.write_text(json.dumps(json.loads(SAMPLE.read_text(encoding="utf-8"))[:30]))
    return path


def write(tmp_path, rows, name="rows.json"):
    path = tmp_path / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def by_length(text):
    """The longer the question the longer the answer, by a hundred characters each."""
    return Reply("x " * (50 * len(text)))


def test_against_naive_stages(fake_answers, sample):
    rows = read(sample)
    reward = np.array([10 * len(row.prompt) + len(by_length(row.prompt).text) for row in rows])
    bound = float(np.sort(reward)[20])
    fake_answers(by_length)
    first = mods(rows, ModsParams("fake", min_quality="20%", seeds=4))
    params = ModsParams(
        "fake", min_quality="20%", seeds=4, responder="x", max_necessity=bound, augment=5
    )
    found = mods(rows, params)
    frame = found.scores
    good = frame["reason"] != "low_quality"
    seeds = np.flatnonzero(first.choice.kept)
    assert np.isnan(frame["necessity"][~good]).all()
    assert frame["necessity"][good].tolist() == reward[good].tolist()
    necessary = good & (reward < bound)
    assert frame["necessary"][good].tolist() == necessary[good].tolist()
    vectors = np.array(embedded(rows, "use", "instruction")[0].vectors, dtype=np.float64)
    pool = sorted(set(np.flatnonzero(necessary)) - set(seeds), key=lambda each: rows.ids[each])
    assert len(pool) > 6
    chosen = list(seeds)
    for _ in range(5):
        apart = {
            each: min(np.linalg.norm(vectors[each] - vectors[other]) for other in chosen)
            for each in pool
        }
        chosen.append(max(pool, key=lambda each: apart[each]))
    added = chosen[4:]
    ranks = {int(rank): at for at, rank in enumerate(frame["augment_rank"]) if rank > 0}
    assert [ranks[each] for each in range(1, 6)] == added
    assert set(np.flatnonzero(found.choice.kept)) == set(chosen)
    assert frame["chosen_by"][seeds].tolist() == ["seed"] * 4
    assert frame["chosen_by"][added].tolist() == ["augmented"] * 5
    others = good & ~np.isin(np.arange(30), chosen)
    assert set(frame["reason"][others & necessary]) == {"not_augmented"}
    assert set(frame["reason"][others & ~necessary]) == {"not_necessary"}
    counts = found.summary()
    assert counts.kept + sum(counts.dropped.values()) == counts.read == 30
    stages = {each["stage"]: each for each in found.details["stages"]}
    assert stages["quality"] == {
        "stage": "quality",
        "rows": 30,
        "good": int(good.sum()),
        "low_quality": 30 - int(good.sum()),
    }
    assert stages["answers"] == {
        "stage": "answers",
        "rows": int(good.sum()),
        "ok": int(good.sum()),
    }
    assert stages["necessity"]["necessary"] == int(necessary.sum())
    assert stages["augment"] == {"stage": "augment", "rows": len(pool), "added": 5}
    assert found.manifest()["stages"] == found.details["stages"]


def test_question_and_reward_see_the_same_text_in_both_stages(fake_answers, tmp_path):
    """The published program builds the question otherwise than for quality (fault 14)."""
    rows = [
        {"instruction": "Why?", "input": "the sky", "output": "Rayleigh.", "system": "Be short."},
        {"instruction": "And?", "input": "", "output": "So.", "history": [["One?", "1."]]},
    ]
    model = fake_answers(lambda text: Reply(f"<{text}>"))
    found = mods(read(write(tmp_path, rows)), ModsParams("fake", responder="x", seeds=1))
    asked = {tuple((each["role"], each["content"]) for each in talk) for talk in model.asked}
    assert asked == {
        (("system", "Be short."), ("user", "Why?\nthe sky")),
        (("user", "One?"), ("assistant", "1."), ("user", "And?")),
    }
    prompts = [prompt for prompt, _ in model.reward.asked]
    assert sorted(prompts[:2]) == sorted(prompts[2:])
    assert {answer for _, answer in model.reward.asked[2:]} == {"<Why?\nthe sky>", "<And?>"}
    assert found.scores["answer"].tolist() == ["<Why?\nthe sky>", "<And?>"]


def test_every_way_an_answer_can_end(fake_answers, tmp_path):
    said_by = {
        "empty": Reply("  "),
        "loop": Reply("Vegan Bistro, " * 30, CUT),
        "list": Reply("Vegan Bistro, " * 30),  # ended by itself: let the reward judge
        "cut": Reply("A sentence that goes on and", CUT),
        "long": Reply("", TOO_LONG),
        "filter": Reply("", FILTERED),
        "no number": Reply("n/a"),
        "fine": Reply("x" * 100),
    }
    texts = [*said_by, "refuse me"]
    rows = read(write(tmp_path, [{"instruction": t, "output": "o"} for t in texts]))
    fake_answers(lambda text: said_by[text])
    seed = next(
        at for at, kept in enumerate(mods(rows, ModsParams("fake", seeds=1)).choice.kept) if kept
    )
    found = mods(rows, ModsParams("fake", responder="x", seeds=1, augment=0, max_necessity=100))
    told = dict(zip(texts, found.choice.reason.tolist(), strict=True))
    status = dict(zip(texts, found.scores["answer_status"].tolist(), strict=True))
    assert told.pop(texts[seed]) == ""
    assert status == {
        "empty": "empty_answer",
        "loop": "repeats_itself",
        "list": "ok",
        "cut": "cut_off",
        "long": "prompt_too_long",
        "filter": "content_filter",
        "no number": "ok",
        "fine": "ok",
        "refuse me": "template_refused",
    }
    expected = {
        "empty": "not_augmented",
        "loop": "not_augmented",
        "list": "not_necessary",
        "cut": "not_augmented",
        "long": "prompt_too_long",
        "filter": "content_filter",
        "no number": "answer_not_scored",
        "fine": "not_necessary",
        "refuse me": "template_refused",
    }
    assert told == {text: reason for text, reason in expected.items() if text in told}
    frame = found.scores
    missing = ("long", "filter", "refuse me")
    assert frame["answer"].isna().tolist() == [text in missing for text in texts]
    assert frame["answer"][0] == "  "
    assert np.isnan(frame["necessity"][texts.index("empty")])
    (note,) = [note for note in found.notes if note.startswith("answers: ")]
    assert (
        "1 content_filter, 1 cut_off, 1 empty_answer, 1 prompt_too_long, 1 repeats_itself" in note
    )


def test_loops():
    assert repeats_itself("## Title: A Memory of a Memory\n\n" * 10)
    assert repeats_itself("A good beginning, and then " + "疼痛" * 60)
    assert not repeats_itself("x")
    chinese = "".join(row["conversations"][1]["value"] for row in json.loads(SAMPLE.read_text()))
    assert not any(repeats_itself(chinese[at : at + 500]) for at in range(0, len(chinese), 100))


@pytest.mark.parametrize(
    ("given", "bound"),
    [("0", 0.0), (1.5, 1.5), ("25%", 2.0), ("50%", 3.0), ("30%", 2.0), ("100%", np.inf)],
)
def test_what_is_necessary(given, bound):
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = necessary_below(ModsParams(max_necessity=given), values)
    assert found == bound
    with_failed = np.array([-np.inf, -np.inf, 3.0, 4.0])
    assert not np.isnan(necessary_below(ModsParams(max_necessity=given), with_failed))


def test_answers_that_are_none_are_bad_whatever_the_threshold(fake_answers, rows_file):
    rows = read(rows_file(8))
    fake_answers(lambda text: Reply("" if text[9] in "1346" else "word"))
    for bound in ("10%", -1e9):
        found = mods(rows, ModsParams("fake", responder="x", seeds=1, max_necessity=bound))
        assert np.flatnonzero(found.scores["necessary"]).tolist() == [1, 3, 4, 6]


def test_how_many_are_added(fake_answers, rows_file):
    rows = read(rows_file(12))
    fake_answers()
    usual = mods(rows, ModsParams("fake", responder="x", seeds=3, max_necessity="100%"))
    assert usual.choice.counts() == {"not_augmented": 6}
    assert usual.params.augment == 3
    none = mods(rows, ModsParams("fake", responder="x", seeds=3, max_necessity="100%", augment=0))
    assert none.choice.counts() == {"not_augmented": 9}
    every = mods(rows, ModsParams("fake", responder="x", seeds=3, max_necessity="100%", augment=40))
    assert every.choice.kept.all()
    assert any("--augment 40: only 9 rows are necessary" in note for note in every.notes)


def test_nothing_is_necessary(fake_answers, rows_file):
    fake_answers()
    found = mods(read(rows_file(12)), ModsParams("fake", responder="x", seeds=3))
    assert found.choice.counts() == {"not_necessary": 9}
    assert any("no row besides the seeds is necessary; quantiles" in note for note in found.notes)


def test_one_row(fake_answers, rows_file):
    fake_answers()
    found = mods(read(rows_file(1)), ModsParams("fake", responder="x", max_necessity="100%"))
    assert found.choice.kept.tolist() == [True]
    assert found.scores["necessary"].tolist() == [True]


def test_equal_instructions_are_asked_once_and_not_added_twice(fake_answers, tmp_path):
    values = [{"instruction": f"Q{at % 3}?", "output": f"Answer {at}."} for at in range(9)]
    values[8]["output"] += " And more."
    model = fake_answers()
    rows = read(write(tmp_path, values))
    found = mods(rows, ModsParams("fake", responder="x", seeds=1, augment=5, max_necessity="100%"))
    assert len(model.asked) == 3
    assert found.choice.kept.sum() == 3
    assert found.choice.counts() == {"covered": 6}
    # Rewards grow with the length of the response, and of equal ones the smallest id comes first.
    groups = [[at for at in range(9) if at % 3 == rest] for rest in range(3)]
    best = [min(group, key=lambda at: (at != 8, rows.ids[at])) for group in groups]
    assert np.flatnonzero(found.choice.kept).tolist() == sorted(best)
    assert found.scores["answer"].tolist() == ["word"] * 9


def test_the_order_of_the_rows_does_not_matter(fake_answers, sample, tmp_path):
    turned = write(tmp_path, json.loads(sample.read_text())[::-1], "turned.json")
    chosen = []
    for path, mark in ((sample, "a"), (turned, "b")):
        fake_answers(by_length, mark)
        found = mods(read(path), ModsParams("fake", seeds=3, responder="x", max_necessity="50%"))
        chosen.append(sorted(found.rows.ids[found.choice.kept]))
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 6


def test_answers_are_kept_for_another_threshold_and_not_for_another_model(fake_answers, rows_file):
    rows = read(rows_file(12))
    model = fake_answers()
    for bound in (0, "50%", "100%"):
        mods(rows, ModsParams("fake", responder="x", seeds=3, max_necessity=bound))
    assert len(model.asked) == 12
    mods(rows, ModsParams("fake", responder="x", seeds=3, max_new_tokens=7))
    assert len(model.asked) == 24
    other = fake_answers(mark="b")
    mods(rows, ModsParams("fake", responder="x", seeds=3))
    assert len(other.asked) == 12


def test_half_a_surrogate_pair_is_asked_as_a_replacement(tmp_path):
    path = tmp_path / "odd.json"
    path.write_text('[{"instruction": "a \\ud83d b", "output": "c"}]')
    assert conversation(read(path)[0]) == [{"role": "user", "content": "a \ufffd b"}]
