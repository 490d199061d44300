"""The benchmark of scaling runs, at sizes that take no time, and the page of the docs has its form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import scaling

PAGE = Path(__file__).resolve().parents[2] / "docs" / "_parts" / "scaling.md"
TINY = "--nodes 20 --tasks 200 --burst 40 --waiting 100 --minutes 0.5 --seconds 0.05 --json"


def form(page: str) -> list[str]:
    """The names of the tables, and their heads."""
    return [line for line in page.splitlines() if line.startswith("**") or re.match(r"\| of |\|---", line)]


def test_each_part_has_figures_and_the_page_has_their_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    page = tmp_path / "page.md"
    scaling.main([*TINY.split(), "--write", str(page)])
    report = json.loads(capsys.readouterr().out)
    parts = [row["part"] for row in report["rows"]]
    assert list(dict.fromkeys(parts)) == ["lifecycle", "commits", "heartbeats", "plan", "restart", "fleet"]
    rows = {row["part"]: row for row in report["rows"]}
    assert rows["heartbeats"]["bytes up"] > 100
    assert rows["fleet"]["load, %"] > 0
    assert rows["plan"]["decisions/s"] > 0
    assert form(page.read_text(encoding="utf-8")) == form(PAGE.read_text(encoding="utf-8"))
