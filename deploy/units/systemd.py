"""A unit for systemd."""

from __future__ import annotations

import getpass
import math
import shutil
import sys
from pathlib import Path

from curate.data.cache import cache_dir
from deploy.units.call import GRACE, Unit, absolute, adapter, check, options

_START = 1900  # seconds; a little more than an engine may take to load


def systemd(unit: Unit) -> str:
    """Return a systemd unit; the key comes from a file that only its owner reads.

    Args:
        unit: The call.

    Raises:
        UsageError: Options that `deploy serve` would refuse, too.
    """
    check(unit)
    own = Path(sys.executable).parent / "deploy"
    program = str(own) if own.is_file() else shutil.which("deploy") or "deploy"
    key, lines = [], []
    if unit.api_key_env:
        key = ["--api-key-env", unit.api_key_env]
        lines = [
            f"# One line: {unit.api_key_env}=KEY; chmod 600, owned by root.",
            "EnvironmentFile=/etc/curatrain/serve.env",
        ]
    if unit.api_key_file:
        key = ["--api-key-file", "%d/api_key"]
        lines = [f"LoadCredential=api_key:{_escaped(absolute(str(unit.api_key_file)))}"]
    adapters = [f"{name}={path}" for name, path in map(adapter, unit.adapters)]
    told = options(unit, absolute(unit.model), adapters, unit.host, [])
    words = [_word(each) for each in (program, "serve", *told)] + key
    return "\n".join(
        [
            "[Unit]",
            f"Description=deploy serve {_escaped(unit.model)}",
            "After=network.target",
            "StartLimitIntervalSec=600",
            "StartLimitBurst=3",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={' '.join(words)}",
            f"User={getpass.getuser()}",
            f"WorkingDirectory={_escaped(str(Path.cwd()))}",
            f'Environment="CURATRAIN_CACHE={_escaped(str(cache_dir().resolve()))}"',
            *lines,
            f"TimeoutStartSec={_START}",
            "# SIGTERM for deploy alone, which lets answers be finished; what is left is killed.",
            "KillMode=mixed",
            f"TimeoutStopSec={math.ceil(unit.stop_timeout) + GRACE}",
            "Restart=on-failure",
            "RestartSec=10",
            "NoNewPrivileges=yes",
            "PrivateTmp=yes",
            "UMask=0077",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str) -> str:
    """Return one argument of ExecStart=, which knows quotes, %-signs and $-variables."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t'\"\\;") or not escaped else escaped
