"""The optimization layer, `softjax_solvers`, under the name `softjax.solvers`."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from softjax_solvers import *  # noqa: F403

if not _TYPE_CHECKING:
    from softjax_solvers._deprecated import former_names as _former_names

    __getattr__ = _former_names(__name__)
