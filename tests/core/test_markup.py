"""Pictures of plain data: nothing that is put in gets out of its place, and nothing becomes large."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, strategies as st

from minorch.markup import (
    Bar,
    Html,
    Hue,
    Lane,
    Level,
    Part,
    Series,
    Span,
    badge,
    bars,
    counts,
    escape,
    gantt,
    hue_of,
    legend,
    lines,
    meter,
    note,
    number_ticks,
    shorten,
    table,
    tag,
    time_ticks,
    time_words,
    view,
)
from minorch.markup.elements import fit, text_width
from minorch.markup.scales import number_words

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></svg><script>",
    "]]><!--",
    "&lt;b&gt; &amp;",
    "</style><b>",
    "\x00\x0b\ud800\u202eabc",
    "javascript:alert(1)",
]
TEXT = st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE))
NUMBER = st.one_of(st.floats(), st.floats(0, 1e6), st.sampled_from([0.0, 1e308, -1e308, 5e-324, math.nan]))
TAGS = {"div", "span", "style", "svg", "title", "path", "rect", "g", "text", "table", "thead", "tbody", "tr"}
TAGS |= {"th", "td"}
ATTRIBUTES = {"class", "role", "aria-label", "aria-hidden", "width", "height", "viewbox", "x", "y", "rx", "d"}
ATTRIBUTES |= {"fill", "stroke", "stroke-width", "stroke-linejoin", "stroke-dasharray", "opacity", "scope"}
ATTRIBUTES |= {"text-anchor", "font-weight", "style", "pointer-events"}


def everything(text: str, number: float) -> str:
    """A view with each kind of fragment, in which every text and every number is the given one."""
    span = Span(number, None, Hue.BLUE, text, label=text)
    shown = [Span(0.0, number, Hue.GREEN, text), span, Span(1.0, 2.0, Hue.GREY, text, thin=True)]
    return view(
        text,
        note(text),
        counts({text: 3, "RUNNING": 1}, text),
        legend([(text, Hue.SKY)]),
        table(
            [text, "n"], [[text, number], [badge(text), None], [badge(text, like="failed"), 7]], caption=text
        ),
        gantt([Lane(text, shown, text)], title=text, caption=text, keys=[(text, Hue.BLUE)]),
        lines(
            [Series(text, [(0.0, number), (number, 1.0), (3.0, 2.0)], Hue.BLUE, dashed=True)],
            title=text,
            unit=text,
        ),
        lines([Series(text, [(0.0, 1.0), (number, number)], Hue.BLUE)] * 2, title=text, stacked=True),
        bars([Bar(text, [Part(text, number, Hue.BLUE), Part("b", 1.0, Hue.SKY)], text)], title=text),
        meter([Level(number, Hue.BLUE, text), Level(1.0, Hue.SKY, text)], number, text),
        state=text,
        words=text,
    )


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.add(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        self.tags.add(f"declaration {decl}")

    def unknown_decl(self, data: str) -> None:
        self.tags.add(f"declaration {data}")


@given(TEXT, NUMBER)
def test_no_text_and_no_number_gets_out_of_its_place(text: str, number: float):
    markup = everything(text, number)
    root = ElementTree.fromstring(markup)  # well-formed, so what is in a text has become no markup
    seen = Seen(markup)
    assert seen.tags <= TAGS
    assert seen.attributes <= ATTRIBUTES
    for element in root.iter():
        for name, value in element.attrib.items():
            assert name != "id"
            assert "nan" not in value or name == "aria-label"
            assert "inf" not in value or name == "aria-label"
            assert "url(" not in value or name == "aria-label"


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200))
def test_what_is_escaped_reads_as_before(text: str):
    shown = ElementTree.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>')
    assert (shown.text or "") == shown.get("b") == text


@pytest.mark.parametrize("text", HOSTILE[:7])
def test_hostile_text_is_shown_as_it_is(text: str):
    markup = table(["a"], [[text]])
    assert ElementTree.fromstring(markup).find(".//td").text == text  # type: ignore[union-attr]


def test_text_that_would_turn_others_around_or_that_xml_forbids_is_replaced():
    assert escape("a\u202eb\x00c\ud800d\u2066") == "a\ufffdb\ufffdc\ufffdd\ufffd"
    assert escape("a\tb\nc") == "a\tb\nc"


def test_only_what_is_markup_already_is_not_escaped():
    assert tag("b", Html("<i></i>"), "<i>") == "<b><i></i>&lt;i&gt;</b>"
    assert tag("a", class_="x", stroke_width=1.25, y='"') == '<a class="x" stroke-width="1.2" y="&quot;"></a>'
    assert isinstance(escape("a"), Html)


def test_a_long_text_is_cut_and_says_so():
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
    assert len(table(["a"], [["x" * 10_000]])) < 1000


def test_the_words_of_a_state_give_its_colour_and_shape():
    assert hue_of("RUNNING") is hue_of("running") is Hue.BLUE
    assert hue_of("not_ready") is hue_of("failed") is Hue.VERMILLION
    assert hue_of("anything else") is Hue.GREY
    shapes = {
        badge("x", like=state).split(' d="')[1].split('"')[0] for state in ("pending", "scheduled", "running")
    }
    shapes |= {
        badge("x", like=state).split(' d="')[1].split('"')[0] for state in ("failed", "stopped", "ready")
    }
    assert len(shapes) == 6
    assert "3 failed" in badge("3 failed", like="failed")
    assert Hue.VERMILLION.value in badge("3 failed", like="failed")
    assert Hue.BLUE.ink == "#fff"
    assert Hue.YELLOW.ink == "#000"


def test_nothing_is_shown_where_there_is_nothing_to_show():
    assert note("") == legend([]) == counts({"FAILED": 0}) == ""
    assert "mo-dim" not in counts({"FAILED": 1})


def test_the_same_data_give_the_same_picture():
    assert everything("a", 3.0) == everything("a", 3.0)


# -- tables --------------------------------------------------------------------------------------------------


def test_a_table_shows_the_first_rows_and_says_how_many_there_are_more():
    markup = table(["n"], [[n] for n in range(100_000)], most=20, noun="nodes")
    assert markup.count("<td") == 20
    assert "and 99,980 more nodes" in markup
    assert len(markup) < 2000
    assert "more" not in table(["n"], [[1]])


def test_numbers_end_at_the_same_place_and_are_short():
    markup = table(["name", "n", "x"], [["a", 1234567, 0.123456], ["b", None, 2.0]], right=[0])
    assert markup.count('<td class="mo-right"') == 6
    assert ">1,234,567<" in markup
    assert ">0.1235<" in markup
    assert 'class="mo-whole"' in table(["name"], [["a"]], whole=[0])


def test_a_sparse_table_leaves_out_columns_in_which_there_is_nothing():
    markup = table(["a", "b", "c", "d"], [["x", "", None, 0], ["y", "", "", 1]], sparse=True)
    assert "".join(Seen(markup).texts) == "adx0y1"


# -- bars and meters -----------------------------------------------------------------------------------------


def widths(markup: str) -> list[float]:
    root = ElementTree.fromstring(f"<a>{markup}</a>")
    return [float(one.get("width", "")) for one in root.iter("rect") if one.get("fill", "").startswith("#")]


def test_a_meter_shows_which_part_of_the_whole_is_taken():
    assert widths(meter([Level(2, Hue.BLUE, "a"), Level(4, Hue.ORANGE, "b")], 8)) == [24.0, 48.0]


@pytest.mark.parametrize(("value", "whole", "width"), [(9, 8, 96), (-1, 8, 0), (1, 0, 0), (math.nan, 1, 0)])
def test_a_meter_stays_within_its_bounds(value: float, whole: float, width: float):
    assert widths(meter([Level(value, Hue.BLUE, "a")], whole)) == [width]


def test_parts_of_bars_are_as_long_as_they_are_large_and_go_to_both_sides_of_zero():
    rows = [
        Bar("a", [Part("x", 3.0, Hue.BLUE), Part("y", 1.0, Hue.ORANGE)], "4", strong=True),
        Bar("b", [Part("x", 2.0, Hue.BLUE), Part("z", -1.0, Hue.GREEN), Part("w", math.inf, Hue.SKY)]),
    ]
    markup = bars(rows, title="costs", caption="Costs")
    three, one, minus, two = widths(markup)[-4:]
    assert (three / one, two / one, minus / one) == pytest.approx((3, 2, 1), rel=0.01)
    assert "Costs" in markup
    assert {"x", "y", "z"} < set(Seen(markup).texts)  # the legend


def test_only_the_first_bars_are_shown_and_the_others_are_counted():
    markup = bars([Bar(f"n{n}", [Part("", n, Hue.BLUE)]) for n in range(10_000)], title="t", noun="nodes")
    assert "and 9,970 more nodes" in markup
    assert len(markup) < 20_000
    assert "mo-keys" not in markup
    assert ElementTree.fromstring(f"<a>{bars([], title='none')}</a>") is not None


def test_bars_of_shares_are_drawn_on_a_scale_of_the_whole():
    def width_of(least_high: float) -> float:
        return widths(bars([Bar("n", [Part("", 25.0, Hue.BLUE)])], title="t", least_high=least_high))[-1]

    assert width_of(100.0) == pytest.approx(width_of(0.0) / 4, rel=0.01)
    assert width_of(10.0) == width_of(0.0)


# -- Gantt ---------------------------------------------------------------------------------------------------


def boxes(markup: str) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(f"<a>{markup}</a>")
    found = [one for one in root.iter("rect") if one.get("fill", "").startswith("#") and one.get("rx") != "2"]
    found += [one for one in root.iter("rect") if one.get("rx") == "2" and one.get("height") == "13"]
    return sorted((float(one.get("x", "")), float(one.get("width", ""))) for one in found)


def test_spans_are_where_their_times_are():
    spans = [Span(10.0, 20.0, Hue.BLUE), Span(20.0, 40.0, Hue.GREEN)]
    (first, width), (second, longer) = boxes(gantt([Lane("a", spans)], title="t"))
    assert second == pytest.approx(first + width, abs=0.2)
    assert longer == pytest.approx(2 * width, abs=0.3)


def test_what_still_lasts_is_drawn_to_the_end_and_says_since_when():
    markup = gantt([Lane("a", [Span(10.0, None, Hue.BLUE, "runs")])], title="t", begin_s=0.0, end_s=100.0)
    assert "runs, since 10 s" in markup
    assert "runs, 10 s" in gantt([Lane("a", [Span(0.0, 10.0, Hue.BLUE, "runs")])], title="t")
    ((left, width),) = boxes(markup)
    assert left + width == pytest.approx(820 - 26, abs=0.2)


def test_a_label_is_on_a_span_only_where_there_is_room():
    lane = Lane(
        "a", [Span(0.0, 100.0, Hue.BLUE, label="here"), Span(100.0, 101.0, Hue.BLUE, label="nowhere")]
    )
    texts = Seen(gantt([lane], title="t")).texts
    assert "here" in texts
    assert "nowhere" not in texts


def test_a_hundred_thousand_lanes_stay_small_and_are_counted():
    lanes = [Lane(f"task-{n}", [Span(n, n + 10.0, Hue.BLUE, "ran")]) for n in range(100_000)]
    markup = gantt(lanes, title="t", noun="tasks")
    assert "and 99,960 more tasks" in markup
    assert len(markup) < 30_000


def test_very_many_spans_are_drawn_together_and_the_picture_says_so():
    lanes = [
        Lane(f"n{n}", [Span(t, t + 0.5 + t % 3, Hue.BLUE, "ran") for t in range(5000)]) for n in range(40)
    ]
    markup = gantt(lanes, title="t")
    assert len(markup) < 300_000
    assert "200,000 spans: those that lie together are drawn as one" in markup
    assert "more" in markup
    assert len(boxes(markup)) <= 1600


def test_a_span_without_length_can_be_seen_and_one_without_time_is_left_out():
    lane = Lane("a", [Span(5.0, 5.0, Hue.BLUE), Span(math.nan, 6.0, Hue.SKY)])
    ((_, width),) = boxes(gantt([lane], title="t", begin_s=0.0, end_s=10.0))
    assert width == 1.5


@pytest.mark.parametrize("lanes", [[], [Lane("a", [])], [Lane("a", [Span(3.0, 3.0, Hue.BLUE)])]])
def test_a_picture_of_nothing_is_a_picture_too(lanes: list[Lane]):
    assert ElementTree.fromstring(f"<a>{gantt(lanes, title='t')}</a>") is not None


# -- lines ---------------------------------------------------------------------------------------------------


def paths(markup: str) -> list[str]:
    return [one.get("d", "") for one in ElementTree.fromstring(f"<a>{markup}</a>").iter("path")]


def test_a_million_points_become_some_hundred_and_keep_the_extremes():
    points = [(float(n), 1.0) for n in range(200_000)]
    points[77_777] = (77_777.0, 9.0)
    markup = lines([Series("a", points, Hue.BLUE)], title="t", unit="tasks")
    assert len(markup) < 20_000
    (path,) = paths(markup)
    assert "L" in path
    assert " 22" in path  # the highest is at the upper edge
    stacked = lines([Series("a", points, Hue.BLUE), Series("b", points, Hue.SKY)], title="t", stacked=True)
    assert len(stacked) < 30_000


def test_steps_hold_a_value_until_the_next():
    series = [Series("a", [(0.0, 1.0), (10.0, 2.0)], Hue.BLUE)]
    assert "H" in paths(lines(series, title="t", steps=True))[0]
    assert "H" not in paths(lines(series, title="t"))[0]


def test_stacked_values_add_up_and_what_has_not_begun_counts_nothing():
    low = Series("low", [(0.0, 1.0), (5.0, 3.0)], Hue.BLUE)
    late = Series("late", [(5.0, 1.0)], Hue.SKY)
    upper, lower = paths(lines([low, late], title="t", end_s=10.0, high=4.0, stacked=True))
    assert upper.split("V")[1].startswith("22")  # 3 + 1 of 4
    assert not lower.split("V")[1].startswith("22")


def test_a_window_shows_the_value_that_holds_where_it_begins():
    series = [Series("a", [(0.0, 1.0), (50.0, 2.0), (99.0, 7.0)], Hue.BLUE)]
    (path,) = paths(lines(series, title="t", begin_s=10.0, end_s=60.0, high=4.0))
    assert path.count("L") == 1


def test_values_below_zero_and_no_values_at_all_are_drawn():
    assert "-2" in "".join(Seen(lines([Series("a", [(0.0, -2.0), (1.0, 1.0)], Hue.BLUE)], title="t")).texts)
    assert paths(lines([Series("a", [], Hue.BLUE)], title="t", stacked=True)) != []
    assert paths(lines([Series("a", [(1.0, math.inf)], Hue.BLUE)], title="t")) == [""]
    assert paths(lines([], title="t")) == []


# -- scales --------------------------------------------------------------------------------------------------


@given(st.floats(1e-9, 1e15))
def test_times_on_an_axis_are_few_and_lie_within_it(span_s: float):
    ticks = time_ticks(span_s)
    assert 1 <= len(ticks) <= 9
    assert ticks[0] == (0.0, "0")
    assert all(0 <= at <= span_s * 1.000001 for at, _ in ticks)
    assert len({words for _, words in ticks}) == len(ticks)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_numbers_on_an_axis_are_few_and_lie_within_it(low: float, length: float):
    ticks = number_ticks(low + length, low)
    assert len(ticks) <= 6
    slack = 1e-6 * max(abs(low), length)
    assert all(low - slack <= value <= low + length + slack for value, _ in ticks)


@pytest.mark.parametrize(
    ("span_s", "words"),
    [(600, "2 min"), (45, "10 s"), (10_000, "30 min"), (90_000, "4 h"), (0.01, "2 ms"), (864_000, "2 d")],
)
def test_times_on_an_axis_are_round(span_s: float, words: str):
    assert time_ticks(span_s)[1][1] == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (0.0852, "85 ms"),
        (1.238, "1.24 s"),
        (59.97, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (360_000, "4 d 4 h"),
        (-3, "-3 s"),
        (1e12, "317 centuries"),
        (math.inf, "for ever"),
        (math.nan, "unknown"),
    ],
)
def test_a_length_of_time_reads_well(seconds: float, words: str):
    assert time_words(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.25, "0.25"), (1500, "1,500"), (2_500_000, "2.5M"), (1e12, "1e+12"), (1e-5, "1e-05")],
)
def test_a_number_on_an_axis_is_short(value: float, words: str):
    assert number_words(value) == words


@given(st.text(max_size=60), st.floats(0, 300))
def test_a_text_that_was_made_to_fit_does(text: str, width: float):
    shown = fit(text, width)
    assert text_width(shown) <= max(width, text_width("…"))
    assert shown == text or shown.endswith("…")


def test_wide_letters_count_as_wide():
    narrow, wide = text_width("iii"), text_width("漢字仮")
    assert wide > narrow
    assert text_width("WWW") > text_width("lll")
