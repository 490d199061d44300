"""What every picture is made of: escaped text, elements, colours, badges, and the frame around it all."""

from __future__ import annotations

import enum
import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from minorch.markup.style import STYLE

__all__ = [
    "Html",
    "Hue",
    "badge",
    "coordinate",
    "counts",
    "escape",
    "hue_of",
    "legend",
    "note",
    "shorten",
    "tag",
    "text_width",
    "view",
]

_MOST_TEXT: Final = 300
"""A message may be of any length; a cell that holds a page of it shows nothing of the others."""
_MOST_ATTRIBUTE: Final = 50_000
"""A path of some hundred points is longer than any text."""

# What XML forbids, and what turns the text that follows it around, so that it reads as something else.
_UNSHOWABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


class Html(str):
    """Markup that is well formed and safe to insert. Any other text is escaped before it goes in."""

    __slots__ = ()


class Hue(enum.Enum):
    """Colours that the colour-blind tell apart (Okabe and Ito, 2008), on a light ground and on a dark one."""

    BLUE = "#0072b2"
    ORANGE = "#e69f00"
    GREEN = "#009e73"
    VERMILLION = "#d55e00"
    SKY = "#56b4e9"
    PURPLE = "#cc79a7"
    YELLOW = "#f0e442"
    """Hardly to be seen on white: for areas with something around them."""
    GREY = "#8c8c8c"

    @property
    def ink(self) -> str:
        """The colour of text on top of it: black or white, whichever differs more."""
        return "#fff" if self is Hue.BLUE else "#000"


_HUES: Final[Mapping[str, Hue]] = {
    "PENDING": Hue.GREY,
    "WAITING": Hue.GREY,
    "SCHEDULED": Hue.SKY,
    "PREPARING": Hue.SKY,
    "RUNNING": Hue.BLUE,
    "COMPLETED": Hue.GREEN,
    "READY": Hue.GREEN,
    "FAILED": Hue.VERMILLION,
    "REFUSED": Hue.VERMILLION,
    "LOST": Hue.VERMILLION,
    "BROKEN": Hue.VERMILLION,
    "NOT READY": Hue.VERMILLION,
    "STOPPED": Hue.PURPLE,
    "CORDONED": Hue.ORANGE,
    "DRAINING": Hue.ORANGE,
    "DRAINED": Hue.ORANGE,
}
# One shape for each colour, so that a badge can be told apart without any.
_SHAPES: Final[Mapping[Hue, tuple[str, bool]]] = {
    Hue.GREY: ("M5 1.5a3.5 3.5 0 1 0 .01 0z", False),
    Hue.SKY: ("M5 1.5a3.5 3.5 0 1 0 .01 0zM5 4.6a.4.4 0 1 0 .01 0z", False),
    Hue.BLUE: ("M2.5 1.2L9 5L2.5 8.8z", True),
    Hue.GREEN: ("M1.2 5.4L4 8.2L8.8 2", False),
    Hue.VERMILLION: ("M1.8 1.8L8.2 8.2M8.2 1.8L1.8 8.2", False),
    Hue.PURPLE: ("M1.8 1.8H8.2V8.2H1.8z", True),
    Hue.ORANGE: ("M5 .8L9.2 5L5 9.2L.8 5z", True),
    Hue.YELLOW: ("M5 1.2L9 8.6H1z", True),
}


def shorten(text: str, most: int = _MOST_TEXT) -> str:
    """Cut a text to so many characters, the last of which then says so."""
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"


def escape(text: str, most: int = _MOST_TEXT) -> Html:
    """Make any text safe to stand between tags or in an attribute's quotes.

    Args:
        text: anything.
        most: how many characters of it are kept.
    """
    return Html(html.escape(_UNSHOWABLE.sub("\ufffd", shorten(text, most))))


def coordinate(value: float) -> str:
    """A number for an attribute, in tenths of a pixel and no longer than it has to be."""
    words = f"{value:.1f}"
    return words[:-2] if words.endswith(".0") else words


