"""Recorded workloads: published traces in their own formats, and what really happened on a cluster."""

from minorch.simulation.traces.alibaba2018 import load_alibaba2018
from minorch.simulation.traces.azure2020 import load_azure2020
from minorch.simulation.traces.events import Recording, from_events, load_events, save_events
from minorch.simulation.traces.google2011 import load_google2011
from minorch.simulation.traces.openb import load_openb
from minorch.simulation.traces.swf import load_swf
from minorch.simulation.traces.trace import Trace

__all__ = [
    "Recording",
    "Trace",
    "from_events",
    "load_alibaba2018",
    "load_azure2020",
    "load_events",
    "load_google2011",
    "load_openb",
    "load_swf",
    "save_events",
]
