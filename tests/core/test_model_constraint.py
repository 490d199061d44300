from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from minorch.errors import SpecError
from minorch.model import Constraint, Node, Task, parse_constraint
from tests.core.strategies import NODES

LABEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-/]{0,9}", fullmatch=True).filter(
    lambda name: not name.startswith("node.")
) | st.sampled_from(["node.name", "node.runtime", "node.platform", "node.address", "in", "not", "version"])
CHARACTERS = st.characters(exclude_characters="\0\n", exclude_categories=["Cs"])
VALUE = (
    st.text(CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(lambda text: text and text[0] != "=")
)
ITEM = VALUE.filter(lambda text: "," not in text)
NUMBER = st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr))
VERSION = st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-[0-9a-z]{1,3}(\.[0-9a-z]{1,3})?)?", fullmatch=True)
SIGNS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TEXTS = st.one_of(
    st.builds("{} {} {}".format, LABEL, st.sampled_from(["==", "!="]), VALUE),
    st.builds("{}{}{}".format, LABEL, st.sampled_from(["<", "<=", ">", ">="]), NUMBER),
    st.builds(
        lambda label, word, items: f"{label} {word} {','.join(items)}",
        LABEL,
        st.sampled_from(["in", "not in", "not   in"]),
        st.lists(ITEM, min_size=1, max_size=4),
    ),
    st.builds(lambda label, sign, version: f"{label} version {sign} {version}", LABEL, SIGNS, VERSION),
    st.builds("{}  matches {}".format, LABEL, st.sampled_from(["gpu-[0-9]+", "a|b", r"\d{2,}"])),
)


def allowed(text: str, **labels: str) -> bool:
    return parse_constraint(text).allows(labels)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("disk == ssd", ("disk", "==", "ssd")),
        ("disk!=ssd", ("disk", "!=", "ssd")),
        ("  a.b/c-d_e   ==  two words  ", ("a.b/c-d_e", "==", "two words")),
        ("x == a==b", ("x", "==", "a==b")),
        ("x == é", ("x", "==", "é")),
        ("x == >=5", ("x", "==", ">=5")),
        ("zone in a,b ,  c, a", ("zone", "in", "a, b, c")),
        ("zone  not   in a", ("zone", "not in", "a")),
        ("in in in", ("in", "in", "in")),
        ("not in a", ("not", "in", "a")),
        ("cores>=16", ("cores", ">=", "16")),
        ("load < -.5e3", ("load", "<", "-.5e3")),
        ("kernel version >= 5.10 ,<7", ("kernel", "version", ">=5.10, <7")),
        ("kernel version>=5.10", ("kernel", "version", ">=5.10")),
        ("version == 5", ("version", "==", "5")),
        ("host matches gpu-[0-9]+ x", ("host", "matches", "gpu-[0-9]+ x")),
        ("node.platform != linux/arm64", ("node.platform", "!=", "linux/arm64")),
    ],
)
def test_a_constraint_compares_a_label_with_a_value(text: str, parts: tuple[str, str, str]):
    constraint = parse_constraint(text)
    assert constraint == parts
    assert parse_constraint(str(constraint)) == constraint


@given(TEXTS)
@example("x == a, b")
def test_what_it_is_written_as_is_read_as_itself(text: str):
    constraint = parse_constraint(text)
    assert parse_constraint(str(constraint)) == constraint
    assert hash(parse_constraint(f"  {text}  ")) == hash(constraint)


