from .problem import (
    Potentials as Potentials,
    Transport as Transport,
    TransportProjection as TransportProjection,
)
