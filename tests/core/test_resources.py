from __future__ import annotations

import copy
import math
import pickle

import pytest
from hypothesis import example, given, strategies as st

from minorch.errors import SpecError
from minorch.resources import Resources, format_size, parse_cpu, parse_size
from tests.core.strategies import AMOUNTS, RESOURCES

NOTHING = Resources()

# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (1.5, 2),
        ("0", 0),
        ("12", 12),
        ("12b", 12),
        ("1k", 1000),
        ("1kB", 1000),
        ("1K", 1000),
        ("1Ki", 1024),
        ("1KiB", 1024),
        (" 512 MiB ", 512 * 1024**2),
        ("1.5gi", 1536 * 1024**2),
        (".5k", 500),
        ("2GB", 2 * 10**9),
        ("1TiB", 1024**4),
        ("1PB", 10**15),
        ("1024PiB", 2**60),
    ],
)
def test_a_size_is_bytes_or_text_with_a_unit(text: int | float | str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("512 MBB", '"512 MBB" is not a size; did you mean "MB"?'),
        ("5 bananas", '"5 bananas" is not a size; write bytes or e.g. 512MiB'),
        ("", '"" is not a size; write bytes or e.g. "512MiB"'),
        ("1e3", '"1e3" is not a size; write bytes'),
        ("-1k", "a size cannot be negative"),
        ("MiB", "is not a size"),
        ("1,5k", "is not a size"),
        ("٣", "is not a size"),
        ("9" * 5000, "is not a size"),
        ("1025PiB", "is more than 2**60 bytes"),
        (-1, "-1 is not a size; it cannot be negative"),
        (-(10**400), "an enormous number is not a size; it cannot be negative"),
        (10**400, "an enormous number is more than 2**60 bytes"),
        (math.nan, "nan is not a size"),
        (math.inf, "inf is not a size"),
        (True, "True is not a size"),
        (None, "None is not a size"),
    ],
)
def test_what_is_no_size_is_refused(text: object, words: str):
    with pytest.raises(SpecError) as caught:
        parse_size(text, "$.memory")  # type: ignore[arg-type]
    assert words in caught.value.problem
    assert caught.value.path == "$.memory"


@pytest.mark.parametrize(
    ("text", "millis"),
    [(0, 0), (1, 1000), (0.1 + 0.2, 300), ("500m", 500), ("1.5", 1500), (" 2 ", 2000), ("0.5m", 1)],
)
def test_cpu_is_cores_or_thousandths(text: float | str, millis: int):
    assert parse_cpu(text) == millis


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("500M", 'is not an amount of cpu; write cores, e.g. 0.5 or "500m"'),
        ("-1", "it cannot be negative; write cores"),
        ("half", "is not an amount of cpu"),
        (-0.5, "-0.5 is not an amount of cpu; it cannot be negative"),
        (math.nan, "nan is not an amount of cpu"),
        (False, "False is not an amount of cpu"),
        (1e10, "more than 10**9 cores"),
        (10**400, "an enormous number is more than 10**9 cores"),
    ],
)
def test_what_is_no_amount_of_cpu_is_refused(text: object, words: str):
    with pytest.raises(SpecError) as caught:
        parse_cpu(text)  # type: ignore[arg-type]
    assert words in caught.value.problem


def test_a_wish_is_rounded_up_never_down_to_nothing():
    assert parse_cpu(0.0001) == parse_cpu(1e-12) == 1
    assert parse_size(0.1) == 1
    assert Resources(gpu=1 / 3).custom == {"gpu": 0.334}


@given(st.integers(0, 2**60))
def test_a_size_can_be_read_from_its_number(size: int):
    assert parse_size(size) == parse_size(str(size)) == size


@given(st.integers(0, 10**12))
@example(999_999_999_999)
def test_thousandths_of_cpu_come_back_from_cores(millis: int):
    assert parse_cpu(millis / 1000) == millis


