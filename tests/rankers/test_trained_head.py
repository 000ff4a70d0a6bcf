"""Heads: what they score, what is written, what is refused; learning on pairs made for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from curate.errors import ModelError
from curate.models.ranking import trained_head as heads
from curate.models.ranking.learn import (
    Material,
    ablation,
    choose,
    cross_validated,
    fit_head,
    learn_groups,
    margins,
    nested,
    right,
)
from curate.models.ranking.trained_head import (
    GROUPS,
    Head,
    HeadRanker,
    PromptGroups,
    load_ranker,
    look,
    save_head,
)
from curate.models.ranking.writing_style import FORM_NAMES
from tests.rankers.fake import FakeFeatures

WIDTH = len(FORM_NAMES)


def groups(bias=0.0, route=None):
    weight = np.zeros(WIDTH + 1)
    weight[-1] = bias
    chosen = np.eye(3) if route is None else route
    return PromptGroups(np.zeros(WIDTH), np.ones(WIDTH), weight, chosen)


def test_score_by_hand():
    weight = np.array([[1.0, 0.5], [10.0, 0.0], [0.0, 100.0]])
    head = Head(np.array([1.0, 0.0]), np.array([2.0, 1.0]), weight, groups(np.log(3)))
    # (3 - 1) / 2 = 1 and 2: the first set gives 1 + 0.5 * 2 = 2, the second 10, the third 200.
    english = head.score(np.array([[3.0, 2.0]]), look(["Say hello."]))
    assert english.tolist() == pytest.approx([0.25 * 2 + 0.75 * 10])
    assert head.score(np.array([[3.0, 2.0]]), look(["你好"])).tolist() == [200.0]
    far = head.score(np.array([[1.0, 9.0]]), look(["你好"]))
    assert far.tolist() == [400.0]  # never more than four deviations


def test_groups_learn_which_prompts_are_which():
    tasks = [f"Name {n} fruits." for n in range(60)]
    chats = [f"so i was thinking, what about {n}?\nand then {n} more?" for n in range(60)]
    chinese = [f"请说出{n}种水果。" for n in range(60)]
    preferred = np.array([False] * 60 + [True] * 120)
    learned = learn_groups(look(tasks + chats + chinese), preferred)
    found = learned.shares(
        look(["Name 99 fruits.", "but i was thinking, why?\nand?", "请说出水果。"])
    )
    assert found.sum(1) == pytest.approx([1, 1, 1])
    assert found.argmax(1).tolist() == [0, 1, 2]
    assert len(GROUPS) == 3


def test_a_set_without_pairs_gives_its_prompts_to_the_largest():
    chinese = [f"请说出{n}种水果。" for n in range(60)]
    learned = learn_groups(look(chinese), np.ones(60, dtype=bool))
    assert learned.shares(look(["Name a fruit.", "请说"])).tolist() == [[0, 0, 1], [0, 0, 1]]
    revised = learn_groups(look(["Name a fruit."] * 30), np.zeros(30, dtype=bool))
    assert revised.shares(look(["请说", "Say."])) == pytest.approx(
        np.array([[1, 0, 0]] * 2), abs=1e-9
    )


def pairs_of(count=120, seed=0):
    """Pairs whose better response has the more x, whatever its form; y is noise."""
    draws = np.random.default_rng(seed)
    made = []
    for n in range(count):
        noise = ["y" * int(draws.integers(0, 6)) for _ in "bw"]
        worse = int(draws.integers(0, 4))
        made.append((f"prompt {n}", "x" * (worse + 1) + noise[0], "x" * worse + noise[1]))
    return made


def material(made=None, sources=None):
    made = made or pairs_of()
    features = FakeFeatures()
    features.prepare()
    better, worse = (
        features.features([(each[0], each[side]) for each in made]).astype(float) for side in (1, 2)
    )
    names = np.array(sources or ["a"] * len(made))
    prompts = [each[0] for each in made]
    preferred = np.ones(len(made), dtype=bool)
    families = features.families
    return Material(
        prompts=np.array(prompts, dtype=object),
        sources=names,
        better=better,
        worse=worse,
        families=families,
        looks=look(prompts),
        preferred=preferred,
        spoiled=np.zeros(len(prompts)),
    )


def test_what_decides_is_learned():
    whole = material()
    found = right(cross_validated(whole, [{"letters": 1.0}], 0)[0])
    assert found.mean() > 0.9
    head = fit_head(whole, {"letters": 1.0})
    x, y = head.weight[1, -2:]
    assert x > 10 * abs(y)
    assert not head.weight[:, :-2].any()  # form was left out


def test_a_pair_is_never_judged_by_a_head_that_saw_its_prompt():
    # Noise can only be learned by heart, and every pair is there twice under its prompt.
    draws = np.random.default_rng(0)
    better, worse = (np.tile(draws.normal(size=(60, 40)), (2, 1)) for _ in "bw")
    prompts = [f"prompt {n}" for n in range(60)] * 2
    noise = Material(
        prompts=np.array(prompts, dtype=object),
        sources=np.array(["a"] * 120),
        better=better,
        worse=worse,
        families={"letters": 40},
        looks=look(prompts),
        preferred=np.ones(120, dtype=bool),
        spoiled=np.zeros(120),
    )
    setting = {"letters": 0.1}
    by_heart = right(margins(fit_head(noise, setting), noise)).mean()
    assert by_heart > 0.95
    assert right(cross_validated(noise, [setting], 0)[0]).mean() < 0.75
    assert right(nested(noise, 0)).mean() < 0.75


def test_the_setting_is_chosen_and_taken_apart():
    setting = choose(material(), 0)
    assert set(setting) == {"form", "letters"}
    two = material(sources=["a"] * 100 + ["b"] * 20)
    found = ablation(two, choose(two, 0), 0)
    assert set(found) == {"form", "letters", "form + letters"}
    assert set(found["letters"]) == {"a", "b"}
    assert found["letters"]["a"] > 0.8


def test_the_score_of_one_response_orders_as_the_pair_does():
    whole = material()
    head = fit_head(whole, {"form": 30.0, "letters": 30.0})
    ranker = HeadRanker("r", FakeFeatures(), head)
    ranker.prepare()
    made = pairs_of()
    alone = [ranker.score([(prompt, text)])[0] for prompt, *both in made for text in both]
    differences = np.array(alone[::2]) - np.array(alone[1::2])
    assert differences == pytest.approx(margins(head, whole), abs=1e-4)


def test_escapes_are_decoded_before_scoring():
    head = fit_head(material(), {"form": 30.0, "letters": 30.0})
    ranker = HeadRanker("r", FakeFeatures(), head)
    ranker.prepare()
    asked = [("p", "one\ntwo ’"), ("p", r"one\ntwo \u2019")]
    first, second = ranker.score(asked)
    assert first == second
    assert len(set(ranker.lengths(asked))) == 1


# On disk


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a head for the features above and return its folder."""
    monkeypatch.setattr(heads, "load_features", lambda *_: FakeFeatures())
    folder = tmp_path / "ranker"
    head = fit_head(material(), {"form": 30.0, "letters": 1.0})
    encoder = {"name": "fake", "fingerprint": "f" * 64}
    save_head(folder, head, {"format": heads.FORMAT, "encoder": encoder})
    return folder


