"""Description of the machine and the versions that times depend on."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def describe(here: dict[str, Any], peers: dict[str, Any] | None) -> dict[str, Any]:
    """Description of the machine, with those that two workers give of themselves."""
    return dict(
        date=time.strftime("%Y-%m-%d"),
        commit=_output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        cpu=_cpu(),
        cores=_cores(),
        system=f"{platform.system()} {platform.release()}",
        driver=_output(*DRIVER),
        **here,
        peers=peers and {key: peers[key] for key in ("python", "jax", "packages")},
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":")[1].strip() for line in lines if "model name" in line
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cores() -> int | None:
    """Number of cores that this process may use, or of all if the system won't tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _output(*command: str) -> str | None:
    """The first line that a command prints, if it is there and succeeds."""
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return lines[0] if lines and not done.returncode else None
