"""What the Python programs share: how they are spoken to, what they start from, and what they show of their results.

`protocol.rs` is the same for Rust, and says what the lines mean.
"""

import math
import sys
import time

import numpy as np

TINY_ADDS = 1_000_000
TINY = [0.25, -0.5, 1.0]

MNIST_BATCH = 64
GPT_BATCH = 12
GPT_CONTEXT = 128
GPT_WIDTH = 128
GPT_HEADS = 4
GPT_LAYERS = 4
GPT_VOCABULARY = 65
LEARNING_RATE = 1e-3


def serve(title, works):
    """Answers the driver's lines. A work is a function that gives the work made ready: a function of `show`."""
    ready = {}
    say(title)
    say(" ".join(works))
    for line in sys.stdin:
        try:
            say(" ".join(map(repr, answer(line.split(), works, ready))))
        except Exception as error:  # whatever it is, the driver tells
            say("error " + f"{type(error).__name__}: {error}".replace("\n", " "))


def say(line):
    print(line, flush=True)


def answer(words, works, ready):
    match words:
        case ["first", name]:
            ready[name] = works[name]()
            return [milliseconds(ready[name]), *shown(ready[name])]
        case ["time", name, count]:
            return [milliseconds(ready[name]) for _ in range(int(count))]
    raise ValueError("what is asked is `first NAME` or `time NAME COUNT`")


def milliseconds(work):
    """How long one run takes, until its result is dropped."""
    start = time.perf_counter()
    work(False)
    return (time.perf_counter() - start) * 1e3


def shown(work):
    """Numbers of a result to compare, at least three: the losses of training steps, or what there is of elements."""
    numbers = []
    while len(numbers) < 3:
        numbers += excerpt(np.asarray(work(True), np.float64).ravel())
    return numbers


def excerpt(values):
    """All numbers where they are few; else 64 of them, from first to last, and the root of the mean square of all."""
    kept = 64
    if len(values) <= kept:
        return values.tolist()
    some = values[np.arange(kept) * (len(values) - 1) // (kept - 1)]
    return [*some.tolist(), math.sqrt(np.square(values).sum() / len(values))]


def bits(name, count):
    """Well-mixed bits for each of `count` numbers of what is called `name`."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = (seed ^ byte) * 0x01000193 & 0xFFFFFFFF
    x = np.uint32(seed) ^ np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)


def numbers(name, *shape):
    """Numbers from -1 to 1, the same for the same name."""
    values = (bits(name, math.prod(shape)) >> np.uint32(8)).astype(np.float32) / np.float32(8_388_608) - np.float32(1)
    return values.reshape(shape)


def indices(name, count, limit):
    """Whole numbers below `limit`, the same for the same name."""
    return (bits(name, count) % np.uint32(limit)).astype(np.int64)


def initial(name, shape):
    """What the parameter called `name` starts as."""
    scale = 0.05 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
    return (numbers(name, *shape).astype(np.float64) * scale).astype(np.float32)
