from .barrier import LogBarrier as LogBarrier
from .combined import Scaled as Scaled, Sum as Sum
from .entropy import Entropy as Entropy
from .pnorm import PNorm as PNorm
from .sigmoid import (
    BinaryEntropy as BinaryEntropy,
    Cubic as Cubic,
    PseudoHuber as PseudoHuber,
    Quintic as Quintic,
)
from .tsallis import Tsallis as Tsallis
from .two_sided import TwoSided as TwoSided