@given(st.integers(0, 2**60))
def test_a_formatted_size_reads_as_about_the_same(size: int):
    assert math.isclose(parse_size(format_size(size)), size, rel_tol=0.06, abs_tol=1)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (-1536, "-1.5 KiB"), (2**62, "4096.0 PiB")],
)
def test_a_size_is_shown_with_a_unit(size: int, text: str):
    assert format_size(size) == text


# -- making --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("memroy", "memory"),
        ("mem", "memory"),
        ("ram", "memory"),
        ("cpus", "cpu"),
        ("cores", "cpu"),
        ("storage", "disk"),
    ],
)
def test_a_slip_is_not_taken_for_a_resource_of_its_own(name: str, meant: str):
    with pytest.raises(
        SpecError, match=rf'^\$\.{name}: no resource is called "{name}"; did you mean "{meant}"'
    ):
        Resources(**{name: 1})


@pytest.mark.parametrize("name", ["gpu", "tpu", "nvidia.com/gpu", "licence-x", "a" * 63, "self"])
def test_a_resource_may_have_a_name_of_its_own(name: str):
    assert Resources(**{name: 2}).custom == {name: 2}


@pytest.mark.parametrize("name", ["GPU", "", "1a", "a b", "a" * 64, "é"])
def test_what_cannot_name_a_resource_is_refused_with_the_rule(name: str):
    with pytest.raises(SpecError, match="is not a resource name; use lower-case letters"):
        Resources(**{name: 1})


@pytest.mark.parametrize("amount", [-1, math.nan, "2", None, True, 2**60 + 1, 10**400])
def test_a_custom_amount_is_a_number(amount: object):
    with pytest.raises(SpecError) as caught:
        Resources(gpu=amount)  # type: ignore[arg-type]
    assert caught.value.path == "$.gpu"


def test_each_amount_is_blamed_by_its_own_path():
    for field in ("cpu", "memory", "disk"):
        with pytest.raises(SpecError) as caught:
            Resources(**{field: -1})
        assert caught.value.path == f"$.{field}"


def test_it_cannot_be_changed():
    amount = Resources(cpu=1)
    with pytest.raises(AttributeError, match="make a new one"):
        amount.cpu_millis = 5
    with pytest.raises(AttributeError, match="make a new one"):
        del amount.memory
    with pytest.raises(AttributeError):
        amount.other = 1  # type: ignore[attr-defined]


def test_nothing_is_false_and_the_least_amount_is_true():
    assert not NOTHING
    for amount in (Resources(cpu="1m"), Resources(memory=1), Resources(disk=1), Resources(gpu=0.001)):
        assert amount
    assert Resources(gpu=0) == NOTHING


# -- arithmetic ----------------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_adding_is_commutative_and_associative_and_nothing_adds_nothing(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + NOTHING == a == NOTHING + a


@given(AMOUNTS, AMOUNTS)
def test_what_is_reserved_and_released_leaves_no_trace(a, b):
    assert (a + b) - b == a
    assert a - a == NOTHING
    assert (a - b) + b == a
    assert hash((a + b) - b) == hash(a)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_fits_is_an_order_that_addition_keeps(a, b, c):
    assert a.fits(a)
    assert NOTHING.fits(a)
    assert a.fits(a + b)
    if a.fits(b) and b.fits(a):
        assert a == b
    if a.fits(b):
        assert (a + c).fits(b + c)
        if b.fits(c):
            assert a.fits(c)


@given(AMOUNTS, AMOUNTS)
def test_the_shortfall_is_the_least_that_makes_it_fit(a, room):
    lacking = a.shortfall(room)
    assert a.fits(room + lacking)
    assert bool(lacking) == (not a.fits(room))
    for (name, amount), (_, wanted) in zip(lacking.amounts(), a.amounts(), strict=False):
        assert amount <= wanted or name not in ("cpu", "memory", "disk")


@given(AMOUNTS, st.integers(1, 50))
def test_shares_together_are_never_more_than_the_whole(a, parts):
    share = a.share(parts)
    total = NOTHING
    for _ in range(parts):
        total += share
    assert total.fits(a)
    assert all(share.custom_millis.values())


