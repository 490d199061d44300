"""A virtual environment as an author of plugins has one: with pip and what the tests have, minorch among it.

Nothing is downloaded for it: it sees the packages of the environment that the tests run in, after its own.
What is installed into it stays in it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

LIMIT_S = 180


class FreshVenv:
    """A new environment in an empty directory."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, timeout=LIMIT_S)
        (own,) = directory.glob("lib/python*/site-packages")
        seen = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})
        # Through addsitedir, because packages that are installed for editing are known by a .pth there.
        (own / "seen.pth").write_text(
            "".join(f"import site; site.addsitedir({path!r})\n" for path in seen), encoding="utf-8"
        )

    def run(self, directory: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as if this environment were active."""
        return subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **self._env(), **env},
            timeout=LIMIT_S,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _env(self) -> dict[str, str]:
        env = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.bin.parent),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        if importlib.util.find_spec("hatchling") and importlib.util.find_spec("editables"):
            env["PIP_NO_BUILD_ISOLATION"] = "0"  # that is how pip spells it; else it downloads these two
        return env
