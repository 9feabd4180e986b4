from .blocks import Blocks as Blocks, Groups as Groups
from .pooling import Rule as Rule, Summary as Summary
from .problem import (
    IsotonicRegression as IsotonicRegression,
    PermutahedronProjection as PermutahedronProjection,
)
