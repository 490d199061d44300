from __future__ import annotations

import pytest
from hypothesis import given

from minorch.errors import SpecError
from minorch.ids import RunKey, check_id, check_name, instance_name
from tests.core.strategies import IDS, NAMES

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize("name", ["a", "0", "A-b_c.d", "x" * 63])
def test_a_name_is_letters_digits_and_a_few_signs(name: str):
    assert check_name(name, "task") == name


@pytest.mark.parametrize(
    "name", ["", "x" * 64, ".a", "-a", "_a", "a b", "a/b", "../a", "é", "a\n", "a\0", "٣", "a[1]"]
)
def test_what_cannot_be_a_name_is_refused_with_the_rule(name: str):
    with pytest.raises(SpecError, match=r"cannot name a task: use 1 to 63 letters, digits") as caught:
        check_name(name, "task", "$.tasks[1].name")
    assert caught.value.path == "$.tasks[1].name"


@pytest.mark.parametrize("name", [None, 5, b"a"])
def test_a_name_is_text(name: object):
    with pytest.raises(SpecError, match=rf"^\$\.name: the name of a node is text, not {type(name).__name__}"):
        check_name(name, "node")


def test_an_id_is_32_lower_case_hexadecimal_digits():
    assert check_id(ID, "task") == ID


@pytest.mark.parametrize("value", ["", ID[:-1], ID + "0", ID.upper(), ID + "\n", 5, None, 10**400])
def test_what_cannot_be_an_id_is_refused(value: object):
    with pytest.raises(SpecError, match="is not the id of a task"):
        check_id(value, "task")


@given(IDS, NAMES)
def test_ids_and_names_as_the_other_tests_draw_them_are_fine(an_id: str, name: str):
    check_id(an_id, "task")
    check_name(name, "task")


def test_the_name_of_a_run_holds_all_that_identifies_it():
    assert RunKey(ID, 2, 3).name == f"minorch-{ID}-2-3"


def test_an_instance_is_named_after_its_task_and_number():
    assert instance_name("greet", None) == "greet"
    assert instance_name("greet", 0) == "greet[0]"
