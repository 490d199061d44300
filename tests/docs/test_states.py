"""The tables and drawings of states in the docs say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from minorch import states

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("state_pages", DOCS / "_ext" / "state_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load()
NAMES = ["task", "attempt", "job"]
MOVES: dict[str, Any] = {"task": states.TASK_MOVES, "attempt": states.ATTEMPT_MOVES, "job": states.JOB_MOVES}


def moves_in_table(markdown: str) -> dict[str, set[str]]:
    """The moves that a reader of the table reads."""
    rows = [row.strip("|").split("|") for row in markdown.splitlines()[2:]]
    return {words(row[0]).pop(): words(row[2]) for row in rows}


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_moves_of_the_code(name: str):
    expected = {str(old): {str(new) for new in news} for old, news in MOVES[name].items()}
    assert moves_in_table(pages.state_table(name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_drawing_has_an_arrow_for_each_move_and_no_other(name: str):
    drawn = re.findall(r'data-move="(\w+) (\w+)"', pages.svg(name))
    expected = {(str(old), str(new)) for old, news in MOVES[name].items() for new in news}
    assert set(drawn) == expected
    assert len(drawn) == len(expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_drawing_and_the_mermaid_text_agree(name: str):
    drawn = set(re.findall(r'data-move="(\w+) (\w+)"', pages.svg(name)))
    text = states.diagram(MOVES[name])
    assert drawn == set(re.findall(r"^    (\w+) --> (\w+)$", text, re.MULTILINE))


def test_the_table_of_reasons_is_complete_and_each_has_a_meaning():
    rows = [row.strip("|").split("|") for row in pages.reason_table().splitlines()[2:]]
    assert [words(row[0]).pop() for row in rows] == [str(reason) for reason in states.Reason]
    assert all(row[1].strip() for row in rows)


def test_meanings_come_from_the_source():
    assert pages.meanings(states.TaskState)["COMPLETED"] == "Ended by itself with exit code 0."


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_concepts_shows_them(name: str):
    page = (DOCS / "concepts.md").read_text(encoding="utf-8")
    assert f"```{{state-table}} {name}\n" in page
    assert f"```{{state-diagram}} {name}\n" in page
    assert "```{reason-table}\n" in page
