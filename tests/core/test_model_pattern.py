from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, strategies as st

from minorch.errors import SpecError
from minorch.model.pattern import parse_pattern

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "-",
        "1",
        ".",
        "\\.",
        "\\d",
        "\\w",
        "\\S",
        "[ab]",
        "[^a]",
        "[]a]",
        "[a-c\\d.]",
        "é",
        "]",
        "}",
        "\\\\",
        "\\^",
    ]
)
QUANTIFIERS = st.sampled_from(["", "", "?", "??", "{2}", "{1,}", "{,2}", "{0,3}?", "*", "+", "*?"])
SEQUENCES = st.lists(st.tuples(ATOMS, QUANTIFIERS).map("".join), max_size=4).map("".join)
GROUPS = st.tuples(st.sampled_from(["({})", "(?:{})"]), SEQUENCES, QUANTIFIERS).map(
    lambda parts: parts[0].format(parts[1]) + parts[2]
)
PATTERNS = st.lists(
    st.lists(SEQUENCES | GROUPS, min_size=1, max_size=3).map("".join), min_size=1, max_size=3
).map("|".join)
VALUES = st.text("ab1-.c\\^é]}\n", max_size=12)


@given(PATTERNS, VALUES)
@example("a|", "")
@example("(a?){3}", "aa")
@example("(a?b?){2,}c", "abbac")
@example("x{2}y{,1}", "xx")
@example("^a$", "a")
@example("^a|b$", "b")
@example("a\\$", "a$")
@example("a\\\\$", "a\\")
@example("()+", "")
def test_it_matches_what_python_matches(pattern: str, value: str):
    try:
        read = parse_pattern(pattern)
    except SpecError:
        return  # too many repeats: there are other tests for what is refused
    assert read.matches(value) == (re.fullmatch(pattern, value) is not None)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "a pattern has 1 to 200 characters, this one has 0"),
        ("a" * 201, "a pattern has 1 to 200 characters, this one has 201"),
        ("(a+)+", "a repeat of a group that itself holds a | or a repeat without end (character 5)"),
        ("(a|aa)*", "a repeat of a group that itself holds a |"),
        ("((?:x(y*))z){2}", "a repeat of a group"),
        (".*.*.*.*", "more than 3 repeats without end (character 8)"),
        ("a+b{1,}c*d+", "more than 3 repeats without end"),
        ("(a)\\1", "has \\1; references to groups are not offered"),
        ("(?P<n>a)(?P=n)", "a (? that is not (?:"),
        ("(?=a)", "look-arounds, flags, names and references to groups are not offered (character 1)"),
        ("x(?<!a)", "a (? that is not (?:"),
        ("(?i)a", "a (? that is not (?:"),
        ("(?>a)", "a (? that is not (?:"),
        ("(?", "a (? that is not (?:"),
        ("a(b", "a ( without its ) (character 2)"),
        ("a)b", "a ) without its ("),
        ("*a", "a * with nothing to repeat; write \\* for the character"),
        ("a|+", "a + with nothing to repeat"),
        ("{2}", "a { with nothing to repeat"),
        ("a**", "a repeat of a repeat"),
        ("a*+", "a repeat of a repeat"),
        ("a{2}{3}", "a repeat of a repeat"),
        ("a{x}", "a { that is no repeat; write {2}, {2,}, {,3} or {2,3}, or \\{ for the character"),
        ("a{}", "a { that is no repeat"),
        ("a{,}", "a { that is no repeat"),
        ("a{3,2}", "a repeat that is not from 0 to 256 times"),
        ("a{257}", "a repeat that is not from 0 to 256 times"),
        ("a{999,}", "a repeat that is not from 0 to 256 times"),
        ("a{1000}", "a repeat that is not from 0 to 256 times"),
        ("a^b", "a ^; the whole value has to match anyway, write \\^ for the character"),
        ("a$b", "a $; the whole value has to match anyway"),
        ("\\bgpu", "has \\b; of letters only \\d, \\w, \\s and \\D, \\W, \\S may be escaped"),
        ("\\x41", "has \\x; of letters only"),
        ("a\\", "a \\ with nothing after it"),
        ("[ab", "a [ without its ] (character 1)"),
        ("[]", "a [ without its ]"),
        ("[a[b]", "a bare [ in a class; write \\["),
        ("[a--b]", "a bare - in a class"),
        ("[a&&b]", "a bare & in a class"),
        ("[\\q]", "has \\q; of letters only"),
        ("[b-a]", "a class that is none: bad character range b-a (character 1)"),
        ("((a{99}){99}){99}", "repeats too much: make its repeats smaller"),
        ("((){200}){200}", "repeats too much"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_not_offered_is_refused_where_it_is(pattern: str, problem: str):
    with pytest.raises(SpecError) as caught:
        parse_pattern(pattern)
    assert problem in caught.value.problem


def test_a_long_value_never_matches():
    assert parse_pattern(".*").matches("a" * 256)
    assert not parse_pattern(".*").matches("a" * 257)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|aa)" * 33,
        "a?" * 66 + "a" * 66,
        "a{0,60}" * 28,
        ".*.*.*b",
        "[^b]*[^c]*(?:aaa[a-z]){1,50}",
        "(?:(?:[a-z]{0,20}){0,20}){0,20}",
        "(?:" + "[a-z]" * 12 + ")*" + "(?:" + "[a-z]" * 12 + ")*!",
    ],
    ids=lambda pattern: pattern[:20],
)
def test_no_pattern_takes_long(pattern: str):
    """With ``re`` most of these would take years."""
    read = parse_pattern(pattern)
    begun = time.process_time()
    assert not read.matches("a" * 255 + "!")
    assert time.process_time() - begun < 1
