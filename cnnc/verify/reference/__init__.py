"""An ONNX graph in float64, for the proof of artifacts that come from an ONNX file.

onnx's ReferenceEvaluator walks the graph; the operators of CNNs are ours, in NumPy, where onnx's own are
slow or wrong. Nothing here is shared with the engine.
"""

from cnnc.verify.reference.evaluator import Float64Evaluator

__all__ = ["Float64Evaluator"]
