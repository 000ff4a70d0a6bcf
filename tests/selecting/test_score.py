"""`curate score`: columns of one and of several scorers, what is written, what is refused."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.data.read import read
from curate.emission.emit import check_target
from curate.errors import OutputError, UsageError
from curate.parameters.option import options_of
from curate.parameters.score import ScoreParams
from curate.recipes import score as recipe
from curate.recipes.score import score
from curate.scorers.length import words
from tests.calling import share_models
from tests.fake import put_in_place
from tests.rankers.fake import FakeReward


@pytest.fixture
def fake(monkeypatch, scratch_cache):
    """A ranker whose score is 10 times the prompt's characters plus the response's."""
    asked = []

    def load(recipe):
        asked.append(recipe.name)
        return FakeReward()

    put_in_place(monkeypatch, reward=load)
    return asked


@pytest.fixture
def answers(tmp_path):
    """Four rows: two with a score, one without an answer, one whose reward is NaN."""
    rows = [("ab", "xyz"), ("abc", "It's 42."), ("no answer", ""), ("broken", "n/a")]
    path = tmp_path / "answers.jsonl"
    lines = (json.dumps({"instruction": each, "output": said}) for each, said in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rewards_of_answers_as_another_program_asks_for_them(fake, answers, call, tmp_path):
    out = tmp_path / "o"
    given = ("score", "--input", answers, "--scorer", "reward", "--reward", "pairs", "--json")
    answer = call(*given, "--output", out)
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    files = [f"{out}/answers_score_reward.{end}" for end in ("scores.parquet", "manifest.json")]
    assert told == {
        "name": "answers_score_reward",
        "read": 4,
        "scored": 2,
        "unscored": {"empty_response": 1, "non_finite": 1},
        "tokens": {"read": 13, "scored": 9, "by": "use"},  # "xyz", "It's 42." and "n/a"
        "scores": files[0],
        "columns": ["reward"],
        "spread": {
            "reward": {"rows": 2, "mean": 30.5, "lowest": 23.0, "median": 30.5, "highest": 38.0}
        },
        "files": files,
        "not_used": {},
    }
    table = pq.read_table(files[0])
    assert table.column_names == ["id", "row", "source", "status", "tokens", "reward"]
    assert table.column("reward").to_pylist()[:2] == [23.0, 38.0]
    assert table.column("id").to_pylist() == read(answers).ids.tolist()
    manifest = json.loads((out / "answers_score_reward.manifest.json").read_text())
    assert manifest["recipe"] == "score"
    counted = ("read", "scored", "unscored", "tokens")
    assert manifest["counts"] == {name: told[name] for name in counted}
    assert manifest["model"] == {"reward": "pairs", "reward_fingerprint": FakeReward.fingerprint}
    assert manifest["output"]["rows"] == 4
    # No data set: nothing for LLaMA-Factory to find.
    assert {each.name for each in out.iterdir() if each.suffix != ".lock"} == {
        "answers_score_reward.scores.parquet",
        "answers_score_reward.manifest.json",
    }
    assert fake == ["pairs"]


def test_several_scorers_stand_side_by_side_each_with_its_status(fake, answers, tmp_path):
    found = score(read(answers), ScoreParams(("length", "reward")))
    frame = found.scores
    assert frame["status"].tolist() == ["ok", "ok", "empty_response", "non_finite"]
    assert frame["status_length"].tolist() == ["ok", "ok", "empty_response", "ok"]
    assert frame["response_words"].tolist()[:2] == [1, 2]
    assert frame["response_words"].tolist()[3] == 2  # the length of a row whose reward is NaN
    assert frame["reward"].isna().tolist() == [False, False, True, True]
    assert found.ranked_by == "response_words"
    assert found.summary().scored == 2
    turned = score(found.rows, ScoreParams(("reward", "length")))
    assert turned.scores["status"].tolist() == frame["status"].tolist()
    assert turned.ranked_by == "reward"


def test_scores_are_chosen_by(fake, answers, call, tmp_path):
    for each in ("length", "reward"):
        assert call("score", answers, "--scorer", each, "--output", tmp_path).code == 0
    both = call("score", answers, "--scorer", "length,reward", "--output", tmp_path, "--json")
    assert json.loads(both.out.splitlines()[-1])["name"] == "answers_score_length_reward"
    files = [tmp_path / f"answers_score_{each}.scores.parquet" for each in ("length", "reward")]
    found = curate.select(
        read(answers), files, by="reward", where="response_words > 1 and status == 'ok'", keep=1
    )
    assert np.flatnonzero(found.choice.kept).tolist() == [1]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("It's 42.", 2),
        ("高血压患者能吃党参吗？", 10),
        ("naïve café, don’t!", 3),
        ("吃 B12", 3),
    ],
)
def test_words(text, count):
    assert words(text) == count


def test_lengths_of_a_dialogue(tmp_path):
    turns = [("human", "a b"), ("gpt", "c"), ("human", "d"), ("gpt", "e f g")]
    talk = {"system": "be kind", "conversations": [{"from": f, "value": v} for f, v in turns]}
    path = tmp_path / "talk.json"
    path.write_text(json.dumps([talk]))
    line = score(read(path), ScoreParams(("length",))).scores.iloc[0]
    assert line[["prompt_words", "response_words", "turns"]].tolist() == [5, 4, 2]
    assert line[["prompt_characters", "response_characters"]].tolist() == [11, 6]


def test_the_same_bytes_twice_and_over_its_own_files_only(fake, answers, call, tmp_path):
    own = ("score", answers, "--scorer", "reward", "--output", tmp_path / "o")
    path = tmp_path / "o" / "answers_score_reward.scores.parquet"
    first = call(*own) and path.read_bytes()
    assert call(*own).code == 0
    assert path.read_bytes() == first
    check_target(tmp_path / "o", "answers_score_reward", "score", False)
    with pytest.raises(OutputError, match="was made by the recipe score"):
        check_target(tmp_path / "o", "answers_score_reward", "ifd", False)
    # Killed between the two renames: the manifest still has its other name.
    manifest = path.with_name("answers_score_reward.manifest.json")
    manifest.rename(manifest.with_name(f".{manifest.name}.part"))
    check_target(tmp_path / "o", "answers_score_reward", "score", False)
    path.write_bytes(b"of someone else")
    call.refused("made by something other than curate", *own)


def test_no_row_with_a_score_is_told(fake, call, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"instruction": "a", "output": ""}] * 3))
    answer = call("score", path, "--scorer", "length", "--output", tmp_path / "o")
    assert answer.code == 0
    assert "0 of 3 rows have a score; without: 3 empty_response" in answer.err


def test_wrong_use(fake, call, answers, tmp_path):
    own = ("score", answers, "--output", tmp_path / "o")
    call.refused("no scorer: give --scorer NAME. There are .*ifd: how little", *own)
    call.refused("no scorer 'rewards'. Did you mean 'reward'", *own, "--scorer", "rewards")
    call.refused("the same one twice", *own, "--scorer", "ifd", "--scorer", "ifd")
    call.refused("no scorer 'lenght'. Did you mean 'length'", *own, "--scorer", "reward,lenght")
    call.refused(
        "--model is an option of --scorer .*ifd.*, not of reward; leave it out",
        *own, "--scorer", "reward", "--model", "smollm2",
    )  # fmt: skip
    call.refused("--reward is an option of --scorer pairs or reward, not of length",
                 *own, "--scorer", "length", "--reward", "pairs")  # fmt: skip
    call.refused("--max-length is an option of --scorer .*ifd.*, not of length",
                 *own, "--scorer", "length", "--max-length", "0")  # fmt: skip
    call.refused("no input: give --input FILE", "score", "--scorer", "length")
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"instruction": "a", "chosen": "b", "rejected": "c"}]))
    call.refused("preference pairs", "score", pairs, "--scorer", "length")
    assert not list((tmp_path / "o").glob("*.parquet"))


@pytest.mark.model
def test_a_length_of_zero_is_not_the_default(tmp_path, scratch_cache, answers):
    share_models(scratch_cache)
    with pytest.raises(UsageError, match="--max-length 0: smollm2 takes 2 to"):
        score(read(answers), ScoreParams(("ifd",), max_length=0))


def test_help_names_every_scorer():
    help_ = options_of(ScoreParams)["scorer"][2].help
    assert set(recipe.scorers()) <= set(re.findall(r"\w+", help_))


def test_in_python(fake, answers):
    assert curate.score(curate.read(answers), "reward").scores["reward"][1] == 38
    assert curate.score(curate.read(answers), ["length", "reward"]).summary().scored == 2
    with pytest.raises(UsageError, match=r"no option 'rewards'. Did you mean 'reward'\?"):
        curate.score(curate.read(answers), "reward", rewards="x")
