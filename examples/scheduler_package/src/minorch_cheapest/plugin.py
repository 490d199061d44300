"""The hooks. Imported when somebody asks for a name that this package may offer."""

from collections.abc import Iterable

import minorch as mo
from minorch_cheapest.scheduler import Cheapest


@mo.hookimpl
def minorch_schedulers() -> Iterable[mo.SchedulerPlugin]:
    """The one strategy."""
    yield mo.SchedulerPlugin("cheapest", Cheapest, "the cheapest node first, by its price label")
