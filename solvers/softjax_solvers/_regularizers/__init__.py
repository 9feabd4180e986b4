from .entropy import Entropy as Entropy
from .pnorm import PNorm as PNorm
from .sigmoid import Cubic as Cubic
from .sigmoid import PseudoHuber as PseudoHuber
from .sigmoid import Quintic as Quintic
