"""Train a head on pairs of a better and a worse response, and judge any ranker on such pairs.

CaR (arXiv 2402.18191) trains a model of 550 million parameters on expert revisions. Here the
encoder stays as it is and a linear head is learned over its features, which takes minutes on a
CPU. Nothing is chosen on the pairs that are held out: the ridge comes from
cross-validation over the prompts of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.naming import Naming
from curate.data.preference_pairs import Pair, Pairs, read_pairs
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import DataError, ModelError, UsageError
from curate.models.ranking import learn
from curate.models.ranking.features import EmbeddingFeatures
from curate.models.ranking.learn import FOLDS, Material, by_file, fit_head, margins, right
from curate.models.ranking.reward_models import trained_on
from curate.models.ranking.trained_head import CARD, FORMAT, GROUPS, WEIGHTS, look, save_head
from curate.models.ranking.writing_style import is_chinese
from curate.models.recipe import ModelRecipe
from curate.parameters.ranker import JudgeParams, RankerParams
from curate.scorers.contract import Engine
from curate.scorers.reward import pairs_work, score_texts

FILES = (WEIGHTS, CARD)
_FEWEST = 20
_EVERY = "all"
_RESAMPLES = 2000
_NOTES = [
    "held_out: prompts that the ridge was not chosen on, judged by a head that was fitted without "
    "them; the head in the file has the same ridge and was then fitted on all pairs",
    "features and gates were designed on four fifths of the pairs of the bundled ranker, and its "
    "held-out pairs were looked at twice: for its files nested is somewhat too high, held_out a "
    "little",
    f"nested: the same with each of {FOLDS} parts of the prompts held out in turn, so that every "
    "pair is judged once; the larger sample, and the narrower interval",
    f"ablation: accuracy in {FOLDS}-fold cross-validation over the other prompts, by file, with "
    "each family of features alone and with all; the ridge is chosen anew for each",
    "families marked is_format say how a response is written, not whether it is right: they may "
    "not travel to other data",
    "spoiled: pairs of a better response and one that was spoiled on purpose (no answer, a loop, "
    "the prompt itself, the response to another prompt), one a pair; each counts so much in the "
    "fit, and none in held_out, nested, the scales or the choice of a ridge",
    "escapes that stand in the texts as letters are decoded before anything is compared; a "
    "revised response is compared with the raw one under the raw instruction",
    "scores of responses to different prompts are comparable only as far as the features are: "
    "pairs share a prompt, so nothing was learned about prompts",
]


def train(
    paths: Sequence[Path | Rows], params: RankerParams, output: Path, named: Naming | None = None
) -> dict[str, Any]:
    """Train a head on files of pairs, or of rows with two responses each; return its card.

    It is judged on held-out prompts, then fitted once more on all pairs and written.

    Raises:
        UsageError: No pairs.
        DataError: The pairs cannot be read, or are too few.
        ModelError: The encoder is not to be had, or gives NaN.
        OutputError: The folder cannot be written.

    Example:
        >>> train([Path("dpo_zh_demo.json")], RankerParams(), Path("ranker"))["held_out"]["all"]
    """
    seed, files = params.seed, _read(paths, named)
    spoiled = spoil(files.pairs, seed) if params.spoiled else []
    pairs = [*files.pairs, *spoiled]
    draws = learn.draw_of([pair.prompt for pair in pairs], seed)
    # Of few prompts none may lie below the share; one is held out all the same.
    held = draws <= max(params.hold_out, float(draws.min(initial=1.0)))
    if len(files) < _FEWEST or held.all():
        raise DataError(
            f"{', '.join(files.sha256)}: {len(files)} pairs whose responses differ; at least "
            f"{_FEWEST} are needed, with more than a few different prompts"
        )
    engine = open_engine()
    features = engine.load(ModelRecipe(kind="features", name=params.encoder))
    material = _material(pairs, len(spoiled) * [params.spoiled], features, engine)
    own, rest = material.own, material.part(~held)
    ridges = learn.choose(rest, seed)
    judges = [pair for pair, out in zip(pairs, held & own, strict=True) if out]
    judged = margins(fit_head(rest, ridges), material.part(held & own))
    margin = learn.nested(material, seed)
    caught = by_file(right(margin[~own]), material.sources[~own])
    sizes = {name: sum(pair.source == name for pair in files.pairs) for name in files.sha256}
    ablation = learn.ablation(rest, ridges, seed)
    card = {
        "format": FORMAT,
        "encoder": {"name": features.name, "fingerprint": features.origin},
        "families": {
            name: {"numbers": width, "is_format": name == "form"}
            for name, width in features.families.items()
        },
        "gates": list(GROUPS),
        "data": {n: {"sha256": sha, "pairs": sizes[n]} for n, sha in files.sha256.items()},
        "dropped": files.dropped,
        "seed": seed,
        "hold_out": params.hold_out,
        "ridge": ridges,
        "held_out": _by_source(judges, judged, seed),
        "nested": _by_source(files.pairs, margin[own], seed),
        "spoiled": {"counts": params.spoiled, "pairs": len(spoiled), "nested": _rounded(caught)},
        "ablation": {names: _rounded(accuracy) for names, accuracy in ablation.items()},
        "notes": _NOTES,
    }
    save_head(output, fit_head(material, ridges), card)
    return card


def evaluate(
    paths: Sequence[Path | Rows], params: JudgeParams, named: Naming | None = None
) -> dict[str, Any]:
    """Return how often a ranker or reward model scores the better response higher.

    Raises:
        UsageError: No pairs.
        DataError: The pairs cannot be read.
        ModelError: The ranker is not to be had, or gives NaN.

    Returns:
        `files`: `all` and each file as judge() has it; `dropped`; `trained_on`, the files that the
        ranker was trained on, on which its accuracy says little.
    """
    files = _read(paths, named)
    engine = open_engine()
    model = engine.load(ModelRecipe(kind="reward", name=params.ranker))
    texts = [(pair.prompt, text) for pair in files.pairs for text in (pair.better, pair.worse)]
    scores = score_texts(texts, model, engine).reshape(-1, 2)
    broken = np.logical_or.reduce(~np.isfinite(scores), axis=1)
    _refuse_broken(broken, files.pairs, f"'{model.name}'")
    known = trained_on(params.ranker)
    return {
        "ranker": model.name,
        "files": _by_source(files.pairs, scores[:, 0] - scores[:, 1], params.seed),
        "dropped": files.dropped,
        "trained_on": [name for name, sha in files.sha256.items() if sha in known],
    }


def judge(pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Return how well (pairs,) margins, better minus worse, tell them apart; four digits a share.

    `accuracy` is the share of pairs whose better response scored higher, ties counting half, with
    `low` and `high`, its 95 % bootstrap interval; `longer_wins` and `shorter_wins` are the accuracy
    of going by length, and `length_baseline` the higher of the two.
    """
    correct = right(margin)
    low, high = interval(correct, seed)
    longer = float(right(np.array([len(pair.better) - len(pair.worse) for pair in pairs])).mean())
    shares = {
        "accuracy": float(correct.mean()),
        "low": low,
        "high": high,
        "longer_wins": longer,
        "shorter_wins": 1 - longer,
        "length_baseline": max(longer, 1 - longer),
    }
    return {"pairs": len(pairs), **_rounded(shares)}


