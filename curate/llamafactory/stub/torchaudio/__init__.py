"""Stands in for torchaudio, which LLaMA-Factory imports even where there is no sound.

The wheels of torchaudio do not go with torch built for CPU. `curate.llamafactory.release` puts this
folder on the import path of its child, and only where the real one is not to be had.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(f"torchaudio.{name}: this is a stand-in without sound")
