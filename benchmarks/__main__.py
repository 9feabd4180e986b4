"""Measure every operator x method x mode against its peers, over n.

For each of them: the times of the value and of the gradient, how long they take to
compile, and how much memory the gradient's program needs. Each library has a process of
its own, and the processes take turns. Writes a file of results, a page of tables and
figures; results of an earlier run stay where this one measures nothing with `--keep`.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _cases, _machine, _report
from ._cases import FLOOR, HERE, PEERS, QUICK, REFERENCE
from ._environment import NoEnvironment, default_folder, prepare
from ._results import Results, case_of, summarize
from ._turns import Limits, Process, measure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few cases and sizes, in two minutes")
    add("--ops", nargs="+", choices=_cases.OPS, default=None)
    add("--methods", nargs="+", choices=_cases.METHODS, default=None)
    add("--modes", nargs="+", default=None)
    add("--sizes", nargs="+", type=int, default=None)
    add("--batch", type=int, default=1, help="rows of that size")
    add("--softness", type=float, default=0.1)
    add("--repeats", type=int, default=None, help="rounds at most")
    add("--budget", type=float, default=1.0, help="seconds of a call if n is to grow")
    add("--patience", type=float, default=None, help="seconds until a case is given up")
    add("--memory", type=float, default=4.0, help="GiB that a program may need")
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    add("--no-peers", action="store_const", const=[], dest="peers")
    add("--environment", type=Path, default=default_folder(), help="of the peers")
    add("--python", help="interpreter to make that environment from")
    add("--output", type=Path, default=None, help="folder for what is written")
    add("--keep", action="store_true", help="add to the results that are there")
    add("--render", action="store_true", help="measure nothing, write page and figures")
    options = parser.parse_args()
    defaults: dict[str, Any] = dict(
        ops=_cases.OPS,
        methods=_cases.METHODS,
        modes=_cases.MODES,
        sizes=_cases.SIZES,
        repeats=15,
        patience=90.0,
        output=_machine.ROOT / "docs",
    )
    if options.quick:
        # Elsewhere, so that what is published stays.
        defaults |= QUICK | dict(output=_machine.ROOT / "build/performance")
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def find_pythons(peers: Sequence[str], options: argparse.Namespace) -> dict[str, str]:
    """The interpreter of each library; without that on PyPI if it can't be had."""
    pythons = dict.fromkeys((HERE, FLOOR, *peers), sys.executable)
    if peers:
        try:
            python = prepare(options.environment, options.python)
            pythons |= dict.fromkeys(peers, python)
        except NoEnvironment as error:
            print(f"Without {REFERENCE}: {error}", file=sys.stderr)
            pythons.pop(REFERENCE, None)
    return pythons


def run(options: argparse.Namespace, path: Path) -> None:
    """Measure, writing the file anew after each case, so that nothing is lost."""
    pythons = find_pythons(options.peers, options)
    processes = {name: Process(name, python) for name, python in pythons.items()}
    limits = Limits(options.repeats, options.budget, options.patience, options.memory)
    todo = _cases.cases(options.ops, options.methods, options.modes)
    settings = dict(softness=options.softness, batch=options.batch, **limits._asdict())
    records: list[dict] = []
    earlier: list[str] = []
    if options.keep and path.exists():
        kept = Results.read(path)
        records = kept.records
        earlier = [kept.machine["commit"], *kept.machine.get("earlier", [])]
        # A case that was late in any run took longer than the least of the limits.
        for name in ("budget", "patience"):
            settings[name] = min(settings[name], kept.settings[name])
    start = time.perf_counter()
    try:
        peers = [name for name in PEERS if name in processes]
        machine = _machine.describe(
            processes[HERE].start(), processes[peers[0]].start() if peers else None
        )
        machine["earlier"] = [
            commit for commit in dict.fromkeys(earlier) if commit != machine["commit"]
        ]
        for number, case in enumerate(todo, 1):
            # Earlier results of a case are kept until now, as a run may be interrupted.
            records = [
                record
                for record in records
                if case_of(record) != case or record["n"] not in options.sizes
            ]
            for record in measure(
                case,
                sorted(options.sizes),
                options.batch,
                options.softness,
                processes,
                limits,
            ):
                records.append(record)
                print(summarize(record), flush=True)
            Results(machine, settings, records).save(path)
            elapsed = (time.perf_counter() - start) / 60
            print(f"{number} of {len(todo)} cases after {elapsed:.1f} min", flush=True)
    finally:
        for process in processes.values():
            process.stop()


def main() -> None:
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "performance.json"
    if not options.render:
        run(options, path)
    for written in _report.write(path, options.output):
        print(f"Saved {written}")


if __name__ == "__main__":
    main()
