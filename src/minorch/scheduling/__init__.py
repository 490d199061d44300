"""The scheduling core: views, filters, the strategy's base class, plans and explanations."""

from minorch.scheduling.board import Board
from minorch.scheduling.explain import Blocked, Explanation, Refused
from minorch.scheduling.filters import CustomFilter, Filters, Refusal
from minorch.scheduling.plan import Placement, Plan, make_plan
from minorch.scheduling.scheduler import CostFunction, FunctionScheduler, Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = [
    "Blocked",
    "Board",
    "ClusterView",
    "CostFunction",
    "CustomFilter",
    "Explanation",
    "Filters",
    "FunctionScheduler",
    "NodeView",
    "Placement",
    "Plan",
    "Refusal",
    "Refused",
    "Scheduler",
    "TaskView",
    "make_plan",
]
