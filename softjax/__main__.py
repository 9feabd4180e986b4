"""`python -m softjax`: versions, devices, solvers, and a test of the installation."""

from __future__ import annotations

import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("softjax", "jax", "jaxlib", "equinox", "lineax", "optimistix")
SOLVERS = {"optimistix": "Optimistix", "jaxopt": "JAXopt", "ott-jax": "OTT-JAX"}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def main() -> int:
    start = time.perf_counter()
    for package in PACKAGES:
        print(f"{package:12}{_version(package) or 'not installed'}")
    print(f"{'python':12}{platform.python_version()}")

    import jax

    from . import _self_test, solvers

    print(f"{'devices':12}{', '.join(map(str, jax.devices()))}")
    others = [
        f"those of {name} {found}"
        for package, name in SOLVERS.items()
        if (found := _version(package))
    ]
    print(f"{'solvers':12}{', '.join([*solvers.SOLVERS, *others])}")
    print("\nself-test")
    failed = 0
    for name, wrong in _self_test.run():
        print(f"{'FAILED' if wrong else 'ok':8}{name}{wrong and ': '}{wrong}")
        failed += bool(wrong)
    took = time.perf_counter() - start
    print(f"\n{failed or 'none'} of {len(_self_test.CHECKS)} failed, {took:.1f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
