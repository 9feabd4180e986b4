"""Draws the pictures of the documentation, all of them, into a folder.

Run as `python docs/gallery.py FOLDER`, or with the names of some of `PARTS` after it;
building the site does it too. Each picture is drawn once, without a background, and
saved twice: NAME.svg for a light page and NAME-dark.svg, in which ink and grid have
other colours.
"""

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

# Most of the time is compilation, of programs that run once. Before JAX is imported,
# which reads this once, and dies of a flag it does not know.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + " --xla_cpu_use_fusion_emitters=false"
    * version("jaxlib").startswith("0.10."),
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import matplotlib as mpl
from pictures.coupled import draw_coupled
from pictures.curves import AXISWISE, ELEMENTWISE, MEDIAN_NEWTON
from pictures.drawing import STYLE, Pictures
from pictures.graphs import draw_sequences, draw_subsets, draw_trees_and_matchings
from pictures.measures import draw_padded, draw_weights
from pictures.operators import (
    draw_front,
    draw_logic,
    draw_methods,
    draw_operators,
    draw_permutations,
    draw_straight_through,
)
from pictures.programs import draw_flows, draw_programs
from pictures.projections import draw_convergence, draw_simplex
from pictures.randomness import draw_counts_and_perturbed, draw_randomness
from pictures.rows import (
    draw_counts,
    draw_log_probs,
    draw_losses,
    draw_metrics,
    draw_piecewise,
    draw_running,
    draw_segments,
)
from pictures.structures import draw_alignment, draw_grid_paths

PARTS: dict[str, Callable[[Pictures], None]] = {
    "front": draw_front,
    "elementwise": lambda p: draw_operators(p, [*ELEMENTWISE, MEDIAN_NEWTON], False),
    "logic": draw_logic,
    "methods": draw_methods,
    "permutations": draw_permutations,
    "simplex": draw_simplex,
    "convergence": draw_convergence,
    "straight-through": draw_straight_through,
    "weights": draw_weights,
    "padded": draw_padded,
    "alignment": draw_alignment,
    "grid-paths": draw_grid_paths,
    "randomness": draw_randomness,
    "random-counts": draw_counts_and_perturbed,
    "piecewise": draw_piecewise,
    "running": draw_running,
    "counts": draw_counts,
    "log-probs": draw_log_probs,
    "segments": draw_segments,
    "losses": draw_losses,
    "metrics": draw_metrics,
    "programs": draw_programs,
    "flows": draw_flows,
    "coupled": draw_coupled,
    "sequences": draw_sequences,
    "trees": draw_trees_and_matchings,
    "subsets": draw_subsets,
    "axiswise": lambda p: draw_operators(p, AXISWISE, True),
}


def main(folder: Path, *parts: str) -> None:
    pictures = Pictures(folder)
    with mpl.rc_context(STYLE):
        for name in parts or PARTS:
            start = time.process_time()
            PARTS[name](pictures)
            print(f"{name}: {time.process_time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
