"""Reports made by hand, and what rows may say that is not to happen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from curate.reports.contents import (
    ALL,
    CONTROL,
    KEPT,
    Beside,
    BudgetStep,
    Cover,
    Dots,
    Histogram,
    PageRow,
    Report,
    Stage,
    View,
)

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!-- <script> ]]>",
    "<style>*{display:none}</style>",
    "a\u2028b\u2029c",
    "\u202eegasseM",
    "NUL \x00 bell \x07",
    "half \ud83d of one",
    "M" * 1_000_000,
)
SYLLABLES = "血压高低心率病人药物治疗头痛发热咳嗽检查医院饮食运动睡眠预防症状建议服用"
DEPARTMENTS = ("内科", "外科", "儿科")


def report_of(
    rows: int = 40, characters: int = 60, *, mapped: bool = True, seed: int = 0
) -> Report:
    """Return a choice of a tenth of made-up Chinese rows by a score that follows their length."""
    rng = np.random.default_rng(seed)
    scores = np.round(np.sort(rng.normal(0.8, 0.1, rows))[::-1], 4)
    tokens = np.maximum(20, (300 * scores + rng.normal(0, 40, rows))).astype(int)
    kept = max(1, rows // 10)
    control = set(rng.choice(rows, kept, replace=False).tolist())
    letters = rng.choice(list(SYLLABLES), (rows, characters))
    spots = rng.random((rows, 2))
    page_rows = tuple(
        PageRow(
            id=f"{place:016x}",
            where=f"huatuo.json row {place}",
            reason="" if place < kept else "below_cut",
            control=place in control,
            messages=(
                ("user", f"问题{place}：{''.join(letters[place, : characters // 3])}？"),
                ("assistant", "".join(letters[place, characters // 3 :])),
            ),
            numbers={"ifd_loss": float(scores[place]), "tokens": int(tokens[place])},
            colour={"cluster": f"{place % 12}: 血压", "department": DEPARTMENTS[place % 3]},
            spot=tuple(spots[place]) if mapped else None,
        )
        for place in range(rows)
    )
    groups = {
        ALL: np.arange(rows),
        KEPT: np.arange(kept),
        CONTROL: np.array(sorted(control)),
    }

    def counted(values: np.ndarray, edges: np.ndarray) -> dict[str, tuple[int, ...]]:
        return {
            group: tuple(np.histogram(values[places], edges)[0].tolist())
            for group, places in groups.items()
        }

    score_edges = np.linspace(scores.min(), max(scores.max(), 1.05), 41)
    token_edges = np.linspace(tokens.min(), tokens.max(), 25)
    every = tuple(range(rows))
    return Report(
        name="huatuo_ifd",
        recipe="ifd",
        sha256="ab" * 32,
        verdict=f"{kept} of {rows} rows are kept: those with the highest ifd_loss below 1.",
        warnings=(
            ("finding", "ifd_loss and the length of the response go together: Spearman ρ = +0.73."),
            ("note", "smollm2 is a model of English; its IFD of these rows is a rough guide."),
        ),
        funnel=(
            Stage("read", rows, "read"),
            Stage("scored", rows, "scored"),
            Stage("below the cut", rows - kept, "left_out", "below_cut"),
            Stage("kept", kept, "kept", "kept"),
        ),
        figures=(
            Histogram(
                "ifd_loss",
                tuple(score_edges.tolist()),
                counted(scores, score_edges),
                ((f"cut {scores[kept - 1]:.4g}", float(scores[kept - 1])), ("1: no help", 1.0)),
            ),
            Histogram(
                "tokens of the response",
                tuple(token_edges.tolist()),
                counted(tokens, token_edges),
                as_lines=True,
            ),
        ),
        dots=Dots(
            "tokens",
            "ifd_loss",
            tuple(
                (float(tokens[place]), float(scores[place]), place < kept) for place in every[:2000]
            ),
            0.73,
        ),
        budgets=tuple(
            BudgetStep(
                share=share / 100,
                rows=max(1, rows * share // 100),
                tokens=int(tokens[: max(1, rows * share // 100)].sum()),
                mean_tokens=float(tokens[: max(1, rows * share // 100)].mean()),
                cut=float(scores[max(1, rows * share // 100) - 1]),
                edge=max(1, rows * share // 100) - 1,
            )
            for share in (5, 10, 20, 50)
        ),
        beside=(
            Beside("ifd_loss", {ALL: 0.887, KEPT: 0.9831, CONTROL: 0.8586}),
            Beside("response, tokens", {ALL: 181.6, KEPT: 333.2, CONTROL: None}),
        ),
        controls=((CONTROL, "random control"),),
        map_note=f"All {rows} rows, by the principal components." if mapped else "",
        covers=(
            Cover(
                "department",
                tuple((name, rows // 3, kept // 3 + 1, 1) for name in DEPARTMENTS),
                3,
            ),
        ),
        rows=page_rows,
        views=(
            View("kept", "highest kept", kept, every[:kept]),
            View("near", "nearest misses", min(20, rows - kept), every[kept : kept + 20]),
            View("below_cut", "below the cut", rows - kept, every[kept:]),
            View("control", "random control", len(control), tuple(sorted(control))),
            View("all", "all", rows, every),
        ),
        sources=(),
        provenance=(
            ("command", "curate ifd --input huatuo.json --keep 10%"),
            ("parameters", '{"model": "smollm2", "keep": "10%", "seed": 0}'),
        ),
        left_out="",
    )


def hostile_report() -> Report:
    """Return a report in which every text that comes from rows or files is hostile."""
    evil = "".join(HOSTILE[:8])
    report = report_of(len(HOSTILE) + 2)
    rows = tuple(
        replace(
            row,
            where=f"{evil}.json row 1",
            reason=row.reason and evil,
            messages=(("user", text), ("assistant", f"{place}: {text}")),
            colour={evil: evil, "department": evil + str(place % 3)},
        )
        for place, (row, text) in enumerate(zip(report.rows, (*HOSTILE, evil, "last"), strict=True))
    )
    every = tuple(range(len(rows)))
    return replace(
        report,
        name=evil,
        recipe="ifd",
        verdict=f"11 of 11 rows of {evil}.",
        warnings=(("finding", evil), ("note", evil)),
        funnel=(Stage("read", 11, "read"), Stage(evil, 10, "left_out", evil), report.funnel[-1]),
        figures=tuple(replace(shown, name=evil) for shown in report.figures),
        covers=(Cover(evil, tuple((f"{evil}{n}", 3, 1, 1) for n in range(20)), 20),),
        rows=rows,
        views=(View("all", evil, len(rows), every), View(evil, evil, 1, every[:1])),
        sources=((evil, {evil: 3, "share": evil}),),
        provenance=((evil, evil),),
        left_out=evil,
    )


def pairs_report() -> Report:
    """Return a report of preference pairs."""
    report = report_of(6)
    rows = tuple(
        replace(
            row,
            messages=(
                ("system", "你是医生。"),
                ("user", "感冒了怎么办？"),
                ("chosen", "多喝水，多休息。"),
                ("rejected", "多休息，少喝酒。"),
            ),
        )
        for row in report.rows
    )
    return replace(report, rows=rows)
