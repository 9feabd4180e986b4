from .problem import (
    Blocks as Blocks,
    Groups as Groups,
    PermutahedronProjection as PermutahedronProjection,
    Rule as Rule,
)
