"""What every strategy must do, with each of its options."""

import minorch as mo
from minorch.testing.scheduler_contract import SchedulerContract
from minorch_cheapest import Cheapest


class TestCheapest(SchedulerContract):
    def make_scheduler(self) -> mo.Scheduler:
        return Cheapest()


class TestUnpricedIsFree(SchedulerContract):
    def make_scheduler(self) -> mo.Scheduler:
        return Cheapest(unpriced=0)
