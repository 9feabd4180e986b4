from .problem import (
    Potentials as Potentials,
    TransportProjection as TransportProjection,
)
