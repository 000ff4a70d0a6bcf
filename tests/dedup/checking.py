"""What holds of every selection of dedup."""

from curate.duplicates.folding import fold
from curate.duplicates.sketches import compared
from tests.dedup import naive


def told(found):
    """Return reason, twin and similarity of every row."""
    table = found.table().select(["reason", "twin", "similarity"])
    return [tuple(line.values()) for line in table.to_pylist()]


def check(found, near=0.8):
    """What holds of every selection, by naive means: twins are kept and alike, as is said."""
    rows = found.rows
    texts = {row.id: fold(compared(row, found.params.on)) for row in rows}
    kept = {row.id for row in rows if found.choice.kept[row.position]}
    for row, (reason, twin, value) in zip(rows, told(found), strict=True):
        if reason in ("exact_duplicate", "near_duplicate"):
            assert twin in kept
            assert value == float(naive.jaccard(texts[row.id], texts[twin], 5)) >= near
        elif not reason:
            assert twin is None
    assert len({texts[each] for each in kept}) == len(kept)
