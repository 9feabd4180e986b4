from .problem import Potentials as Potentials, Transport as Transport
from .projection import TransportProjection as TransportProjection
