"""Virtual environment of the peers, one of which has the name of this package."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

PACKAGE = "softjax", "0.1.1"
SHARED = ("jax", "ott-jax", "jaxopt")
"""Packages in the versions of this process, so that only libraries differ."""
OLDEST = (3, 12)
"""Oldest Python version that can install the peer of this package's name."""

_ASK = """
import importlib.metadata as m, json, sys
print(json.dumps([m.version(name) for name in sys.argv[1:]]))
"""


class NoEnvironment(Exception):
    """Raised if there is no interpreter for the environment, or installing fails."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "softjax-benchmarks"


def find_interpreter() -> str:
    """Python that is new enough: this one, one on the path, or one of pyenv's.

    **Raises:** `NoEnvironment` if there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [sys.executable]
    candidates += [
        found for v in (12, 13, 14) if (found := shutil.which(f"python3.{v}"))
    ]
    candidates += sorted(map(str, pyenv.glob("versions/3.1[2-9]*/bin/python")))
    for python in candidates:
        asked = _run(python, "-c", "import sys; print(*sys.version_info[:2])")
        if asked.returncode == 0 and tuple(map(int, asked.stdout.split())) >= OLDEST:
            return python
    needed = ".".join(map(str, OLDEST))
    raise NoEnvironment(f"no Python {needed} or newer; name one with --python")


def prepare(folder: Path, interpreter: str | None = None) -> str:
    """Interpreter of the environment in `folder`, which is made if need be.

    **Raises:** `NoEnvironment`.
    """
    folder = folder.absolute()
    python = folder / "bin/python"
    wanted: dict[str, str] = dict(
        [PACKAGE, *((name, version(name)) for name in SHARED)]
    )
    if not python.exists() or not _has_versions(python, wanted):
        interpreter = interpreter or find_interpreter()
        print(f"Installing {', '.join(wanted)} in {folder}", flush=True)
        found = shutil.which(interpreter) or interpreter
        _check_run(found, "-m", "venv", "--clear", str(folder))
        pinned = [f"{name}{_extra(name)}=={v}" for name, v in wanted.items()]
        _check_run(str(python), "-m", "pip", "install", "--quiet", *pinned)
    return str(python)


def _has_versions(python: Path, wanted: dict[str, str]) -> bool:
    asked = _run(str(python), "-c", _ASK, *wanted)
    return not asked.returncode and json.loads(asked.stdout) == [*wanted.values()]


def _extra(package: str) -> str:
    """Extra of the package `jax` for the accelerator that JAX uses here, or nothing."""
    if package != "jax":
        return ""
    installed = {each.name.lower() for each in distributions() if each.name}
    extras = [v for v in ("cuda12", "cuda13") if f"jax-{v}-plugin" in installed]
    return f"[{extras[0]}]" if extras else ""


def _check_run(*command: str) -> None:
    """Run a command, and raise `NoEnvironment` if it fails."""
    done = _run(*command)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise NoEnvironment(f"{' '.join(command[1:4])}: {said[-1]}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside of the repository, whose package has a peer's name."""
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    folder = Path(command[0]).parent
    return subprocess.run(
        command, capture_output=True, text=True, env=outside, cwd=folder
    )
