"""Reverse-mode differentiation of an ONNX graph: d<score, seed>/d wrt as ONNX nodes.

    model = open_source("resnet18").model                    # unrewritten, as PyTorch exported it
    InferShapes()(model)
    score = model.graph.outputs[0]                           # (N, classes)
    found = differentiate(score, seed, layer)                # seed: (N, classes), one-hot of the class asked for
    for constant in found.initializers:
        model.graph.register_initializer(constant)
    model.graph.extend(found.nodes)                          # behind what makes the seed and the score
    found.value                                              # (N, C, H, W), or (N, C, 1, 1) where it is constant there

Each operator has one rule, a vector-Jacobian product: from the gradient g of the node's output y, that of its
input x, g^T dy/dx. `rules.RULES` is the table; each rule states its law. Source of the method: Griewank and
Walther, Evaluating Derivatives, 2nd edition (2008), section 3.2; conventions at points without a derivative are
PyTorch's, as far as the graph tells them apart.

Near such points float32 decides by its rounding: where it carries a value over the 0 of a ReLU, the gradient of a
layer before it is another one, by a part in a hundred or so, in PyTorch as here. In float64 both agree to 1e-6.
"""

from cnnc_passes.gradient.differentiate import Gradient, differentiate

__all__ = ["Gradient", "differentiate"]
