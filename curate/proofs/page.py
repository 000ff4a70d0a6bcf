"""A proof as one page of HTML, on the parts that all pages share."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from curate.data.describe import counted
from curate.data.rows import Row
from curate.page.document import document
from curate.page.figures import curves, interval
from curate.parameters.prove import BASE
from curate.proofs.result import OF_ANSWERS, Proof
from curate.proofs.statistics import Difference
from curate.proofs.trainings import EXAM, GENERAL, NLL, Measured

_LOG = "trainer_log.jsonl"  # LLaMA-Factory's
_ALONE, _APART = 3, 5  # rows that are shown
_SMOOTHED = 5  # steps


def draw(proof: Proof, name: str) -> str:
    """Return the whole page; the same proof gives the same bytes."""
    measures = [
        (NLL, "What each arm brings", "NLL", 4),
        (GENERAL, "What is forgotten: general rows", "NLL", 4),
        *(
            (each, "Exam" if each == EXAM else f"Answers: {of}", of, 1)
            for each, of in OF_ANSWERS.items()
        ),
    ]
    return document(
        Path(__file__).parent / "template",
        *(signed, interval, counted),
        name=name,
        proof=proof,
        plots=[plot for each in measures if (plot := _plot(proof, *each))["arms"]],
        learning=_learning(proof.arms),
        alone=list(_alone(proof.arms)),
        apart=_apart(proof),
        provenance=[
            ("parameters", _json({k: v for k, v in asdict(proof.params).items() if v})),
            *(("source", _json(source)) for source in proof.provenance.get("sources", [])),
            ("versions", _json(proof.provenance.get("versions", {}))),
        ],
        curves=curves,
    )


def signed(value: float, digits: int = 4) -> str:
    return "–" if value != value else f"{value:+.{digits}f}".replace("-", "−")


def _plot(proof: Proof, measure: str, title: str, unit: str, digits: int) -> dict[str, Any]:
    """Return a forest plot of what arms have by one measure, those without left out."""
    lines = proof.by(measure)
    shown = [
        (each, lines.get(each.arm.name))
        for each in proof.arms
        if each.arm.name in lines or (measure == NLL and each.failure)
    ]
    ends = _ends(line.one for line in lines.values())
    titled = {"measure": measure, "title": title, "unit": unit, "digits": digits}
    return {**titled, "arms": shown, "ends": ends}


def _ends(differences: Iterable[Difference | None]) -> tuple[float, float]:
    edges = [edge for one in differences if one for edge in (one.low, one.high, one.value)]
    edges = [edge for edge in edges if edge == edge] or [0.0]
    room = 0.05 * max(max(edges) - min(*edges, 0.0), 1e-9)
    return min(*edges, 0.0) - room, max(*edges, 0.0) + room


def _learning(arms: Sequence[Measured]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return the loss by step of every arm, where the trainings have logged it."""
    lines = []
    for measured in arms:
        by_step: dict[int, list[float]] = defaultdict(list)
        for step, loss in chain.from_iterable(map(_logged, measured.folders)):
            by_step[step].append(loss)
        steps = sorted(by_step)
        means = [float(np.mean(by_step[step])) for step in steps]
        smooth = [
            float(np.mean(means[max(0, n - _SMOOTHED + 1) : n + 1])) for n in range(len(steps))
        ]
        if len(steps) > 1:
            lines.append((measured.arm.name, list(zip(map(float, steps), smooth, strict=True))))
    return lines


def _logged(folder: Path) -> Iterator[tuple[int, float]]:
    """Yield steps and losses of a training's log; a line that a kill has torn has none."""
    log = folder / _LOG
    for line in log.read_text("utf-8", "replace").splitlines() if log.is_file() else ():
        with suppress(ValueError, TypeError, KeyError):
            logged = json.loads(line)
            yield int(logged["current_steps"]), float(logged["loss"])


def _alone(arms: Sequence[Measured]) -> Iterator[tuple[str, int, list[Row]]]:
    """Yield what only one choice has: its arm, how many rows, and the first of them.

    Arms that are mixed of another's rows chose nothing themselves.
    """
    choices = [each.arm for each in arms if each.arm.chose]
    arms_with = Counter(chain.from_iterable(arm.ids for arm in choices))
    for arm in choices:
        rows = arm.choices[0].kept
        places = [place for place, id_ in enumerate(arm.ids) if arms_with[id_] == 1]
        yield arm.name, len(places), [rows[place] for place in places[:_ALONE]]


def _apart(proof: Proof) -> list[tuple[Row, list[tuple[str, float, str]]]]:
    """Return the test rows on which the trained arms differ most: NLL and first answer of all."""
    means = {each.arm.name: each.nll.mean(axis=0) for each in proof.arms if each.nll is not None}
    trained = [values for name, values in means.items() if name != BASE]
    if len(trained) < 2:
        return []
    answers = {each.arm.name: each.answers[0] for each in proof.arms if each.answers}
    spread = np.max(trained, axis=0) - np.min(trained, axis=0)
    order = np.argsort(-np.nan_to_num(spread, nan=-1.0), kind="stable")[:_APART].tolist()
    return [
        (
            proof.test[place],
            [
                (name, float(values[place]), answers[name][place] or "" if name in answers else "")
                for name, values in means.items()
            ],
        )
        for place in order
        if spread[place] == spread[place]
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
