"""How the time of the rewrites grows with the network: chains of 100, 1,000 and 10,000 nodes.

    python tools/bench_scaling.py [NODES ...]

Each chain repeats Conv (1x1), BatchNormalization, Relu; the pipeline runs on it without proof, as on any model.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from cnnc_passes.pipeline import optimize

CHANNELS = 4


def chain(nodes: int) -> ir.Model:
    """About `nodes` nodes in a row."""
    rng = np.random.default_rng(0)
    statistics = [rng.uniform(0.5, 1.5, CHANNELS).astype(np.float32) for _ in range(4)]
    weight = rng.standard_normal((CHANNELS, CHANNELS, 1, 1)).astype(np.float32)
    initializers, protos, x = [], [], "x"
    for block in range(nodes // 3):
        names = [f"{kind}{block}" for kind in ("w", "gamma", "beta", "mean", "var")]
        arrays = [weight, *statistics]
        initializers += [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)]
        protos.append(helper.make_node("Conv", [x, names[0]], [f"c{block}"], name=f"conv{block}"))
        protos.append(
            helper.make_node("BatchNormalization", [f"c{block}", *names[1:]], [f"n{block}"], name=f"bn{block}")
        )
        protos.append(helper.make_node("Relu", [f"n{block}"], [f"r{block}"], name=f"relu{block}"))
        x = f"r{block}"
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", CHANNELS, 8, 8])
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, None)
    graph = helper.make_graph(protos, "chain", [image], [output], initializers)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def main() -> None:
    """Print seconds, and the growth beside that of the number of nodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", type=int, default=[100, 1000, 10_000])
    options = parser.parse_args()
    optimize(chain(30))  # imports what is imported late
    before: tuple[int, float] | None = None
    for nodes in options.nodes:
        model = chain(nodes)
        size = model.graph.num_nodes()
        start = time.perf_counter()
        report = optimize(model)
        seconds = time.perf_counter() - start
        growth = f", {seconds / before[1] / (size / before[0]):.2f} of linear" if before else ""
        print(f"{size:6,} nodes -> {report.nodes_after:,}: {seconds:7.2f} s{growth}", flush=True)
        before = (size, seconds)


if __name__ == "__main__":
    main()
