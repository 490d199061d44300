"""The figure that plots are drawn into. It imports matplotlib, and so is imported only when one is drawn."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["PlotFigure"]


class PlotFigure(Figure):
    """A figure that a notebook shows by itself, although pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=self.dpi)
        return picture.getvalue()
