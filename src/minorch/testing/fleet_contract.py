"""The contract of a fleet as tests. Subclass :class:`FleetContract` and say how yours is made.

::

    class TestMine(FleetContract):
        def make_fleet(self, tmp_path: Path) -> Fleet:
            return MyFleet("inventory.toml")

        def change(self, fleet: Fleet, name: str) -> None:
            my_inventory.set_label(name, "rack", str(next(self.numbers)))

What :class:`minorch.contracts.Fleet` says is tested here, through its calls only; that its runtimes do what
runtimes do is for :class:`~minorch.testing.runtime_contract.RuntimeContract`.
"""

# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from minorch.contracts import Fleet, Member, Runtime
from minorch.errors import RuntimeFault
from minorch.testing.runtime_contract import eventually

__all__ = ["FleetContract"]


class FleetContract:
    """Every test here must pass for every fleet."""

    patience_s = 15.0
    """How long it may take until a change is told."""

    def make_fleet(self, tmp_path: Path) -> Fleet:
        """Return a new fleet of at least one machine that answers.

        Called again with the same path, it stands for a program that is started again.
        """
        raise NotImplementedError

    def change(self, fleet: Fleet, name: str) -> None:
        """Have a machine offer something else than before, each time: another label, another availability."""
        raise NotImplementedError

    # -- what the tests use ------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def counted(self) -> None:
        """So that each change can be another one."""
        self.numbers = itertools.count(1)

    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        """The fleet under test."""
        with contextlib.closing(self.make_fleet(tmp_path)) as fleet:
            yield fleet

    def other(self, told: list[Member], before: Member) -> Member:
        """Wait until a machine was told to be another than it was; return what was told of it last."""

        def look() -> Member | None:
            name = before.node.name
            latest = next((member for member in reversed(told) if member.node.name == name), before)
            return latest if latest != before else None

        found = eventually(look, within_s=self.patience_s)
        assert found is not None
        return found

    # -- which machines there are ------------------------------------------------------------------------

    def test_it_is_a_fleet(self, fleet: Fleet) -> None:
        assert isinstance(fleet, Fleet)
        assert fleet.name
        assert fleet.engine_lost_s is None or fleet.engine_lost_s >= 0

    def test_its_machines_have_names_of_their_own_and_are_there(self, fleet: Fleet) -> None:
        members = fleet.members()
        assert members
        names = [member.node.name for member in members]
        assert len(set(names)) == len(names)
        assert not [member.node.name for member in members if member.gone]

    def test_each_has_a_runtime_which_answers_or_says_why_not(self, fleet: Fleet) -> None:
        answered = 0
        for member in fleet.members():
            assert isinstance(member.runtime, Runtime)
            try:
                answered += bool(member.runtime.describe().platform)
            except RuntimeFault as error:
                if not str(error):
                    pytest.fail(f"nobody is told why {member.node.name} does not answer")
        assert answered, "one machine at least has to answer here"

    def test_whoever_asks_again_is_told_of_the_same_machines_and_runtimes(self, fleet: Fleet) -> None:
        first = {member.node.name: member.runtime for member in fleet.members()}
        again = {member.node.name: member.runtime for member in fleet.members()}
        assert list(again) == list(first), "in the same order"
        assert all(again[name] is runtime for name, runtime in first.items())

    def test_names_are_the_same_after_a_start(self, tmp_path: Path) -> None:
        with contextlib.closing(self.make_fleet(tmp_path)) as fleet:
            before = [member.node.name for member in fleet.members()]
        with contextlib.closing(self.make_fleet(tmp_path)) as fleet:
            assert [member.node.name for member in fleet.members()] == before

    # -- what becomes of them ----------------------------------------------------------------------------

    def test_a_change_is_told_and_can_be_asked_for(self, fleet: Fleet) -> None:
        before = fleet.members()[0]
        told: list[Member] = []
        watch = fleet.watch(told.append)
        try:
            self.change(fleet, before.node.name)
            member = self.other(told, before)
        finally:
            watch.close()
        assert (member.node, member.availability) != (before.node, before.availability)
        assert member.runtime is before.runtime
        assert {one.node.name: one for one in fleet.members()}[before.node.name] == member

    def test_a_change_between_the_list_and_the_watch_is_told(self, fleet: Fleet) -> None:
        before = fleet.members()[0]
        self.change(fleet, before.node.name)
        told: list[Member] = []
        watch = fleet.watch(told.append)
        try:
            self.other(told, before)
        finally:
            watch.close()

    def test_who_does_not_listen_any_more_is_told_nothing(self, fleet: Fleet) -> None:
        before = fleet.members()[0]
        told: list[Member] = []
        watch = fleet.watch(told.append)
        watch.close()
        watch.close()
        until_then = list(told)
        self.change(fleet, before.node.name)
        later: list[Member] = []
        other = fleet.watch(later.append)
        try:
            self.other(later, before)
        finally:
            other.close()
        assert told == until_then

    # -- its end -----------------------------------------------------------------------------------------

    def test_closing_twice_is_fine_also_while_somebody_listens(self, tmp_path: Path) -> None:
        fleet = self.make_fleet(tmp_path)
        fleet.members()
        watch = fleet.watch(lambda member: None)
        fleet.close()
        fleet.close()
        watch.close()

    def test_one_that_was_never_asked_can_be_closed(self, tmp_path: Path) -> None:
        self.make_fleet(tmp_path).close()
