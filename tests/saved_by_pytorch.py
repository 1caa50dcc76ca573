"""Counts the bytes that PyTorch saves for the backward pass of a GPT, for tests/plans.rs and tests/counters.rs to hold
ours against: of a GPT-2 small, or with other sizes.

    python3 tests/saved_by_pytorch.py
    python3 tests/saved_by_pytorch.py 12564 256 192 12 12

The model is that of tests/common/gpt.rs: projections apart, attention written out, the head tied. Every storage that
autograd saves is counted once, parameters left out. Made with PyTorch 2.15.
"""

import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS = [int(size) for size in sys.argv[1:]] or [50257, 1024, 768, 12, 12]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def attend(self, x):
        split = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        place = torch.arange(x.shape[1])
        later = place.unsqueeze(0) > place.unsqueeze(1)
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(WIDTH // HEADS)
        weights = scores.masked_fill(later, -math.inf).softmax(-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(LAYERS))), nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.norm(self.blocks(x)) @ self.tokens.weight.T


model = Gpt()
parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
saved = {}


def save(tensor):
    storage = tensor.untyped_storage()
    if storage.data_ptr() not in parameters:
        saved[storage.data_ptr()] = storage.nbytes()
    return tensor


tokens, targets = (torch.randint(0, VOCABULARY, (1, CONTEXT)) for _ in range(2))
with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
    loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
print("parameters:", sum(4 * parameter.numel() for parameter in model.parameters()), "bytes")
print("saved:", sum(saved.values()), "bytes")