def interval(outcomes: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of (pairs,) outcomes, at least one.

    By percentiles of resampled means; `scipy.stats.bootstrap` refuses a single pair.
    """
    draws, size = np.random.default_rng(seed), len(outcomes)
    means = [outcomes[draws.integers(0, size, size)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _by_source(
    pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int
) -> dict[str, dict[str, Any]]:
    """Return judge() of all pairs and, where there are several files, of each."""
    judged = {_EVERY: judge(pairs, margin, seed)}
    sources = np.array([pair.source for pair in pairs])
    names = sorted(set(sources.tolist()))
    for name in names if len(names) > 1 else ():
        places = np.flatnonzero(sources == name)
        judged[name] = judge([pairs[int(place)] for place in places], margin[places], seed)
    return judged


def _read(paths: Sequence[Path | Rows], named: Naming | None) -> Pairs:
    if not paths:
        raise UsageError("no pairs: give --pairs FILE (one or several), or --dataset NAME")
    return read_pairs(paths, named)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _refuse_broken(broken: NDArray[np.bool_], pairs: Sequence[Pair], who: str) -> None:
    if broken.any():
        first = pairs[int(np.flatnonzero(broken)[0])]
        raise ModelError(
            f"{who} gives NaN or infinity for {int(broken.sum())} of the pairs, first for "
            f"{first.source}, {first.where}; leave them out or take another"
        )


def _material(
    pairs: Sequence[Pair], spoiled: Sequence[float], features: EmbeddingFeatures, engine: Engine
) -> Material:
    """Return the pairs as features, each text computed once; the last are spoiled ones."""
    places: dict[tuple[str, str], int] = {}
    rows = [
        [places.setdefault((p.prompt, text), len(places)) for text in (p.better, p.worse)]
        for p in pairs
    ]
    texts, width = list(places), sum(features.families.values())
    work = pairs_work(
        texts, texts.__getitem__, features, answer=_features, widths=width, dtype="float32"
    )
    values = engine.run(work, len(texts)).reshape(len(texts), -1).astype(np.float64)
    better, worse = np.array(rows).T
    finite = np.logical_and.reduce(np.isfinite(values), axis=1)
    _refuse_broken(~(finite[better] & finite[worse]), pairs, f"encoder '{features.name}'")
    prompts = [pair.prompt for pair in pairs]
    return Material(
        families=features.families,
        prompts=np.array(prompts, dtype=object),
        sources=np.array([pair.source for pair in pairs]),
        better=values[better],
        worse=values[worse],
        looks=look(prompts),
        preferred=np.array([not pair.revised for pair in pairs]),
        spoiled=np.array([*(len(pairs) - len(spoiled)) * [0.0], *spoiled]),
    )


def _features(model: EmbeddingFeatures, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
    return model.features(pairs)


# Responses spoiled on purpose. Nobody revises "I don't know" or a sentence that is said twenty
# times, so a head that learns from revisions and preferences alone may take either for a good
# response. Such pairs count little, and judge nothing but themselves.
SOURCE = "spoiled: "
_KINDS = ("no_answer", "loop", "echo", "other")
_NOTHING = {
    False: (
        *("I don't know", "I do not know.", "No idea.", "I'm not sure.", "N/A", "Yes", "OK"),
        "Sorry, I can't help with that.",
    ),
    True: ("不知道", "我不知道。", "不清楚", "抱歉，我不知道。", "无", "好的", "是", "嗯"),
}


def spoil(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return a pair of each better response and a spoiled one, its source naming the kind.

    Kinds are `no_answer`, `loop` (its beginning over and over), `echo` (the prompt) and `other`
    (the better response of another prompt in the same language).
    """
    by_language: dict[bool, list[Pair]] = {True: [], False: []}
    for pair in sorted(pairs, key=lambda pair: (pair.prompt, pair.better)):
        by_language[is_chinese(pair.prompt)].append(pair)
    spoiled = []
    for pair in pairs:
        digest = hashlib.sha256(f"{seed}|{pair.prompt}\0{pair.better}\0{pair.worse}".encode())
        draws = np.random.default_rng(list(digest.digest()[:16]))
        kind = _KINDS[int(draws.integers(len(_KINDS)))]
        response = _response(kind, pair, by_language[is_chinese(pair.prompt)], draws)
        if response.strip() not in ("", pair.better.strip()):
            spoiled.append(replace(pair, worse=response, source=SOURCE + kind))
    return spoiled


def _response(kind: str, pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    if kind == "no_answer":
        texts = _NOTHING[is_chinese(pair.prompt)]
        return texts[int(draws.integers(len(texts)))]
    if kind == "echo":
        return pair.prompt
    if kind == "other":
        other = others[int(draws.integers(len(others)))]
        return "" if other.prompt == pair.prompt else other.better
    text = pair.better.strip()
    if is_chinese(text):
        start = text[: int(draws.integers(4, 40))]
    else:
        start = " ".join(text.split()[: int(draws.integers(1, 12))]) + " "
    return start * int(draws.integers(4, 20))
