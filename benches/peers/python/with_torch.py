"""The works in PyTorch, on the CPU; it takes its number of threads from OMP_NUM_THREADS.

`with_torch.py --expected` prints what each work shows when it is computed in f64: the file `expected.txt`.
"""

import math
import sys

import torch
import torch.nn.functional as F
from protocol import *
from torch import nn

EXPECTED = "--expected" in sys.argv
torch.set_default_dtype(torch.float64 if EXPECTED else torch.float32)


def tensor(name, *shape):
    return torch.from_numpy(numbers(name, *shape)).to(torch.get_default_dtype())


def evaluating(compute):
    """Work whose result is a tensor, computed without a record for gradients."""

    def run(show):
        with torch.no_grad():
            result = compute()
        return result.numpy() if show else None

    return run


def chain():
    x = tensor("chain.x", 4 << 20)
    return evaluating(lambda: ((x * x * x * 0.044715 + x) * 0.7978846).tanh().add(1.0) * x * 0.5 + x)


def softmax():
    x = tensor("softmax.x", 4096, 1024)
    return evaluating(lambda: x.softmax(-1))


def layer_norm():
    x, weight, bias = tensor("layer_norm.x", 4096, 768), tensor("layer_norm.weight", 768), tensor("layer_norm.bias", 768)
    return evaluating(lambda: F.layer_norm(x, (768,), weight, bias))


def sum():
    x = tensor("sum.x", 16 << 20) + 1
    return lambda show: x.sum().item()


def matmul():
    a, b = tensor("matmul.a", 1024, 1024), tensor("matmul.b", 1024, 1024)
    return evaluating(lambda: a @ b)


def gradient():
    a, b = tensor("gradient.a", 256, 256).requires_grad_(), tensor("gradient.b", 256, 256).requires_grad_()

    def run(show):
        gradients = torch.autograd.grad((a @ b).relu().sum(), [a, b])
        return np.stack([gradient.numpy() for gradient in gradients])

    return run


def training(model, make_optimizer, step):
    """A training step: `step` gives the loss of the model."""
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data.copy_(torch.from_numpy(initial(name, parameter.shape)))
    optimizer = make_optimizer(model.parameters(), lr=LEARNING_RATE)

    def run(show):
        loss = step()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(1568, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def mnist_cnn():
    images = tensor("mnist_cnn.images", MNIST_BATCH, 1, 28, 28)
    labels = torch.from_numpy(indices("mnist_cnn.labels", MNIST_BATCH, 10))
    model = Cnn()
    return training(model, torch.optim.Adam, lambda: F.cross_entropy(model(images), labels))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(GPT_WIDTH, GPT_WIDTH) for _ in range(4))

    def forward(self, x, later):
        q, k, v = (
            layer(x).unflatten(-1, (GPT_HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(later, -math.inf).softmax(-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(GPT_WIDTH), Attention(), nn.LayerNorm(GPT_WIDTH)
        self.widen, self.narrow = nn.Linear(GPT_WIDTH, 4 * GPT_WIDTH), nn.Linear(4 * GPT_WIDTH, GPT_WIDTH)

    def forward(self, x, later):
        x = x + self.attention(self.norm1(x), later)
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Gpt(nn.Module):
    """The head is tied to the embedding of tokens."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(GPT_VOCABULARY, GPT_WIDTH), nn.Embedding(GPT_CONTEXT, GPT_WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(GPT_LAYERS))
        self.norm = nn.LayerNorm(GPT_WIDTH)
        self.places = torch.arange(GPT_CONTEXT)
        self.later = self.places[None] > self.places[:, None]

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(self.places)
        for block in self.blocks:
            x = block(x, self.later)
        return self.norm(x) @ self.tokens.weight.T


def gpt():
    tokens, targets = (
        torch.from_numpy(indices(name, GPT_BATCH * GPT_CONTEXT, GPT_VOCABULARY).reshape(GPT_BATCH, GPT_CONTEXT))
        for name in ("gpt.tokens", "gpt.targets")
    )
    model = Gpt()
    return training(
        model, torch.optim.AdamW, lambda: F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    )


def tiny_adds():
    step = torch.tensor(TINY)

    def run(show):
        x = torch.zeros(3)
        for _ in range(TINY_ADDS):
            x = x + step
            values = x.tolist()
        return values

    return run


WORKS = {
    work.__name__: work
    for work in (chain, softmax, layer_norm, sum, matmul, gradient, mnist_cnn, gpt, tiny_adds)
}

if EXPECTED:
    for name in WORKS:
        _, *shown = answer(["first", name], WORKS, {})
        print(name, *(f"{number:.9g}" for number in shown))
else:
    serve(f"PyTorch {torch.__version__}", WORKS)