@pytest.mark.parametrize(
    "text",
    [
        *["", "disk", "disk = ssd", "disk ==", "== ssd", "disk === ssd", "disk !== ssd", "a b == c"],
        *["a == b\nc", "a =< 3", "a >== 3", "zone in", "zone notin a", "name matches", "x version"],
    ],
)
def test_what_is_no_constraint_is_refused_with_an_example(text: str):
    with pytest.raises(SpecError, match=r'is not a constraint; write e\.g\. "disk == ssd"') as caught:
        parse_constraint(text, "$.constraints[0]")
    assert caught.value.path == "$.constraints[0]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zone inn a, b", '; did you mean "in"?'),
        ("kernel versions >=5", '; did you mean "version"?'),
        ("name match gpu", '; did you mean "matches"?'),
        (
            "node.nam == a",
            '"node.nam" is none of node.name, node.runtime, node.platform, node.address; did you',
        ),
        ("zone in ,", '"," has nothing between two commas; write e.g. "zone in a, b"'),
        ("zone not in a,,b", '"a,,b" has nothing between two commas'),
        (f"zone in {','.join(map(str, range(257)))}", "at most 256 values, got 257"),
        ("cores >= many", '">=" compares numbers, and "many" is none; for versions write "version"'),
        ("cores >= 1.2.3", 'and "1.2.3" is none'),
        ("cores <> 3", '"<" compares numbers, and "> 3" is none'),
        ("cores < 1e999", 'and "1e999" is none'),
        ("cores < nan", 'and "nan" is none'),
        (f"cores < {'9' * 65}", "is none"),
        ("kernel version 5.10", '"5.10" compares no version; write e.g. "kernel version >=5.10, <7"'),
        ("kernel version >=5.10, ", '">=5.10," compares no version'),
        ("kernel version >=five", '"five" is no version; write numbers with dots, as in ">=5.10, <7"'),
        (f"kernel version >={'1.' * 40}1", "is no version"),
        (f"kernel version {','.join(['>1'] * 17)}", "at most 16 comparisons of a version"),
        ("kernel version >=7, <5", 'no version can be ">=7, <5"'),
        ("kernel version >7, <=7", "no version can be"),
        ("kernel version ==7, ==8", "no version can be"),
        ("name matches (", 'the pattern "(" has a ( without its )'),
        ("x == " + "y" * 5000, "a constraint has at most 5,000 characters, this one has 5,005"),
    ],
    ids=lambda value: value[:30],
)
def test_a_faulty_constraint_is_refused_where_it_is(text: str, words: str):
    for _ in range(2):  # the second time it might come from what is remembered
        with pytest.raises(SpecError) as caught:
            parse_constraint(text, "$.constraints[3]")
        assert caught.value.path == "$.constraints[3]"
        assert words in caught.value.problem


def test_a_missing_label_only_satisfies_a_difference():
    for text in (
        "a == 1",
        "a in 1, 2",
        "a < 2",
        "a <= 1",
        "a > 0",
        "a >= 1",
        "a version >=1",
        "a matches .*",
    ):
        assert allowed(text, a="1")
        assert not allowed(text)
    for text in ("a != 1", "a not in 1, 2"):
        assert not allowed(text, a="1")
        assert allowed(text, a="3")
        assert allowed(text)


def test_lists_are_of_whole_values():
    assert allowed("zone in eu west, us", zone="eu west")
    assert not allowed("zone in eu west, us", zone="eu")
    assert not allowed("zone in a, b", zone="a, b")


@pytest.mark.parametrize(
    ("text", "value", "is_so"),
    [
        ("n >= 16", "16", True),
        ("n > 16", "16", False),
        ("n <= 16", "16.0", True),
        ("n < 16", "9", True),
        ("n < 16", "-1e3", True),
        ("n < 1.5", "1.25", True),
        ("n > .5", "0.6", True),
        ("n > 9007199254740992", "9007199254740993", True),
        ("n < 5", "many", False),
        ("n >= 0", "", False),
        ("n >= 0", " 1", False),
        ("n >= 0", "٣", False),
        ("n >= 0", "1_0", False),
        ("n >= 0", "inf", False),
        ("n >= 0", "1e999", False),
        ("n >= 0", "1" * 65, False),
    ],
)
def test_orderings_compare_numbers(text: str, value: str, is_so: bool):
    assert allowed(text, n=value) == is_so


@given(st.integers(), st.integers(), SIGNS.filter(lambda sign: sign not in ("==", "!=")))
def test_whole_numbers_are_compared_as_python_does(left: int, right: int, sign: str):
    assert allowed(f"n {sign} {right}", n=str(left)) == eval(f"{left} {sign} {right}")


@pytest.mark.parametrize(
    ("text", "value", "is_so"),
    [
        ("v version >=5.10, <7", "5.9", False),
        ("v version >=5.10, <7", "5.10", True),
        ("v version >=5.10, <7", "v6.12.3", True),
        ("v version >=5.10, <7", "7.0.0", False),
        ("v version >=5.10, <7", "7-rc.1", True),
        ("v version >5.10", "5.10.0", False),
        ("v version ==v1.2", "1.2.0+build.7", True),
        ("v version !=1.2", "1.2.1", True),
        ("v version !=1.2", "1.2", False),
        ("v version !=1.2", "none", False),
        ("v version >=0", "1.2.", False),
        ("v version >=0", "1" * 65, False),
        ("v version >=1.0-rc.1", "1.0-rc", False),
        ("v version <=0", "0.0", True),
    ],
)
def test_versions_are_compared_number_by_number(text: str, value: str, is_so: bool):
    assert allowed(text, v=value) == is_so


