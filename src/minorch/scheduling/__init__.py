"""The scheduling core: views, filters, the strategy's base class, plans and explanations."""

from minorch.scheduling.board import Board
from minorch.scheduling.explain import Blocked, Choice, Explanation, NearestMiss, Refused
from minorch.scheduling.filters import CustomFilter, Filters, Refusal
from minorch.scheduling.job_plan import (
    JobChanges,
    JobPlan,
    PlannedPlacement,
    PlannedPreemption,
    PlannedWait,
)
from minorch.scheduling.plan import Placement, Plan, make_plan
from minorch.scheduling.rebalance import Move, Rebalance
from minorch.scheduling.scheduler import CostFunction, FunctionScheduler, Scheduler
from minorch.scheduling.view import ClusterView, NodeView, TaskView

__all__ = [
    "Blocked",
    "Board",
    "Choice",
    "ClusterView",
    "CostFunction",
    "CustomFilter",
    "Explanation",
    "JobChanges",
    "JobPlan",
    "Move",
    "NearestMiss",
    "PlannedPlacement",
    "PlannedPreemption",
    "PlannedWait",
    "Rebalance",
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
