"""Writes PyTorch's numbers to tests/fixtures, for tests/fixtures.rs to hold ours against.

    python3 tests/make_fixtures.py

A case "softmax" is the tensors "softmax/x" (its inputs), "softmax/out", "softmax/seed" (the gradient that comes in) and
"softmax/grad.x". Values and gradients are computed in f64 from f32 inputs, so that they are exact to the last digit of
what is stored; the optimizers run in f32, as they do in PyTorch. Made with PyTorch 2.15, where clamp passes
no gradient at its bounds.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FIXTURES = Path(__file__).parent / "fixtures"
INF, NAN = math.inf, math.nan


class Cases:
    """The cases of one file."""

    def __init__(self, name):
        self.name, self.tensors = name, {}
        torch.manual_seed(len(name))

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure is None:
            save_file({key: value.contiguous() for key, value in self.tensors.items()}, FIXTURES / f"{self.name}.safetensors")

    def add(self, case, function, *, frozen=(), **inputs):
        """Runs `function` on the inputs. Floats get gradients, but those in `frozen`; beside its output, the function may
        return a dict of further values to check."""
        leaves = {}
        for name, value in inputs.items():
            value = torch.as_tensor(value)
            self.put(case, name, value)
            wide = value.double() if value.is_floating_point() else value.long() if value.dtype == torch.int32 else value
            leaves[name] = wide.requires_grad_(value.is_floating_point() and name not in frozen)
        out = function(*leaves.values())
        out, further = out if isinstance(out, tuple) else (out, {})
        self.put(case, "out", out)
        for name, value in further.items():
            self.put(case, name, value)
        if out.requires_grad:
            seed = torch.randn(out.shape).double()
            self.put(case, "seed", seed)
            out.backward(seed.float().double())
            for name, leaf in leaves.items():
                if leaf.grad is not None:
                    self.put(case, f"grad.{name}", leaf.grad)

    def put(self, case, name, value):
        kinds = {torch.float64: torch.float32, torch.int64: torch.int32}
        value = value.detach()
        self.tensors[f"{case}/{name}"] = value.to(kinds.get(value.dtype, value.dtype)).clone()


def normal(*shape):
    return torch.randn(shape)


def positive(*shape):
    return torch.rand(shape) * 2 + 0.1


def integers(high, *shape):
    return torch.randint(high, shape, dtype=torch.int32)


# Both sides of every bend of the activations, the bends themselves, and far out.
POINTS = torch.tensor([-40.0, -6.0, -3.0, -1.5, -1.0, -0.3, -0.0, 0.0, 0.2, 1.0, 2.5, 3.0, 6.0, 7.0, 40.0])


def activations():
    with Cases("activations") as cases:
        functions = {
            "relu": F.relu,
            "relu6": F.relu6,
            "gelu": F.gelu,
            "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
            "silu": F.silu,
            "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
            "elu": lambda x: F.elu(x, 1.5),
            "softplus": F.softplus,
            "log_sigmoid": F.logsigmoid,
            "hardsigmoid": F.hardsigmoid,
            "mish": F.mish,
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
        }
        for name, function in functions.items():
            cases.add(name, function, x=POINTS)
        rows = normal(4, 5) * 3
        cases.add("softmax", lambda x: F.softmax(x, -1), x=rows)
        cases.add("softmax.first_axis", lambda x: F.softmax(x, 0), x=rows)
        cases.add("softmax.masked", lambda x: F.softmax(x, -1), x=torch.tensor([[1.0, -INF, 2.0], [-INF, 0.0, -INF]]))
        cases.add("log_softmax", lambda x: F.log_softmax(x, -1), x=rows)
        cases.add("log_softmax.large", lambda x: F.log_softmax(x, -1), x=torch.tensor([[1000.0, 999.0, -1000.0]]))
        cases.add("logsumexp", lambda x: torch.logsumexp(x, 1), x=rows)
        cases.add("logsumexp.infinite", lambda x: torch.logsumexp(x, 1), frozen=("x",),
                  x=torch.tensor([[-INF, -INF], [-INF, 1.0], [INF, 1.0]]))


def elementwise():
    with Cases("elementwise") as cases:
        for name in "exp exp2 expm1 sin cos tan atan sinh cosh erf abs neg floor ceil round trunc sign".split():
            cases.add(name, getattr(torch, name), x=torch.tensor([-2.5, -1.0, -0.5, 0.0, 1e-3, 0.5, 1.25, 2.5]))
        for name in "log log2 log1p sqrt rsqrt reciprocal".split():
            cases.add(name, getattr(torch, name), x=torch.tensor([1e-3, 0.5, 1.0, 2.0, 30.0]))
        for name in "asin acos".split():
            cases.add(name, getattr(torch, name), x=torch.tensor([-0.9, -0.5, 0.0, 0.3, 0.99]))
        ties = dict(x=torch.tensor([1.0, 2.0, 3.0, -1.0]), y=torch.tensor([2.0, 2.0, 1.0, -1.0]))
        cases.add("maximum.ties", torch.maximum, **ties)
        cases.add("minimum.ties", torch.minimum, **ties)
        cases.add("clamp.bounds", lambda x: x.clamp(-1, 2), x=torch.tensor([-3.0, -1.0, 0.5, 2.0, 5.0]))
        cases.add("clamp.tensors", torch.clamp, frozen=("low", "high"),
                  x=torch.tensor([-3.0, -1.0, 0.5, 2.0, 5.0]), low=torch.tensor(-2.0), high=torch.tensor([0.0, 1.0, 1.0, 1.5, 3.0]))
        cases.add("where", torch.where, mask=torch.tensor([[True], [False]]), x=normal(2, 3), y=normal(3))
        cases.add("where.guarded", lambda x: torch.where(x > 0, x, 1.0).log(), x=torch.tensor([-1.0, 0.0, 0.5, 2.0]))
        cases.add("masked_fill", lambda x, mask: x.masked_fill(mask, -2.0), x=normal(2, 3), mask=torch.tensor([True, False, True]))
        for exponent in [0.0, 1.0, 2.0, 3.0, 0.5, -1.0]:
            base = [0.5, 2.0] if exponent != int(exponent) or exponent < 0 else [-2.0, 0.0, 0.5, 2.0]
            cases.add(f"pow.{exponent}", lambda x: x**exponent, x=torch.tensor(base))
        cases.add("pow.tensors", lambda x, y: x**y, x=torch.tensor([0.0, 0.0, 0.0, 0.5, 3.0]), y=torch.tensor([0.0, 1.0, 2.0, -1.5, 2.0]))
        cases.add("div", lambda x, y: x / y, x=normal(2, 3), y=torch.tensor([0.5, -2.0, 3.0]))
        cases.add("remainder", torch.remainder, frozen=("y",),
                  x=torch.tensor([5.5, -5.5, 5.5, -5.5, 4.0]), y=torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0]))
        cases.add("atan2", torch.atan2, x=torch.tensor([1.0, -1.0, 1.0, -1.0]), y=torch.tensor([2.0, 2.0, -2.0, -2.0]))
        cases.add("add.broadcast", lambda x, y: x + y, x=normal(3, 1, 2), y=normal(4, 1))
        cases.add("mul.broadcast", lambda x, y: x * y, x=normal(1, 3), y=normal(2, 1))


def reductions():
    with Cases("reductions") as cases:
        x = normal(3, 4, 2)
        cases.add("sum", lambda x: x.sum((0, 2)), x=x)
        cases.add("mean", lambda x: x.mean(1, keepdim=True), x=x)
        for correction in [0, 1]:
            cases.add(f"var.{correction}", lambda x: x.var(1, correction=correction), x=x)
            cases.add(f"std.{correction}", lambda x: x.std((0, 2), correction=correction), x=x)
        cases.add("std.constant", lambda x: x.std(1), x=torch.tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]))
        cases.add("var.shifted", lambda x: x.var(0), x=normal(50) + 100)
        zeros = torch.tensor([[2.0, 3.0, -4.0], [2.0, 0.0, 4.0], [0.0, 3.0, 0.0]])
        cases.add("prod", lambda x: x.prod(1), x=zeros)
        cases.add("prod.all", lambda x: x.prod(), x=torch.tensor([[2.0, -1.0], [0.5, 3.0]]))
        ties = torch.tensor([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [-1.0, -2.0, -0.5, -1.0]])
        cases.add("amax.ties", lambda x: x.amax(1), x=ties)
        cases.add("amin.ties", lambda x: x.amin(0), x=ties)
        cases.add("max.ties", lambda x: (lambda found: (found.values, {"indices": found.indices}))(x.max(1)), x=ties)
        cases.add("argmax.ties", lambda x: x.argmax(1), frozen=("x",), x=ties)
        cases.add("argmin.ties", lambda x: x.argmin(0), frozen=("x",), x=ties)
        cases.add("any", lambda x: x.any(1), x=torch.tensor([[True, False], [False, False]]))
        cases.add("all", lambda x: x.all(1), x=torch.tensor([[True, True], [True, False]]))


def layers():
    with Cases("layers") as cases:
        cases.add("linear", F.linear, x=normal(2, 3, 4), weight=normal(5, 4), bias=normal(5))
        windows = {
            "plain": dict(),
            "stride": dict(stride=2),
            "padding": dict(padding=(1, 2)),
            "dilation": dict(dilation=(2, 1)),
            "groups": dict(groups=2),
            "all": dict(stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=2),
        }
        for name, window in windows.items():
            channels = 4 // window.get("groups", 1)
            cases.add(f"conv2d.{name}", lambda x, weight, bias: F.conv2d(x, weight, bias, **window),
                      x=normal(2, 4, 7, 6), weight=normal(6, channels, 3, 2), bias=normal(6))
        cases.add("conv2d.depthwise", lambda x, weight: F.conv2d(x, weight, padding=1, groups=3), x=normal(1, 3, 5, 5), weight=normal(3, 1, 3, 3))
        image = normal(2, 3, 7, 6)
        cases.add("max_pool2d", lambda x: F.max_pool2d(x, 2), x=image)
        cases.add("max_pool2d.padding", lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 1)), x=image - 3)
        cases.add("max_pool2d.ties", lambda x: F.max_pool2d(x, 2), x=torch.zeros(1, 1, 4, 4))
        cases.add("avg_pool2d", lambda x: F.avg_pool2d(x, 2), x=image)
        cases.add("avg_pool2d.padding", lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 1)), x=image)
        statistics = dict(weight=normal(3), bias=normal(3), mean=normal(3), var=positive(3))

        def batch_norm(training):
            def run(x, weight, bias, mean, var):
                mean, var = mean.clone(), var.clone()
                out = F.batch_norm(x, mean, var, weight, bias, training, 0.1, 1e-5)
                return out, {"mean.after": mean, "var.after": var}
            return run

        cases.add("batch_norm.train", batch_norm(True), frozen=("mean", "var"), x=normal(4, 3, 2, 2) * 2 + 1, **statistics)
        cases.add("batch_norm.eval", batch_norm(False), frozen=("mean", "var"), x=normal(4, 3, 2, 2), **statistics)
        cases.add("layer_norm", lambda x, weight, bias: F.layer_norm(x, (4,), weight, bias), x=normal(2, 3, 4), weight=normal(4), bias=normal(4))
        cases.add("layer_norm.two_axes", lambda x: F.layer_norm(x, (3, 4)), x=normal(2, 3, 4) + 10)
        cases.add("embedding", F.embedding, index=integers(5, 2, 4), weight=normal(5, 3))


def losses():
    with Cases("losses") as cases:
        logits, labels = normal(4, 5) * 3, integers(5, 4)
        cases.add("cross_entropy", F.cross_entropy, x=logits, target=labels)
        cases.add("cross_entropy.large", F.cross_entropy, x=torch.tensor([[1000.0, -1000.0], [0.0, 0.0]]), target=torch.tensor([0, 1], dtype=torch.int32))
        cases.add("nll_loss", F.nll_loss, x=F.log_softmax(logits, -1), target=labels)
        x, y = normal(3, 2), normal(3, 2)
        y[0] = x[0]
        cases.add("mse_loss", F.mse_loss, x=x, target=y)
        cases.add("l1_loss", F.l1_loss, x=x, target=y)
        cases.add("bce_loss", F.binary_cross_entropy, frozen=("target",), x=torch.tensor([0.1, 0.5, 0.9, 0.3]), target=torch.tensor([0.0, 1.0, 1.0, 0.25]))
        cases.add("bce_loss.certain", F.binary_cross_entropy, frozen=("x", "target"),
                  x=torch.tensor([0.0, 1.0, 0.0, 1.0]), target=torch.tensor([0.0, 1.0, 1.0, 0.0]))
        cases.add("bce_with_logits_loss", F.binary_cross_entropy_with_logits, frozen=("target",),
                  x=torch.tensor([-200.0, -1.0, 0.0, 0.0, 2.0, 200.0]), target=torch.tensor([0.0, 1.0, 1.0, 0.25, 0.5, 0.0]))


def movement():
    with Cases("movement") as cases:
        x = normal(3, 4)
        cases.add("gather", lambda x, index: x.gather(1, index), x=x, index=integers(4, 3, 6))
        cases.add("gather.smaller", lambda x, index: x.gather(0, index), x=x, index=integers(3, 2, 3))
        cases.add("scatter_add", lambda x, index, source: x.scatter_add(1, index, source), x=x, index=integers(4, 3, 6), source=normal(3, 6))
        cases.add("index_select", lambda x, index: x.index_select(1, index), x=x, index=torch.tensor([3, 0, 3, 1], dtype=torch.int32))
        cases.add("pad", lambda x: F.pad(x, (1, 2, 0, 3), value=1.5), x=x)
        cases.add("flip", lambda x: x.flip((0, 1)), x=x)
        cases.add("unfold", lambda x: x.unfold(1, 3, 2), x=normal(2, 8))
        cases.add("unfold.overlap", lambda x: x.unfold(0, 3, 1), x=normal(6, 2))
        cases.add("permute", lambda x: x.permute(2, 0, 1).reshape(4, -1), x=normal(2, 3, 4))
        cases.add("slice", lambda x: x[1:, ::2], x=normal(4, 5))
        cases.add("expand", lambda x: x.expand(2, 3, 4), x=normal(3, 1))
        cases.add("cat", lambda x, y: torch.cat([x, y, x], 1), x=normal(2, 3), y=normal(2, 1))
        cases.add("stack", lambda x, y: torch.stack([x, y], 1), x=normal(2, 3), y=normal(2, 3))
        for name, left, right in [
            ("matrices", (3, 4), (4, 2)),
            ("vectors", (4,), (4,)),
            ("vector_matrix", (4,), (2, 4, 3)),
            ("matrix_vector", (2, 3, 4), (4,)),
            ("one_right", (2, 5, 3, 4), (4, 2)),
            ("broadcast", (2, 1, 3, 4), (5, 4, 2)),
        ]:
            cases.add(f"matmul.{name}", lambda x, y: x @ y, x=normal(*left), y=normal(*right))


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd.momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "sgd.nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "sgd.weight_decay": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adam.weight_decay": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05),
    "adamw.groups": lambda p: torch.optim.AdamW([
        dict(params=[p[0]], weight_decay=0.2, lr=0.01), dict(params=[p[1]], weight_decay=0.0)], lr=0.02, betas=(0.7, 0.9)),
    "adamw.clipped": lambda p: torch.optim.AdamW(p, lr=0.05),
}


def optimizers():
    """Ten steps of a line through points, from the same start with the same batches."""
    with Cases("optimizers") as cases:
        start = dict(weight=normal(3, 2), bias=normal(2))
        batches, targets = normal(10, 5, 3), normal(10, 5, 2) * 3
        for name, value in dict(start, batches=batches, targets=targets).items():
            cases.put("problem", name, value)
        for name, make in OPTIMIZERS.items():
            params = {key: value.clone().requires_grad_() for key, value in start.items()}
            optimizer = make(list(params.values()))
            path, norms = {key: [] for key in params}, []
            for batch, target in zip(batches, targets):
                optimizer.zero_grad()
                F.mse_loss(batch @ params["weight"] + params["bias"], target).backward()
                if name.endswith("clipped"):
                    norms.append(torch.nn.utils.clip_grad_norm_(params.values(), 1.5))
                optimizer.step()
                for key, value in params.items():
                    path[key].append(value.detach().clone())
            for key, values in path.items():
                cases.put(name, key, torch.stack(values))
            if norms:
                cases.put(name, "norms", torch.stack(norms))


def schedules():
    def rates(make, steps=30):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        schedule, found = make(optimizer), []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return torch.tensor(found, dtype=torch.float64)

    def warmed(optimizer, then):
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=5)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, then], milestones=[5])

    find = torch.optim.lr_scheduler
    found = {
        "constant": rates(lambda o: find.ConstantLR(o, factor=1.0)),
        "step": rates(lambda o: find.StepLR(o, step_size=7, gamma=0.3)),
        "cosine": rates(lambda o: find.CosineAnnealingLR(o, T_max=29, eta_min=0.01)),
        "warm_up.step": rates(lambda o: warmed(o, find.StepLR(o, step_size=7, gamma=0.3))),
        "warm_up.cosine": rates(lambda o: warmed(o, find.CosineAnnealingLR(o, T_max=24, eta_min=0.01))),
    }
    save_file(found, FIXTURES / "schedules.safetensors")


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    for write in [activations, elementwise, reductions, layers, losses, movement, optimizers, schedules]:
        write()
