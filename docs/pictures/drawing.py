"""Figures for light and for dark pages, and what they have in common."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What is drawn in these two colours is redrawn in others for dark pages.
INK, GRID = "#1f2329", "#dcdfe4"
DARK = {INK: "#d5d8df", GRID: "#464b58"}
WIDTH = 6.8

COLORS = {
    "hard": "#8d939e",
    "smooth": "#2f7ed8",
    "c0": "#e8710a",
    "c1": "#c9a200",
    "c2": "#1a9e5c",
    "cubic": "#b05ad8",
    "quintic": "#e0508c",
    "pseudohuber": "#0ea5b7",
}
DASHED = ("cubic", "quintic")


class Pictures:
    """Saves figures, as SVG for light and for dark pages."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @contextmanager
    def figure(self, name: str, rows: int = 1, columns: int = 1, **options: Any):
        options = dict(layout="constrained", height=2.3) | options
        size = (WIDTH, options.pop("height"))
        figure, axes = plt.subplots(rows, columns, figsize=size, **options)
        yield figure, axes
        path = self.folder / f"{name}.svg"
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)
        drawing = path.read_text()
        for light, dark in DARK.items():
            drawing = drawing.replace(light, dark)
        path.with_name(f"{name}-dark.svg").write_text(drawing)


def plot_mode(axes: Axes, x: Any, y: Any, mode: str) -> None:
    """A curve in the colour of its mode, the hard one thick, with gaps at jumps."""
    y = np.array(y, np.float64)
    style = {}
    if mode == "hard":
        style = dict(lw=3.5, alpha=0.6)
        y[:-1][np.abs(np.diff(y)) > 0.2] = np.nan
    axes.plot(x, y, color=COLORS[mode], label=mode, **style)


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, of what one of them has."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "softjax",  # the same file for the same picture
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
