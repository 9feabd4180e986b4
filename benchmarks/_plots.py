"""Figures: time against n, a panel for each method."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ._cases import FLOOR, FLOORS, HERE, KINDS, METHODS, PEERS, Case
from ._results import Results

FIGURES = ("sort", "rank", "argmax", "top_k", "median")
MODES: dict[str, Any] = {"smooth": "-", "c0": "--"}
"""Line styles of the modes that are drawn: more curves would hide each other."""

# Okabe and Ito's colours, which colour-blind people can tell apart, and markers.
STYLES = {
    HERE: ("#0072b2", "o"),
    FLOOR: ("#000000", ""),
    **dict(
        zip(
            PEERS,
            [("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v")],
            strict=True,
        )
    ),
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw a figure of each operator that was measured at several sizes."""
    plt.switch_backend("Agg")  # needs no screen
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for op in FIGURES:
        cases = results.cases(op)
        if not cases or len(results.sizes()) < 2:
            continue
        path = folder / f"performance_{op}.png"
        _draw_operator(results, op, path)
        written.append(path)
    return written


def _draw_operator(results: Results, op: str, path: Path) -> None:
    present = {case.method for case in results.cases(op)}
    methods = [method for method in METHODS if method in present]
    figure, grid = plt.subplots(
        2,
        len(methods),
        figsize=(2.4 * len(methods) + 1, 5.6),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    drawn: set[str] = set()
    for kind, row in zip(KINDS, grid, strict=True):
        for method, axes in zip(methods, row, strict=True):
            drawn |= _draw_panel(axes, results, op, method, kind)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.grid(which="major", color="0.92")
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"{kind} (ms)")
    for method, axes in zip(methods, grid[0], strict=True):
        axes.set_title(method, fontsize=10)
    for axes in grid[1]:
        axes.set_xlabel("n")
    figure.legend(
        handles=_legend(op, drawn),
        loc="outside lower center",
        ncols=len(STYLES),
        frameon=False,
        fontsize=9,
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_panel(
    axes: Axes, results: Results, op: str, method: str, kind: str
) -> set[str]:
    """Draw one method, and return the libraries that it has."""
    drawn = set()
    for library, (color, marker) in STYLES.items():
        for mode, line in MODES.items():
            if library == FLOOR and mode != "smooth":
                continue
            points = _points(results, Case(op, method, mode), library, kind)
            if not points:
                continue
            sizes, times = zip(*points, strict=True)
            style: dict[str, Any] = dict(color=color, marker=marker, linestyle=line)
            if library == FLOOR:
                style["linestyle"] = ":"
            axes.plot(sizes, times, **style, markersize=4, linewidth=1.2)
            drawn.add(library)
    return drawn


def _points(
    results: Results, case: Case, library: str, kind: str
) -> list[tuple[int, float]]:
    found = ((n, results.find(case, n, library, kind)) for n in results.sizes())
    return [
        (n, 1e3 * record["seconds"])
        for n, record in found
        if record and record["status"] == "ok"
    ]


def _legend(op: str, drawn: set[str]) -> list[Line2D]:
    handles = [
        Line2D(
            [],
            [],
            color=color,
            marker=marker,
            linestyle=":" if library == FLOOR else "-",
            label=FLOORS[op] if library == FLOOR else library,
        )
        for library, (color, marker) in STYLES.items()
        if library in drawn
    ]
    return handles + [
        Line2D([], [], color="0.4", linestyle=line, label=f'mode="{mode}"')
        for mode, line in MODES.items()
    ]
