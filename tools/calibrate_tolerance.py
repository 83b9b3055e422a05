"""Does the proof's tolerance tell rounding from a bug? Measured on the zoo.

    python tools/calibrate_tolerance.py [NET ...] [--seeds N]      default: the whole zoo, 5 seeds

For each net and seed (of weights and inputs): e0, the error of PyTorch float32 against float64, and e1, that
of the artifact, per case; printed are the largest of each, the largest e1 / limit over all cases (above 1 the
artifact would be refused), where limit = FACTOR * e0 + FLOOR. Then the same with one small fault planted in
the network that is compiled, as exporters and folds have made them; there e1 / limit must be above 1.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import cnnc
from cnnc.verify import Expected, Inputs, TorchOracle, refer
from cnnc.verify.tolerance import FACTOR, FLOOR, relative_error
from cnnc.zoo import ZOO, build


def main() -> None:
    """Print a line a net, and a line a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list(ZOO), metavar="NET")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"limit = {FACTOR:g} * e0 + {FLOOR:g}, {options.seeds} seeds")
    print(f"{'net':<10} {'fault':<34} {'e0':>8} {'e1':>8}   e1 / limit, smallest and largest seed")
    for name in options.nets:
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(options.seeds):
            module = build(name, seed=seed)
            example = np.zeros((2, *ZOO[name].input_shape), np.float32)
            inputs = Inputs({"x": example}, {"x": {0: "batch"}}, frozenset({"batch"}))
            expected = refer(TorchOracle(module), inputs, seed).expected
            for fault, plant in FAULTS.items():
                faulty = copy.deepcopy(module)
                if plant(faulty):
                    rows.setdefault(fault, []).append(measure(faulty, torch.from_numpy(example), expected))
        for fault, seeds in rows.items():
            e0, e1, used = (np.array(column) for column in zip(*seeds, strict=True))
            print(f"{name:<10} {fault:<34} {e0.max():8.1e} {e1.max():8.1e}   {used.min():.2g} to {used.max():.2g}")


def measure(module: nn.Module, example: torch.Tensor, expected: list[Expected]) -> tuple[float, float, float]:
    """The largest e0, e1 and e1 / limit over the cases."""
    engine = cnnc.compile(module, example, prove=False).engine("cpu")
    found = []
    for one in expected:
        outputs = engine.run(dict(one.case.feed)).values()
        for got, own, exact in zip(outputs, one.original, one.exact, strict=True):
            e0, e1 = relative_error(own, exact), relative_error(got, exact)
            found.append((e0, e1, e1 / (FACTOR * e0 + FLOOR)))
    e0, e1, used = zip(*found, strict=True)
    return max(e0), max(e1), max(used)


def nothing(module: nn.Module) -> bool:
    """No fault: the artifact as it is shipped."""
    return True


def other_epsilon(module: nn.Module) -> bool:
    """One BatchNorm takes another framework's default epsilon, 1e-3 for 1e-5."""
    found = middle(module, nn.BatchNorm2d)
    if found is not None:
        found.eps = 1e-3
    return found is not None


def shifted_kernel(module: nn.Module) -> bool:
    """One kernel is shifted by a pixel in one of its channels, as padding on the wrong side does."""
    found = middle(module, nn.Conv2d)
    assert found is not None
    found.weight.data[0] = found.weight.data[0].roll(1, dims=-1)
    return found.kernel_size != (1, 1)


def wrong_bias(module: nn.Module) -> bool:
    """One bias value of the last layer is off by a hundredth."""
    last = [one for one in module.modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]
    if last.bias is not None:
        last.bias.data[0] += 0.01
    return last.bias is not None


def narrow_weight(module: nn.Module) -> bool:
    """One convolution's weights were rounded to float16."""
    found = middle(module, nn.Conv2d)
    assert found is not None
    found.weight.data = found.weight.data.half().float()
    return True


FAULTS: dict[str, Callable[[nn.Module], bool]] = {
    "none": nothing,
    "epsilon 1e-3 in one BatchNorm": other_epsilon,
    "one kernel of one Conv shifted": shifted_kernel,
    "one bias off by 0.01": wrong_bias,
    "one Conv's weights as float16": narrow_weight,
}


def middle(module: nn.Module, kind: type[nn.Module]) -> Any:
    """The module of that kind halfway through the network."""
    found = [one for one in module.modules() if isinstance(one, kind)]
    return found[len(found) // 2] if found else None


if __name__ == "__main__":
    main()
