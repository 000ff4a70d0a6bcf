"""Files that are installed with the package: samples and mixtures."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def bundled_folder() -> Path:
    """Return the folder `mixtures`: in the installed package, else in the checkout."""
    installed = _PACKAGE / "mixtures"
    return installed if installed.is_dir() else _PACKAGE.parent / "mixtures"


def find_bundled(path: Path) -> Path | None:
    """Return the file that comes with the package under a relative path, None without one."""
    folder = bundled_folder()
    if path.is_absolute() or path.parts[:1] != ("mixtures",) or ".." in path.parts:
        return None
    found = folder.joinpath(*path.parts[1:])
    return found if found.is_file() else None
