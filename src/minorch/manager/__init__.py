"""The manager: the state machine that turns intents and reports into placements and commands."""

from minorch.manager.config import ManagerConfig
from minorch.manager.manager import Manager, Step
from minorch.manager.timing import Stopwatch

__all__ = ["Manager", "ManagerConfig", "Step", "Stopwatch"]
