"""Worker processes that take turns, so that other load falls on all alike."""

import concurrent.futures
import json
import os
import queue
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._cases import FLOOR, HERE, KINDS, Case, has
from ._machine import ROOT
from ._results import Record

SCRIPT = ROOT / "benchmarks/_worker.py"
START_LIMIT = 180.0


class Process:
    """Process of a library, started when it is first asked, and again if it died.

    Its programs run `inline` in the thread that calls them, or as JAX does by default.
    """

    def __init__(self, library: str, python: str, *, inline: bool = False):
        self.library, self.python = library, python
        self.words = ["inline"] if inline else []
        self.started = False

    def start(self) -> dict[str, Any]:
        """Start the worker, and return its description of itself."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        # Compilation is measured, and several processes share an accelerator.
        kept.pop("JAX_COMPILATION_CACHE_DIR", None)
        kept |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_ENABLE_X64": "0"}
        kept["TF_CPP_MIN_LOG_LEVEL"] = "3"
        if self.library == HERE:
            kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "solvers")])
        self.elsewhere = tempfile.TemporaryDirectory()
        self.log = Path(self.elsewhere.name) / "log"
        self.process = subprocess.Popen(
            [self.python, str(SCRIPT), self.library, *self.words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=kept,
            cwd=self.elsewhere.name,
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.started = True
        return self.ask(START_LIMIT, do="describe")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        answers = self.answers
        for line in self.process.stdout:
            answers.put(line)
        answers.put("")

    def ask(self, limit: float, **order: Any) -> dict[str, Any]:
        """Answer to an order; if none comes in time, the worker is stopped."""
        if not self.started:
            self.start()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.answers.get(timeout=limit)
        except queue.Empty:
            self.stop()
            return dict(status="late", why=f"takes over {limit:g} s")
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            said = self.log.read_text().strip().splitlines() or ["it said nothing"]
            self.stop()
            return dict(status="died", why=f"exit status {code}: {said[-1][:200]}")
        return json.loads(line)

    def stop(self) -> None:
        if not self.started:
            return
        self.started = False
        self.process.kill()
        self.process.wait()
        self.elsewhere.cleanup()


class Limits(NamedTuple):
    """Limits of repetition, time and memory.

    - `repeats`: rounds at most.
    - `budget`: seconds that a call may take if n is to grow. After three rounds, all
        rounds of a case may take so many for each program that takes part.
    - `patience`: seconds after which a case is given up.
    - `memory`: GiB that a program may need.
    """

    repeats: int
    budget: float
    patience: float
    memory: float


def measure(
    case: Case,
    sizes: Sequence[int],
    batch: int,
    softness: float,
    processes: dict[str, Process],
    limits: Limits,
) -> Iterator[Record]:
    """Records of a case, for each library, kind and size.

    Where there is nothing to measure, the record says why. No more records of the kind
    follow for larger sizes then, nor if a call took more than the budget.
    """
    growing = [
        (library, kind)
        for kind in KINDS
        for library in processes
        if library == FLOOR or has(library, case)
    ]
    for size in sizes:
        order = dict(case=list(case), shape=[batch, size], softness=softness)
        order["memory_limit"] = limits.memory * 2**30
        found = _prepare(growing, processes, order, limits.patience)
        _take_turns(found, processes, limits)
        _compare(found)
        for (library, kind), record in found.items():
            start = dict(library=library, **case._asdict(), n=size, kind=kind)
            yield start | record
        growing = [
            key
            for key, record in found.items()
            if record["status"] == "ok" and record["seconds"] <= limits.budget
        ]


def _prepare(
    growing: list[tuple[str, str]],
    processes: dict[str, Process],
    order: dict[str, Any],
    patience: float,
) -> dict[tuple[str, str], Record]:
    """First records of a size: compilations and first calls.

    As many libraries compile at a time as there are cores. Calls, which need all of
    them, are made one after another.
    """
    kinds: dict[str, list[str]] = {}
    for library, kind in growing:
        kinds.setdefault(library, []).append(kind)
    programs = {
        library: _Programs(processes[library], order, patience) for library in kinds
    }

    def compile_all(library: str) -> None:
        programs[library].compile(kinds[library])

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_all, kinds))
    for library in kinds:
        programs[library].begin(kinds[library])
    return {key: programs[key[0]].records[key[1]] for key in growing}


class _Programs:
    """Programs of one library and size, with a record of each kind, values first.

    A program is compiled anew if a later one stopped the worker. A gradient, which
    includes the value, is late where that is.
    """

    def __init__(self, process: Process, order: dict[str, Any], patience: float):
        self.process = process
        self.order = order
        self.patience = patience
        self.records: dict[str, Record] = {}

    def compile(self, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self.records[kind] = self._ask(do="compile", kind=kind, **self.order)

    def begin(self, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self._begin(kind)
        # What stopped the worker is not called again, and the others are.
        if not self.process.started:
            for kind in kinds:
                self._begin(kind)

    def _begin(self, kind: str) -> None:
        if self.records[kind]["status"] == "ok" and not self.process.started:
            self.compile([kind])
        if self.records[kind]["status"] == "ok":
            answer = self._ask(do="begin", kind=kind)
            before = self.records[kind] if answer["status"] == "ok" else {}
            self.records[kind] = before | answer

    def _ask(self, **order: Any) -> Record:
        value = self.records.get("value", {})
        if value.get("status") == "late":
            return dict(value)
        return self.process.ask(self.patience, **order)


def _take_turns(
    found: dict[tuple[str, str], Record],
    processes: dict[str, Process],
    limits: Limits,
) -> None:
    """Replace the first times in the records by medians."""
    taken: dict[tuple[str, str], list[float]] = {
        key: [] for key, record in found.items() if record["status"] == "ok"
    }
    start = time.perf_counter()
    for done in range(limits.repeats):
        spent = time.perf_counter() - start
        if done >= 3 and spent > limits.budget * len(taken):
            break
        for (library, kind), times in taken.items():
            record = found[library, kind]
            # More calls would not make a program less slow.
            if record["status"] != "ok" or record["seconds"] > limits.budget:
                continue
            answer = processes[library].ask(limits.patience, do="run", kind=kind)
            if answer["status"] == "ok":
                times.append(answer["seconds"])
            else:
                found[library, kind] = answer
    for key, times in taken.items():
        if times and found[key]["status"] == "ok":
            found[key]["seconds"] = statistics.median(times)


def _compare(found: dict[tuple[str, str], Record]) -> None:
    """Replace results by their differences from those of this library.

    A difference is the largest one of two entries over the largest entry.
    """
    results = {
        library: np.asarray(record.pop("result"))
        for (library, _), record in found.items()
        if "result" in record
    }
    ours = results.get(HERE)
    for library, result in results.items():
        if ours is None or library in (HERE, FLOOR):
            continue
        off = np.inf
        if result.shape == ours.shape:
            off = float(np.max(np.abs(result - ours)) / np.max(np.abs(ours)))
        # JSON knows no infinity.
        found[library, "value"]["difference"] = off if np.isfinite(off) else None
