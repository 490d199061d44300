"""Plots of simulations, with matplotlib: ``pip install "minorch[plot]"``.

Each takes results and returns a figure, which a notebook shows; or takes an ``ax`` to draw into, and returns
that.  No setting of matplotlib is changed and no figure is kept, so nothing has to be closed.  Colours can be
told apart by the colour-blind: those of Okabe and Ito ("Color Universal Design", 2008), and *cividis*.
"""

from minorch.plot.bars import Compared, comparison_bars
from minorch.plot.gantt import gantt
from minorch.plot.heatmap import utilisation_heatmap
from minorch.plot.waits import wait_cdf

__all__ = ["Compared", "comparison_bars", "gantt", "utilisation_heatmap", "wait_cdf"]