def test_a_pattern_is_for_the_whole_value():
    assert allowed("name matches gpu-[0-9]+", name="gpu-17")
    assert not allowed("name matches gpu-[0-9]+", name="gpu-17b")
    assert not allowed("name matches gpu-[0-9]+", name="a-gpu-17")


def test_a_node_is_asked_for_its_attributes_and_its_labels():
    node = Node(
        "gpu-1",
        runtime="process",
        platform="linux/arm64",
        address="10.0.0.7",
        labels={"name": "x", "disk": "ssd"},
    )
    for text, is_so in [
        ("node.name matches gpu-.*", True),
        ("node.name == x", False),
        ("name == x", True),
        ("node.runtime in docker, process", True),
        ("node.platform == linux/amd64", False),
        ("node.platform != linux/amd64", True),
        ("node.address == 10.0.0.7", True),
        ("disk == ssd", True),
        ("zone not in a", True),
    ]:
        assert parse_constraint(text).admits(node) == is_so, text


def test_an_unknown_platform_is_like_a_missing_label():
    node = Node("a")
    assert not parse_constraint("node.platform matches .*").admits(node)
    assert parse_constraint("node.platform != linux/arm64").admits(node)


@given(NODES, TEXTS)
def test_labels_alone_say_the_same_unless_it_is_about_the_node_itself(node: Node, text: str):
    constraint = parse_constraint(text)
    if not constraint.label.startswith("node."):
        assert constraint.admits(node) == constraint.allows(node.labels)


def test_name_and_address_are_one_nodes_alone():
    alone = {
        text
        for text in ("name", "address", "platform", "runtime")
        if Constraint(f"node.{text}", "==", "x").about_name
    }
    assert alone == {"name", "address"}
    assert not parse_constraint("name == x").about_name


def test_one_made_by_hand_is_checked_when_it_is_asked():
    with pytest.raises(SpecError, match="compares numbers"):
        Constraint("cores", ">", "many").allows({"cores": "3"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a == 1", "a == 2"),
        ("a == 1", "a != 1"),
        ("a in 1, 2", "a not in 2, 1, 3"),
        ("a in x, y", "a == z"),
        ("a == abc", "a > 3"),
        ("a in 1, 2", "a >= 3"),
        ("a == 5.9", "a version >=5.10"),
        ("a == cpu-1", "a matches gpu-.*"),
        ("a > 5", "a < 3"),
        ("a >= 5", "a < 5"),
        ("a > 5", "a <= 5.0"),
        ("a version >=7", "a version <5.10"),
        ("a version ==7", "a version >7.0"),
        ("node.name == a", "node.name == b"),
    ],
)
def test_two_that_nothing_satisfies_contradict_each_other(one: str, other: str):
    for first, second in ((one, other), (other, one)):
        with pytest.raises(SpecError) as caught:
            Task("t", image="x", constraints=["b == 1", first, second])
        assert caught.value.path == "$.constraints[2]"
        assert caught.value.problem == (
            f'"{parse_constraint(second)}" contradicts $.constraints[1], "{parse_constraint(first)}"'
        )


@pytest.mark.parametrize(
    "texts",
    [
        ["a == 1", "a == 1"],
        ["a == 1", "b == 2"],
        ["a in 1, 2", "a in 2, 3", "a != 1", "a >= 2", "a version <3", "a matches [0-9]"],
        ["a != 1", "a not in 1, 2", "a > 0", "a < 5", "a >= 5e-1", "a <= 5"],
        ["a >= 5", "a <= 5"],
        ["a version >=5", "a version <7", "a version !=6"],
        ["a > 5", "a version <3"],  # one cannot quickly tell
        ["a matches x", "a matches y"],
    ],
)
def test_others_do_not(texts: list[str]):
    assert Task("t", image="x", constraints=texts).constraints == tuple(texts)


@given(TEXTS, TEXTS.map(lambda text: text.split(maxsplit=1)), VALUE | NUMBER | VERSION)
def test_what_satisfies_both_shows_that_they_do_not_contradict(one: str, rest: list[str], value: str):
    label = parse_constraint(one).label
    other = parse_constraint(" ".join(["x", *rest[1:]])) if len(rest) == 2 else parse_constraint("x != y")
    both = [parse_constraint(one), other._replace(label=label)]
    if all(constraint.allows({label: value}) for constraint in both):
        Task("t", image="x", constraints=[str(constraint) for constraint in both])
