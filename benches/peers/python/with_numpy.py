"""The one work that NumPy is good for here: many small additions."""

import numpy as np
from protocol import TINY, TINY_ADDS, serve


def tiny_adds():
    step = np.array(TINY, np.float32)

    def run(show):
        x = np.zeros(3, np.float32)
        for _ in range(TINY_ADDS):
            x = x + step
            values = x.tolist()
        return values

    return run


serve(f"NumPy {np.__version__}", {"tiny_adds": tiny_adds})
