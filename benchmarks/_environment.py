"""A virtual environment with the peers; one has a package of the same name as this."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

PACKAGE = "softjax", "0.1.1"
SHARED = ("jax", "ott-jax", "jaxopt")
"""In the versions that this process would import, to compare libraries only."""
OLDEST = (3, 12)
"""Python versions before this one can't install it."""

_ASK = """
import importlib.metadata as m, json, sys
print(json.dumps([m.version(name) for name in sys.argv[1:]]))
"""


class NoEnvironment(Exception):
    """There is no interpreter to make it from, or installing failed."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "softjax-benchmarks"


def find_interpreter() -> str:
    """A Python that is new enough: this one, one on the path, or one of pyenv's.

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
    """The interpreter of the environment in `folder`, which is made if need be.

    **Raises:** `NoEnvironment`.
    """
    folder = folder.absolute()
    python = folder / "bin/python"
    wanted: dict[str, str] = dict(
        [PACKAGE, *((name, version(name)) for name in SHARED)]
    )
    if not python.exists() or not _has(python, wanted):
        interpreter = interpreter or find_interpreter()
        print(f"Installing {', '.join(wanted)} in {folder}", flush=True)
        found = shutil.which(interpreter) or interpreter
        _must(found, "-m", "venv", "--clear", str(folder))
        pinned = [f"{name}{_extra(name)}=={v}" for name, v in wanted.items()]
        _must(str(python), "-m", "pip", "install", "--quiet", *pinned)
    return str(python)


def _has(python: Path, wanted: dict[str, str]) -> bool:
    asked = _run(str(python), "-c", _ASK, *wanted)
    return not asked.returncode and json.loads(asked.stdout) == [*wanted.values()]


def _extra(package: str) -> str:
    """What JAX needs to use the accelerator that it uses here."""
    if package != "jax":
        return ""
    installed = {each.name.lower() for each in distributions() if each.name}
    extras = [v for v in ("cuda12", "cuda13") if f"jax-{v}-plugin" in installed]
    return f"[{extras[0]}]" if extras else ""


def _must(*command: str) -> None:
    done = _run(*command)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise NoEnvironment(f"{' '.join(command[1:4])}: {said[-1]}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """As from outside of the repository, whose package has the same name."""
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    folder = Path(command[0]).parent
    return subprocess.run(
        command, capture_output=True, text=True, env=outside, cwd=folder
    )
