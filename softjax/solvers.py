"""The optimization layer, `softjax_solvers`, under the name `softjax.solvers`."""

import typing as _typing

from softjax_solvers import *  # noqa: F403

if not _typing.TYPE_CHECKING:
    from softjax_solvers._deprecated import former_names as _former_names

    __getattr__ = _former_names(__name__)
