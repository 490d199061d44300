"""The built-in strategies, one file each. Each promises in ``depends_on`` only what it keeps."""

from minorch.schedulers.bin_pack import BinPack
from minorch.schedulers.epvm import EPVM
from minorch.schedulers.least_loaded import LeastLoaded
from minorch.schedulers.random_choice import RandomChoice
from minorch.schedulers.round_robin import RoundRobin
from minorch.schedulers.spread import Spread

__all__ = ["EPVM", "BinPack", "LeastLoaded", "RandomChoice", "RoundRobin", "Spread"]
