"""Measure what others do faster once more, with fewer threads around it.

`python -m benchmarks.floors` takes from a file of results the cases and sizes in which
another library is faster, and measures them in three ways: as JAX runs programs by
default; in the thread that calls them, without a pool of threads to hand them to; and
so on a single core. Prints times of the other library over those of this one, and these
in parentheses: where ratios rise to 1, what is slower is the handing over, and not the
program.
"""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

from . import _machine
from .__main__ import find_pythons
from ._cases import HERE
from ._environment import default_folder
from ._results import Results
from ._tables import Ratio, faster, markdown, number, seconds
from ._turns import Limits, Process, measure


class Way(NamedTuple):
    """How programs run: in the calling thread or not, on one core or on all."""

    name: str
    inline: bool
    one_core: bool


WAYS = (
    Way("by default", False, False),
    Way("in the calling thread", True, False),
    Way("and on one core", True, True),
)[: 3 if hasattr(os, "sched_setaffinity") else 2]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.floors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--results", type=Path, default=_machine.ROOT / "docs/performance.json")
    add("--sizes", nargs="+", type=int, default=None, help="all by default")
    add("--environment", type=Path, default=default_folder(), help="of the peers")
    add("--python", help="interpreter to make that environment from")
    return parser.parse_args()


def measure_in(way: Way, todo: list[Ratio], options: argparse.Namespace) -> Results:
    """Records of all cases and sizes, by this library and those that are faster."""
    pythons = find_pythons([key[2] for key in todo], options)
    processes = {
        name: Process(name, python, inline=way.inline)
        for name, python in pythons.items()
    }
    settings = Results.read(options.results).settings
    limits = Limits(15, 0.5, 60.0, settings["memory"])
    cores = os.sched_getaffinity(0) if way.one_core else set()
    if cores:  # processes that are started take over what theirs may use
        os.sched_setaffinity(0, {max(cores)})
    records = []
    try:
        for case in dict.fromkeys(key[0] for key in todo):
            sizes = dict.fromkeys(key[1] for key in todo if key[0] == case)
            libraries = HERE, *(key[2] for key in todo if key[0] == case)
            taking_part = {name: processes[name] for name in dict.fromkeys(libraries)}
            order = settings["batch"], settings["softness"], taking_part, limits
            # Each size by itself, as those between are not asked for.
            for size in sizes:
                records += measure(case, [size], *order)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        for process in processes.values():
            process.stop()
    return Results({}, settings, records)


def main() -> None:
    options = parse()
    todo = [
        key
        for key in faster(Results.read(options.results))
        if options.sizes is None or key[1] in options.sizes
    ]
    found = [measure_in(way, todo, options) for way in WAYS]
    rows = []
    for case, n, library, kind in todo:
        ratios = [ratio_of(results, (case, n, library, kind)) for results in found]
        rows.append([" ".join(case), kind, str(n), library, *ratios])
    header = ("case", "of", "n", "library", *(way.name for way in WAYS))
    print(markdown(header, rows))


def ratio_of(results: Results, compared: Ratio) -> str:
    """Time of the other library over that of this one, which is in parentheses."""
    case, n, library, kind = compared
    ours, others = (results.find(case, n, name, kind) for name in (HERE, library))
    if not ours or not others or {ours["status"], others["status"]} != {"ok"}:
        return ""
    ratio = others["seconds"] / ours["seconds"]
    return f"{number(ratio)} ({seconds(ours['seconds'])})"


if __name__ == "__main__":
    main()
