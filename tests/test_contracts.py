"""Promises of every selector and every scorer; a new one is tested as soon as its file is there."""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np
import pytest

import curate.scorers
from curate.data.read import read
from curate.data.rows import Rows
from curate.engine.local import LocalEngine
from curate.scorers import complexity, ifd, length, pairs, quality, reward
from curate.scorers.contract import OK, Scores
from curate.scorers.score_tokens import TokenParams
from curate.selectors import selectors, takes_number
from curate.selectors.kept_and_dropped import Candidates, Choice
from tests.fake import FakeModel
from tests.rankers.fake import FakeReward
from tests.scorers.test_deita import FakeJudge

# They take the best of all; the others weigh rows against each other, or draw.
BEST_OF_ALL = {"top_k", "threshold"}


# How a scorer is called, given rows and a folder of its own.
def judged(scorer: Any) -> Callable[[Rows, Path], Scores]:
    model = FakeJudge(lambda text, digit: 1 / (digit + len(text)))
    return lambda rows, folder: scorer.score(rows, TokenParams(400), model, LocalEngine(folder))


def of_pairs(rows: Rows, folder: Path) -> Scores:
    """Score the same rows, the response of each as the chosen one of two."""
    folder.mkdir(exist_ok=True)
    values = [{**row.value, "chosen": row.value["output"], "rejected": "another"} for row in rows]
    paired = rows_of([{k: v for k, v in row.items() if k != "output"} for row in values], folder)
    reward, model = FakeReward(), FakeModel(budget=600)
    settings = pairs.PairParams("alpaca", 800)
    return pairs.score(paired, settings, reward, LocalEngine(folder), model)


SCORERS: dict[str, Callable[[Rows, Path], Scores]] = {
    "complexity": judged(complexity),
    "quality": judged(quality),
    "ifd": lambda rows, folder: ifd.score(
        rows, ifd.IFDParams("alpaca", 400), FakeModel(budget=600), LocalEngine(folder)
    ),
    "length": lambda rows, folder: length.score(rows),
    "reward": lambda rows, folder: reward.score(
        rows, reward.RewardParams(), FakeReward(), LocalEngine(folder)
    ),
    "pairs": of_pairs,
}


def modules(package: ModuleType, function: str) -> dict[str, ModuleType]:
    found = (
        importlib.import_module(f"{package.__name__}.{each.name}")
        for each in pkgutil.iter_modules(package.__path__)
    )
    return {m.NAME: m for m in found if hasattr(m, "NAME") and callable(getattr(m, function, None))}


def examples(module: Any) -> list[Any]:
    """Parameters by their defaults, the first whole number among them small, middling and large."""
    types = get_type_hints(module.PARAMS)
    needed = {each.name: 0.5 for each in fields(module.PARAMS) if each.default is MISSING}
    whole = next((name for name, kind in types.items() if kind is int), None)
    if whole is None:
        return [module.PARAMS(**needed)]
    return [module.PARAMS(**needed | {whole: size}) for size in (0, 7, 10_000)]


FOUND_SCORERS = modules(curate.scorers, "score")
SELECTOR_CASES = [
    pytest.param(module, params, id=f"{name}-{params}")
    for name, module in selectors().items()
    for params in examples(module)
]
SCORER_CASES = [pytest.param(SCORERS[name], id=name) for name in SCORERS]


def test_every_module_is_found_by_its_name():
    assert len(selectors()) >= 8
    assert set(FOUND_SCORERS) == set(SCORERS), "add a call of it to SCORERS"
    for kind in (selectors(), FOUND_SCORERS):
        assert all(module.__name__.endswith(f".{name}") for name, module in kind.items())


# Selectors