def test_what_is_lacking_is_said_for_each_dimension():
    task = Resources(cpu=2, memory=100, gpu=2, fpga=1)
    assert task.shortfall(Resources(cpu=1, memory=200, gpu=1, fpga=1)) == Resources(cpu=1, gpu=1)
    assert not task.fits(Resources(cpu=2, memory=100, gpu=2))
    assert not Resources(disk=1).fits(Resources(cpu=9, memory=9))
    assert not Resources(memory=1).fits(Resources(cpu=9, disk=9))


def test_it_may_be_less_than_nothing_in_between():
    debt = NOTHING - Resources(cpu=1, memory=2048, gpu=1)
    assert (debt.cpu, debt.memory, debt.custom) == (-1, -2048, {"gpu": -1})
    assert debt + Resources(cpu=1, memory=2048, gpu=1) == NOTHING


def test_it_is_compared_with_its_like_only():
    assert Resources(cpu=1) != 1
    assert Resources(cpu=1) != Resources(cpu=2)
    assert len({Resources(gpu=1, fpga=1), Resources(fpga=1, gpu=1)}) == 1


def test_every_dimension_is_listed_in_order():
    amount = Resources(cpu=0.5, memory=1, gpu=2, fpga=1)
    assert list(amount.amounts()) == [("cpu", 500), ("memory", 1), ("disk", 0), ("fpga", 1000), ("gpu", 2000)]


# -- in and out ----------------------------------------------------------------------------------------------


@given(RESOURCES)
@example(Resources.of(999_999_999_999, 2**60, 0, {"gpu": 2**60 * 1000}))
@example(Resources(bytes=2**60 - 1))
def test_plain_data_and_pickle_give_it_back(amount: Resources):
    assert Resources.from_dict(amount.to_dict()) == amount
    for again in (copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        assert again(amount) == amount


def test_plain_data_is_what_a_person_would_write():
    amount = Resources(cpu=0.5, memory="1KiB", disk=7, gpu=2)
    assert amount.to_dict() == {"cpu": 0.5, "memory": 1024, "disk": 7, "gpu": 2}
    assert NOTHING.to_dict() == {}
    assert Resources.from_dict({"cpu": "500m", "memory": "1KiB", "disk": 7, "gpu": 2}) == amount


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"memory": "512 MBB"}, '$.a.memory: "512 MBB" is not a size'),
        ({"self": 1, "memroy": 1}, '$.a.memroy: no resource is called "memroy"'),
        ({1: 2}, "$.a: 1 is not a resource name"),
        ([1], "$.a: expected an object of amounts, got list"),
        (None, "$.a: expected an object of amounts, got NoneType"),
    ],
)
def test_faulty_plain_data_is_refused_with_its_path(data, words: str):
    with pytest.raises(SpecError) as caught:
        Resources.from_dict(data, "$.a")
    assert str(caught.value).startswith(words)


def test_it_is_shown_as_it_is_written():
    amount = Resources(cpu=0.5, memory="512MiB", disk=2048, gpu=2)
    assert repr(amount) == "Resources(cpu=0.5, memory='512.0 MiB', disk='2.0 KiB', gpu=2)"
    assert str(amount) == "cpu 0.5, memory 512.0 MiB, disk 2.0 KiB, gpu 2"
    assert (repr(NOTHING), str(NOTHING)) == ("Resources()", "nothing")
    assert eval(repr(amount)) == amount


def test_a_name_that_is_no_identifier_is_shown_so_that_python_reads_it():
    amount = Resources(cpu=1, **{"nvidia.com/gpu": 2, "pass": 1})
    assert repr(amount) == "Resources(cpu=1, **{'nvidia.com/gpu': 2}, **{'pass': 1})"
    assert eval(repr(amount)) == amount


def test_numbers_of_numpy_are_amounts():
    numpy = pytest.importorskip("numpy")
    found = Resources(cpu=numpy.int64(2), memory=numpy.int32(1024), gpu=numpy.float32(0.5))
    assert found == Resources(cpu=2, memory=1024, gpu=0.5)
    assert {type(one) for one in (found.cpu_millis, found.memory, *found.custom_millis.values())} == {int}
