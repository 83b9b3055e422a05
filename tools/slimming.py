"""What a compilation takes out of a slimmed network: a third of each BatchNorm's scales is zero, as L1 leaves them.

    python tools/slimming.py [NET ...] [--share S] [--target onnxruntime|portable]

Liu et al., Learning Efficient Convolutional Networks through Network Slimming (2017). The zeros are drawn at random, so
the branches of a residual block lose different channels: what is added stays as wide as it is. Each artifact is proved
equal to the network with its zeros. On onnxruntime a multiple of four channels is left, for its blocked layout.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

import cnnc
from cnnc.zoo import ZOO, build


def slimmed(name: str, share: float) -> nn.Module:
    """A net of the zoo with `share` of the scales of every BatchNorm set to zero; the shifts stay."""
    net = build(name)
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            chosen = torch.randperm(module.num_features, generator=generator)[: int(share * module.num_features)]
            with torch.no_grad():
                module.weight[chosen] = 0
    return net


def main() -> None:
    """Print a line a net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", default=["resnet18", "resnet50", "mobilenet_v2", "vgg16_bn"])
    parser.add_argument("--share", type=float, default=1 / 3)
    parser.add_argument("--target", default="onnxruntime", choices=["onnxruntime", "portable"])
    options = parser.parse_args()
    for name in options.nets:
        net = slimmed(name, options.share)
        report = cnnc.compile(net, torch.zeros(2, *ZOO[name].input_shape), target=options.target, device="cpu").report
        before, after, proof = report.before, report.after, report.certificate
        assert before is not None and after is not None and proof is not None
        print(
            f"{name}: MACs {before.macs:,} -> {after.macs:,} ({after.macs / before.macs:.2f}), "
            f"parameters {before.params:,} -> {after.params:,} ({after.params / before.params:.2f}), "
            f"off by {proof.error:.1e} (the original's own {proof.own_error:.1e})",
            flush=True,
        )


if __name__ == "__main__":
    main()
