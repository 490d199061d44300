"""Pictures: each can be made and is the same each time, and pages show those that are made for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from tools.pictures import DOCS, PICTURES, THEMES, Story, page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_shows_something(name: str, story: Story):
    made = PICTURES[name](story)
    if isinstance(made, bytes):
        assert made[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(made) > 5_000
    else:
        assert re.search(r">[^<]*\w[^<]*</(td|text|div|span|b)>", made), "words, and not just elements"
        assert all(made in page([made], theme) for theme in THEMES)


def test_pictures_are_the_same_each_time(story: Story):
    other = Story()
    changed = [name for name, make in PICTURES.items() if make(story) != make(other)]
    assert not changed


def test_what_pages_show_is_what_is_made_for_them():
    pages = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/**/*.md"))
    shown = set(re.findall(r"\]\([./]*images/([\w-]+)\.png\)", pages))
    kept = {path.stem for path in ROOT.glob("docs/images/*.png")}
    assert shown == kept
    assert {name.removesuffix("-light") for name in kept} == set(DOCS)
