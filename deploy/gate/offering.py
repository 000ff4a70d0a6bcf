"""What the gate takes for a model and an engine."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.engines.contract import Engine, Served
from deploy.gate.offer import Offer


def offer_of(served: Served, engine: Engine) -> Offer:
    """Return what the gate takes for an engine and a model."""
    sampling = _recommended(served.folder / "generation_config.json")
    return Offer(
        engine=engine.name,
        models=engine.names(served),
        fields=engine.fields,
        completions=engine.completions,
        context=served.context,
        temperature=sampling.get("temperature", 1.0),
        top_p=sampling.get("top_p", 1.0),
    )


def _recommended(path: Path) -> dict[str, float]:
    """Return the sampling that a model's authors recommend."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    allowed = {"temperature": 2.0, "top_p": 1.0}
    return {
        name: float(told[name])
        for name, most in allowed.items()
        if isinstance(told.get(name), int | float) and 0 < told[name] <= most
    }
