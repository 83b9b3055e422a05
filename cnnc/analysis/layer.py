"""One line of an analysis: an operator of the graph, and what it costs; plain data, exact numbers."""

from __future__ import annotations

import dataclasses

from cnnc.analysis.geometry import ReceptiveField
from cnnc.analysis.normalization import Normalization

__all__ = ["ConvolutionForm", "FullyConnected", "Layer"]


@dataclasses.dataclass(frozen=True)
class FullyConnected:
    """The fully connected layer, or layers, that would compute the same.

    Attributes:
        params: weights, and biases where there are any.
        macs: of one inference.
        weight_bytes: of the parameters, in the type of the convolution's own.
    """

    params: int
    macs: int
    weight_bytes: int


@dataclasses.dataclass(frozen=True)
class ConvolutionForm:
    """The convolution that a fully connected layer is: its kernel covers the whole feature map, so it fits once.

    Attributes:
        in_channels, out_channels, kernel: of that convolution. It has the same weights, in the same number, and on
            a larger map gives a map of outputs.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One operator of the graph.

    Attributes:
        name: the PyTorch module's path where the exporter recorded it, else the node's name.
        output: the name of its first output in the graph, which no other layer has.
        op: the ONNX operator, `com.microsoft::FusedConv` for those of other domains.
        kind: one of `cnnc.analysis.KINDS`: convolution, fully connected, normalization, ...
        input_shapes: of the activations it reads; weights are not among them.
        output_shape: of its first output; None where it depends on the data.
        size_formula: per spatial axis, how the output size comes about, its numbers filled in.
        params, macs, flops, weight_bytes, read_bytes, written_bytes: see `cnnc_passes.costs.Cost`.
        statistics: running means and variances, which are measured, not learned.
        macs_share: of the model's MACs, 0 to 1.
        fully_connected: the dense layer that a convolution stands for, which connects every input value to
            every output value; None for any other operator.
        convolution: the convolution that a fully connected layer stands for; None for any other operator.
        receptive_field: the part of the input that one output value sees; None where there is no such thing.
        unread: per spatial axis, the rows or columns of its input that its window never reads; "" where it reads all.
        normalization: what a normalization averages over; of one that takes several operators, at the first of them.
            None for any other.
    """

    name: str
    output: str
    op: str
    kind: str
    input_shapes: tuple[tuple[int, ...] | None, ...]
    output_shape: tuple[int, ...] | None
    size_formula: tuple[str, ...]
    params: int
    statistics: int
    macs: int
    flops: int
    weight_bytes: int
    read_bytes: int
    written_bytes: int
    macs_share: float
    fully_connected: FullyConnected | None
    convolution: ConvolutionForm | None
    receptive_field: ReceptiveField | None
    unread: tuple[str, ...]
    normalization: Normalization | None

    @property
    def ratio(self) -> float | None:
        """How many times the parameters a fully connected layer would have; None where there is no such layer."""
        return self.fully_connected.params / self.params if self.fully_connected and self.params else None

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: FLOPs per byte read or written; None where nothing is.

        Williams, Waterman and Patterson, Roofline (2009).
        """
        moved = self.read_bytes + self.written_bytes
        return self.flops / moved if moved else None