def test_what_is_written_is_what_is_read(written):
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    assert set(before) == {"card.json", "head.safetensors"}
    ranker = load_ranker(written, "r")
    card = json.loads(before["card.json"])
    save_head(written, ranker.head, {k: v for k, v in card.items() if k != "weights_sha256"})
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def edit(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def test_another_encoder_is_refused(written):
    edit(written, lambda card: card["encoder"].update(fingerprint="0" * 64))
    with pytest.raises(ModelError, match=r"trained with another encoder than this 'fake'"):
        load_ranker(written, "r")


def test_an_encoder_that_is_not_here_is_told_where_it_is_looked_for(written, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ModelError, match=r"no encoder 'fake'.*where you stand: ln -s /…/fake \."):
        load_ranker(written, "r")


def test_what_is_not_whole_is_refused(written):
    card, head = ((written / name).read_bytes() for name in ("card.json", "head.safetensors"))
    parts = load_file(written / "head.safetensors")
    save_file({**parts, "weight": parts["weight"] + 1}, written / "others")
    other = json.dumps({**json.loads(card), "format": "curate ranker 0"}).encode()
    damaged = [(card, b"x" * 40), (card, None), (card, (written / "others").read_bytes())]
    for described, weights in [*damaged, (b"{}", head), (other, head), (None, head)]:
        for name, data in (("card.json", described), ("head.safetensors", weights)):
            (written / name).unlink(missing_ok=True)
            if data is not None:
                (written / name).write_bytes(data)
        with pytest.raises(ModelError, match=r"'ranker' does not hold card\.json and head\.saf"):
            load_ranker(written, "r")