def tag(name: str, *inside: str, **attributes: str | float) -> Html:
    """An element.

    Args:
        name: its name.
        inside: what is in it: markup, and any other text, which is escaped.
        attributes: their values are escaped; ``class_`` is ``class``, and ``stroke_width`` is
            ``stroke-width``.
    """
    words = [name]
    for key, value in attributes.items():
        shown = escape(value, _MOST_ATTRIBUTE) if isinstance(value, str) else coordinate(value)
        words.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    content = "".join(part if isinstance(part, Html) else escape(part) for part in inside)
    return Html(f"<{' '.join(words)}>{content}</{name}>")


def join(parts: Iterable[Html]) -> Html:
    """Put fragments behind each other."""
    return Html("".join(parts))


def hue_of(state: str) -> Hue:
    """The colour of a state by its name, in upper or lower case; grey for a word that is none."""
    return _HUES.get(state.upper().replace("_", " "), Hue.GREY)


def badge(words: str, *, like: str = "") -> Html:
    """A state as a small sign, and words.

    Args:
        words: what stands beside the sign: the state's name, or more than that.
        like: the state's name, if the words say something else.
    """
    hue = hue_of(like or words)
    path, filled = _SHAPES[hue]
    paint = {"fill": hue.value} if filled else {"fill": "none", "stroke": hue.value, "stroke_width": "1.9"}
    sign = tag(
        "svg", tag("path", d=path, **paint), width=10, height=10, viewBox="0 0 10 10", aria_hidden="true"
    )
    return tag("span", sign, escape(words, 60), class_="mo-badge")


def counts(states: Mapping[str, int], label: str = "") -> Html:
    """How many are in which state, as badges in a row; nothing where none is in any.

    Args:
        states: how many, by the state's name; zeros are left out.
        label: what is counted.
    """
    shown = [badge(f"{count:,} {state.lower()}", like=state) for state, count in states.items() if count]
    named = [tag("span", f"{label} ", class_="mo-dim")] if label else []
    return tag("div", *named, *shown, class_="mo-counts") if shown else Html()


def legend(entries: Sequence[tuple[str, Hue]]) -> Html:
    """What the colours mean; nothing for none."""
    if not entries:
        return Html()
    keys = []
    for name, hue in entries:
        square = tag("rect", width=10, height=10, rx=2, fill=hue.value)
        sign = tag("svg", square, width=10, height=10, viewBox="0 0 10 10", aria_hidden="true")
        keys.append(tag("span", sign, escape(name, 60), class_="mo-key"))
    return tag("div", *keys, class_="mo-keys")


def note(words: str) -> Html:
    """A remark in small type; nothing for none."""
    return tag("div", words, class_="mo-note") if words else Html()


def view(title: str, *parts: Html, state: str = "", words: str = "") -> Html:
    """A whole picture: a heading, and below it fragments one after the other, in minorch's style.

    Args:
        title: what is shown.
        parts: the fragments.
        state: its state, if it has one.
        words: more about it, on the same line in softer type.
    """
    head = [tag("span", escape(title, 120), class_="mo-title")]
    head += [badge(state)] if state else []
    head += [tag("span", words, class_="mo-dim")] if words else []
    # The class names keep MathJax out, to which what somebody calls "$x$" would be a formula.
    return tag(
        "div",
        tag("style", Html(STYLE)),
        tag("div", *head, class_="mo-head"),
        *parts,
        class_="minorch tex2jax_ignore mathjax_ignore",
        role="group",
        aria_label=shorten(title, 120),
    )


def text_width(text: str, size: float = 11.0) -> float:
    """About how wide a text is, in pixels: rather too much than too little.

    Args:
        text: the text.
        size: of the type, in pixels.
    """
    wide = sum(1 for letter in text if unicodedata.east_asian_width(letter) in "WF")
    broad = sum(1 for letter in text if letter.isupper() or letter in "mw@%…")
    return size * (wide * 1.05 + broad * 0.8 + (len(text) - wide - broad) * 0.57)


def fit(text: str, width: float, size: float = 11.0) -> str:
    """The text, or as much of its beginning as goes into a width in pixels."""
    text = shorten(text)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return f"{text}…"
