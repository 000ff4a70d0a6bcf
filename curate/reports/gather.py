"""From what was chosen to all that its page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from curate.data.describe import counted
from curate.duplicates.twins import REASONS as REPEATS
from curate.errors import CuratrainError
from curate.llamafactory.dataset_info import read_registry
from curate.llamafactory.doctor.data_set import DataSet
from curate.llamafactory.doctor.diagnose import diagnose, diagnose_rows
from curate.llamafactory.doctor.findings import Diagnosis
from curate.recipes.controls import UNFAIR
from curate.recipes.mods import NOT_NECESSARY
from curate.recipes.mods_seeds import LOW
from curate.reports.chosen import OF_TWINS, SCORED, Chosen, Mask, Views
from curate.reports.contents import ALL, CONTROL, KEPT, Report, Stage, View
from curate.reports.numbers import beside, budgets, covers_of, dots, figures
from curate.reports.page_rows import page_rows
from curate.reports.provenance import provenance
from curate.reports.row_map import row_map
from curate.scorers.contract import OK
from curate.selectors.kept_and_dropped import BELOW_CUT, MARKED_KEEP

_TOGETHER, _MORE = 0.3, 1.1  # rank correlation, and ratio of lengths, that are told
_OF_SOURCE = ("usable", "kept", "written", "tokens")
_MOST_JUDGED = 200_000  # rows that the doctor looks at
# Reasons in the order in which rows leave.
_WORDS = {
    "marked_drop": "marked by hand",
    "where": "--where does not hold",
    "not_chosen": "not among the rows that its recipe kept",
    "duplicate": "repeats an earlier row",
    "over_limit": "more than the limit of its source",
    "ifd_ge_1": "at 1 and above, the prompt does not help",
    LOW: "not good enough",
    NOT_NECESSARY: "the model answers it well",
    "not_augmented": "necessary, and nearer to kept rows than others",
    "covered": "near a kept row",
    "exact_duplicate": "repeats a kept row",
    "near_duplicate": "nearly a kept row",
    "in_against": "stands in the other set",
    "contains_against": "holds a question of the other set",
    "not_called": "no question took it",
    "not_drawn": "not drawn",
    BELOW_CUT: "below the cut",
}
_MEANS = {
    "ifd_loss": "IFD is the loss of the response with its prompt over the loss without: the "
    "higher, the less the prompt helps.",
    "quality": "quality is the ranker's reward: the higher, the better it finds the response.",
    "nearest": "nearest is the cosine to the question that is most like the row.",
    "similarity": "similarity is the share of n-grams that a row has in common with its twin.",
    "margin": "margin is by how much the ranker finds the chosen response better.",
}
_MEANS["ifd_ppl"] = _MEANS["ifd_loss"].replace("loss", "perplexity")


def gather(chosen: Chosen, points: int = 2000, with_map: bool = True) -> Report:
    """Return what the page of a choice shows; without vectors in the cache a map embeds rows."""
    groups = {ALL: np.ones(len(chosen), dtype=bool), KEPT: chosen.kept}
    labelled = dict[str, str]()
    others = dict(chosen.beside)
    if chosen.control is not None:
        groups[CONTROL], labelled[CONTROL] = chosen.control, "random rows"
        others = {n: m for n, m in others.items() if not np.array_equal(m, chosen.control)}
    views = _views(chosen, groups)
    on_map = row_map(chosen, groups, views, points) if with_map else None
    covers, labels = covers_of(chosen, groups, on_map)
    steps = list(budgets(chosen))
    edges = np.array([step.edge for step in steps], dtype=np.int64)
    page, lines, left_out = page_rows(chosen, views, edges, labels, on_map)
    at = np.full(len(chosen), -1)
    at[lines] = np.arange(len(lines))
    return Report(
        name=chosen.name,
        recipe=chosen.recipe,
        sha256=str((chosen.manifest.get("output") or {}).get("sha256", "")),
        verdict=_verdict(chosen, bool(steps)),
        warnings=tuple(_warnings(chosen, groups, others)),
        funnel=tuple(_funnel(chosen, views)),
        figures=tuple(figures(chosen, groups)),
        dots=dots(chosen),
        budgets=tuple(replace(step, edge=int(at[step.edge])) for step in steps),
        beside=tuple(beside(chosen, {**groups, **others}, labels)),
        controls=tuple({**labelled, **{name: name for name in others}}.items()),
        map_note=on_map.note if on_map else "",
        covers=tuple(covers),
        rows=tuple(page),
        views=tuple(
            View(key, label, len(places), tuple(at[places[at[places] >= 0]].tolist()))
            for key, (label, places) in views.items()
        ),
        # Of a mixture, what of each source was read, usable, drawn, written.
        sources=tuple(
            (
                source["name"],
                {
                    **{"side": source["side"], "read": source["rows"]},
                    **{key: source[key] for key in _OF_SOURCE if key in source},
                },
            )
            for source in (chosen.manifest.get("sources", ()) if chosen.recipe == "mix" else ())
        ),
        provenance=tuple(provenance(chosen)),
        left_out=left_out,
    )


def _views(chosen: Chosen, groups: Mapping[str, Mask]) -> Views:
    """Return lists of rows by key: what the button says, and the rows in the order to read them."""
    ranked, kept = chosen.ranked, chosen.kept
    scored = (chosen.status == OK) & np.isfinite(chosen.values)
    views: Views = {}

    def add(key: str, label: str, mask: Mask) -> None:
        if mask.any():
            views[key] = label, ranked[mask[ranked]]

    highest = "kept, the likest to others first" if chosen.recipe in OF_TWINS else "highest kept"
    add("kept", highest if scored.any() else "kept", kept)
    missed = ~kept & scored & ~np.isin(chosen.reason.astype(str), ("ifd_ge_1", *REPEATS))
    below = missed & (chosen.reason == BELOW_CUT)
    others = "highest" if chosen.recipe == "score" else "left out, highest"
    add("near", "nearest misses" if below.any() else others, below if below.any() else missed)
    if scored.any() and chosen.recipe not in OF_TWINS:
        views["low"] = "lowest", ranked[scored[ranked]][::-1]
    if chosen.has("chosen_by"):
        by = chosen.words("chosen_by")
        for word in sorted({*by.tolist()} - {""}):
            add(f"by_{word}", f"kept as {word}", kept & (by == word))
    if chosen.has("reason"):
        add(f"by_{MARKED_KEEP}", "kept as marked by hand", chosen.words("reason") == MARKED_KEEP)
    left_out = ~kept & (chosen.status == OK) & (chosen.reason != SCORED)
    counts = Counter(chosen.reason[left_out].tolist())
    pipeline = list(_WORDS)
    for reason in sorted(counts, key=lambda r: (pipeline.index(r) if r in _WORDS else -1, r)):
        about = f": {_WORDS[reason]}" if reason in _WORDS else ""
        add(f"out_{reason}", reason + about, left_out & (chosen.reason == reason))
    for status in sorted({*chosen.status.tolist()} - {OK}):
        add(f"no_{status}", f"no score: {status}", ~kept & (chosen.status == status))
    if CONTROL in groups:
        add(CONTROL, "random control", groups[CONTROL])
    views[ALL] = "all", np.arange(len(chosen))
    return views


def _funnel(chosen: Chosen, views: Views) -> Iterator[Stage]:
    stages = {each["stage"]: each for each in chosen.manifest.get("stages", ())}
    yield Stage("read", len(chosen), "read", ALL)
    for key, (label, places) in views.items():
        if key.startswith("no_"):
            yield Stage(label, len(places), "unscored", key)
    if chosen.recipe != "mix":
        yield Stage("scored", int((chosen.status == OK).sum()), "scored")
    for key, (label, places) in views.items():
        if not key.startswith("out_"):
            continue
        yield Stage(f"left out, {label}", len(places), "left_out", key)
        if key == f"out_{LOW}" and "quality" in stages:
            yield Stage("good enough (quality)", stages["quality"]["good"], "scored")
        if key == f"out_{NOT_NECESSARY}" and "augment" in stages:
            yield Stage("necessary, besides the seeds", stages["augment"]["rows"], "scored")
    if chosen.recipe == "score":
        return
    yield Stage("kept", int(chosen.kept.sum()), "kept", "kept")
    for key, (label, places) in views.items():
        if key.startswith("by_"):
            yield Stage(label, len(places), "part", key)
    written = (chosen.manifest.get("counts") or {}).get("written")
    if written not in (None, int(chosen.kept.sum())):
        yield Stage("written, rows that are repeated as often as they are", written, "part", "kept")


def _verdict(chosen: Chosen, is_cut: bool) -> str:
    """Return how many of how many are kept, by what, what the score means, and where the cut is."""
    rows, kept, params = len(chosen), int(chosen.kept.sum()), chosen.params
    if chosen.recipe == "score":
        scored = int((chosen.status == OK).sum())
        means = _MEANS.get(chosen.score, "")
        return f"{scored:,} of {rows:,} rows have a score; nothing is chosen yet. {means}".strip()
    by = Counter(chosen.words("chosen_by")[chosen.kept].tolist()) if chosen.has("chosen_by") else {}
    counts = ", ".join(f"{n:,} as {word}" for word, n in sorted(by.items()))
    how = f"chosen by {chosen.recipe}" + f", {counts}" * bool(counts)
    if is_cut:
        below = " below 1" if chosen.recipe == "ifd" and not params.get("keep_above_one") else ""
        lowest = f"{chosen.values[chosen.kept].min():.4f}" if kept else "none"
        how = f"those with the highest {chosen.score}{below}; the lowest kept has {lowest}"
    elif chosen.recipe == "random":
        how = f"drawn at random, by the seed {params.get('seed', 0)}"
    elif chosen.recipe in OF_TWINS:
        how = f"what is like another, by {params.get('near')} of its n-grams and more, is left out"
    elif chosen.recipe == "mix":
        how = f"asked was {params.get('ratio')}, got {chosen.manifest.get('realised')}"
    elif chosen.recipe == "split":
        how = f"the side {chosen.manifest.get('side')}"
    means = _MEANS.get(chosen.score, "")
    return f"{kept:,} of {rows:,} rows are kept: {how}. {means}".strip()


# What is to be read first


def _warnings(
    chosen: Chosen, groups: Mapping[str, Mask], others: Mapping[str, Mask]
) -> Iterator[tuple[str, str]]:
    """Yield (finding or note, sentence), the gravest first."""
    output = chosen.manifest.get("output") or {}
    if chosen.changed:
        yield (
            "finding",
            f"{output.get('file')} is no more what curate wrote: what follows is of the file as it "
            "was, the same command writes it again",
        )
    diagnosis = _diagnosis(chosen)
    for finding in diagnosis.found if diagnosis else ():
        if finding.effect != "note":
            rows = f"{counted(finding.count)}: " if finding.count else ""
            sentence = f"curate doctor: {finding.rule}: {rows}{finding.says} {finding.do}"
            yield "finding", sentence.strip()
    # How the model reads the rows comes before what it says of them.
    notes = [note for note in chosen.manifest.get("notes", ()) if UNFAIR not in note]
    first = [note for note in notes if "is a rough guide" in note]
    yield from (("finding", note) for note in first)
    yield from _about_length(chosen, groups, others)
    if chosen.not_here:
        yield (
            "note",
            f"the rows of {', '.join(chosen.not_here)} are not in the cache any more: the page "
            "has the texts of kept ones alone, and no number of texts; `curate report "
            f"{chosen.name} --input FILE` has all",
        )
    yield from (("note", note) for note in notes if note not in first)
    status, source = chosen.status, chosen.words("source")
    for name in dict.fromkeys(source[status != OK].tolist()):
        why = Counter(status[(source == name) & (status != OK)].tolist()).most_common()
        counts = ", ".join(f"{rows:,} {word}" for word, rows in why)
        read = counted(int((source == name).sum()))
        yield "note", f"{name}: of {read} these have no score: {counts}"


def _about_length(
    chosen: Chosen, groups: Mapping[str, Mask], others: Mapping[str, Mask]
) -> Iterator[tuple[str, str]]:
    """Yield what the score has to do with length, and how a choice compares in tokens."""
    unit, lengths = chosen.lengths
    if lengths is None or CONTROL not in groups:
        return
    own, random = (float(np.nanmean(lengths[groups[group]])) for group in (KEPT, CONTROL))
    total = {name: float(np.nansum(lengths[mask])) for name, mask in {**groups, **others}.items()}
    fair = [name for name in others if abs(total[name] / total[KEPT] - 1) < _MORE - 1]
    together = dots(chosen)
    rho = together.rho if together else 0.0
    parts = []
    if abs(rho) >= _TOGETHER:
        parts.append(
            f"{chosen.score} and the length of the response go together, Spearman ρ = {rho:+.2f}"
        )
    if parts or not 1 / _MORE < own / max(random, 1e-9) < _MORE:
        parts.append(
            f"kept responses have {own:,.0f} {unit} on average, those of a random choice "
            f"{random:,.0f}"
        )
        way = "--with-control tokens" if chosen.folder else 'curate.control(…, "tokens")'
        which = f": {', '.join(fair)}" if fair else f" ({way})"
        yield (
            "finding",
            f"{'; '.join(parts)}. Train a control of equal tokens before you believe a gain{which}",
        )
    for name in others:
        ratio = total[KEPT] / max(1.0, total[name])
        yield (
            "note",
            f"{name} has {total[name]:,.0f} {unit} of responses, the choice {total[KEPT]:,.0f}: "
            f"{ratio:.2f} times as many",
        )


def _diagnosis(chosen: Chosen) -> Diagnosis | None:
    """Return what LLaMA-Factory will do with what is kept, None where it cannot be told here."""
    kept = int(chosen.kept.sum())
    if chosen.recipe == "score" or kept > _MOST_JUDGED or not kept:
        return None
    if chosen.folder is None:
        if len(chosen.parts) > 1:
            return None
        return diagnose_rows(chosen.parts[0].at(np.flatnonzero(chosen.kept)))
    entry: Any = read_registry(chosen.folder).get(chosen.name)
    try:
        path = chosen.folder / str(entry["file_name"])
        return diagnose(DataSet(chosen.name, path, entry, assumed=False, rows=None))
    except (CuratrainError, KeyError, TypeError, OSError):
        return None  # its entry was changed by hand: `curate doctor` says more