@dataclass
class Case:
    choice: Choice
    values: np.ndarray
    ids: np.ndarray
    vectors: np.ndarray
    clusters: np.ndarray
    tokens: np.ndarray
    questions: tuple[np.ndarray, ...]

    def turned(self, order: np.ndarray) -> Case:
        """The same rows in another order."""
        arrays = (self.values, self.ids, self.vectors, self.clusters, self.tokens)
        turned = (each[order] for each in arrays)
        return Case(Choice(self.choice.reason[order]), *turned, self.questions)


def case(size: int = 60, seed: int = 0) -> Case:
    """Rows of which some are dropped, some have no number, and many have the same one."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 6, size) / 5
    values[generator.random(size) < 0.2] = np.nan
    values[:1], values[1:2] = np.inf, -np.inf
    reason = np.where(generator.random(size) < 0.3, "dropped_before", "").astype(object)
    ids = np.array([f"{each:016x}" for each in generator.permutation(size)], dtype=object)
    # Few places, so that many rows are at the same one; some at the origin, without direction.
    vectors = generator.integers(-1, 2, (size, 3)).astype(np.float32)
    vectors[np.isnan(values)] = np.nan
    clusters = generator.integers(0, 11, size)
    tokens = np.where(np.isnan(values), 0, generator.integers(1, 9, size))
    questions = generator.integers(-1, 2, (5, 3)).astype(np.float32)
    sets = (questions[:3], questions[3:])
    return Case(Choice(reason), values, ids, vectors, clusters, tokens, sets)


def chosen(module: Any, params: Any, given: Case) -> Choice:
    arrays = {name: getattr(given, name) for name in module.NEEDS}
    found: Choice = module.select(Candidates(given.choice, given.ids, **arrays), params)
    return found


@pytest.mark.parametrize(("module", "params"), SELECTOR_CASES)
class TestSelector:
    def test_a_row_is_kept_or_has_a_reason(self, module, params):
        given = case()
        found = chosen(module, params, given)
        assert found.reason.shape == given.values.shape
        assert all(isinstance(each, str) for each in found.reason)
        assert int(found.kept.sum()) + sum(found.counts().values()) == len(given.values)

    def test_a_dropped_row_stays_dropped_for_its_first_reason(self, module, params):
        given = case()
        found = chosen(module, params, given)
        before = ~given.choice.kept
        assert set(found.reason[before]) == {"dropped_before"}

    def test_nan_is_never_kept(self, module, params):
        given = case()
        assert not (chosen(module, params, given).kept & np.isnan(given.values)).any()

    def test_nothing_but_nan_keeps_nothing(self, module, params):
        given = case()
        given.values[:] = np.nan
        given.vectors[:] = np.nan
        given.tokens[:] = 0
        assert not chosen(module, params, given).kept.any()

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_the_rows_does_not_matter(self, module, params, seed):
        given = case()
        order = np.random.default_rng(seed).permutation(len(given.values))
        turned = given.turned(order)
        found, other = chosen(module, params, given), chosen(module, params, turned)
        assert dict(zip(given.ids, found.reason, strict=True)) == dict(
            zip(turned.ids, other.reason, strict=True)
        )

    def test_inputs_are_not_changed(self, module, params):
        given, untouched = case(), case()
        chosen(module, params, given)
        assert given.choice.reason.tolist() == untouched.choice.reason.tolist()
        assert given.ids.tolist() == untouched.ids.tolist()
        for name in ("values", "vectors", "clusters", "tokens"):
            np.testing.assert_array_equal(getattr(given, name), getattr(untouched, name))

    def test_twice_is_the_same(self, module, params):
        found = [chosen(module, params, case()).reason.tolist() for _ in range(2)]
        assert found[0] == found[1]

    def test_no_rows_are_no_error(self, module, params):
        assert chosen(module, params, case(0)).reason.tolist() == []


@pytest.mark.parametrize("name", [name for name in selectors() if takes_number(name)])
@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_budget_is_the_beginning_of_a_larger_one(name, seed):
    module, given = selectors()[name], case(seed=seed)
    found = [chosen(module, module.PARAMS(k=k), given) for k in range(12)]
    for k, (small, large) in enumerate(itertools.pairwise(found)):
        assert small.order.tolist() == large.order.tolist()[:k]
        assert set(small.order) == set(np.flatnonzero(small.kept))
    assert len(found[-1].order) > 5


@pytest.mark.parametrize(
    ("module", "params"), [each for each in SELECTOR_CASES if each.values[0].NAME in BEST_OF_ALL]
)
def test_equal_scores_are_taken_by_id(module, params):
    given = case()
    given.values[:] = 0.4
    given.choice = Choice(np.full(len(given.values), "", dtype=object))
    kept = chosen(module, params, given).kept
    assert sorted(given.ids[kept]) == sorted(given.ids)[: kept.sum()]


# Scorers


def alpaca(instruction: str, output: Any) -> dict[str, Any]:
    return {"instruction": instruction, "input": "", "output": output}


ROWS = [
    *(alpaca(f"Question {each}?", f"The answer is {each * 37}.") for each in range(30)),
    alpaca("no answer", ""),
    alpaca("no text", 7),
    alpaca("long", "x" * 500),
    alpaca("short", "y"),
    alpaca("", "an answer to nothing"),
    alpaca("twice", "the same"),
    alpaca("twice", "the same"),
]


def rows_of(values: list[Any], folder: Path) -> Rows:
    path = folder / "rows.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return read(path)


@pytest.mark.parametrize("call", SCORER_CASES)
@pytest.mark.usefixtures("scratch_cache")
class TestScorer:
    def test_a_line_for_every_row_with_nan_and_a_status_where_there_is_no_score(
        self, call, tmp_path
    ):
        rows = rows_of(ROWS, tmp_path)
        found = call(rows, tmp_path / "j")
        assert found.status.shape == (len(rows),)
        assert all(isinstance(each, str) and each for each in found.status)
        bad = found.status != OK
        assert 0 < bad.sum() < len(rows)
        floats = [name for name, column in found.columns.items() if str(column.type) == "double"]
        assert floats
        for name, column in found.columns.items():
            assert len(column) == len(rows), name
        for name in floats:
            assert np.isnan(found.values(name)[bad]).all(), name
            assert np.isfinite(found.values(name)[~bad]).all(), name

    def test_a_flaw_is_the_status(self, call, tmp_path):
        rows = rows_of(ROWS, tmp_path)
        found = call(rows, tmp_path / "j")
        flawed = {row.position: row.flaw for row in rows if row.flaw}
        assert flawed
        assert {at: found.status[at] for at in flawed} == flawed

    def test_the_order_of_the_rows_does_not_matter(self, call, tmp_path):
        order = np.random.default_rng(1).permutation(len(ROWS))
        (tmp_path / "turned").mkdir()
        scores = []
        for values, folder in (
            (ROWS, tmp_path),
            ([ROWS[each] for each in order], tmp_path / "turned"),
        ):
            rows = rows_of(values, folder)
            found = call(rows, folder / "j")
            lines = {
                name: dict(zip(rows.ids, column.to_pylist(), strict=True))
                for name, column in found.columns.items()
            }
            scores.append((dict(zip(rows.ids, found.status, strict=True)), repr_sorted(lines)))
        assert scores[0] == scores[1]

    def test_twice_is_the_same(self, call, tmp_path):
        rows = rows_of(ROWS, tmp_path)
        first, again = call(rows, tmp_path / "a"), call(rows, tmp_path / "b")
        assert first.status.tolist() == again.status.tolist()
        for name, column in first.columns.items():
            assert str(column.to_pylist()) == str(again.columns[name].to_pylist())


def repr_sorted(lines: dict[str, dict[str, Any]]) -> str:
    """NaN is not equal to itself, its text is."""
    return repr({name: sorted(values.items()) for name, values in lines.items()})
