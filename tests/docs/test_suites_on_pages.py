"""The fleet, the strategy and the store that the pages show pass the suites that the pages recommend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import python_blocks

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["howto/fleets.md", "howto/schedulers.md", "howto/stores.md"])
def test_what_a_page_shows_passes_the_suite_on_it(page: str, tmp_path: Path):
    found = python_blocks((DOCS / page).read_text(encoding="utf-8"))
    (tmp_path / "test_page.py").write_text("\n\n".join(block.code for block in found), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
