"""Objects that a user names on the command line."""

import importlib
import sys
from typing import Any


def load(name: str) -> Any:
    """`module:name`, of a module that is looked for in the current folder too."""
    if ":" not in name:
        raise SystemExit(f"{name!r} is not of the form module:name.")
    module, _, attribute = name.partition(":")
    sys.path.insert(0, "")
    return getattr(importlib.import_module(module), attribute)
