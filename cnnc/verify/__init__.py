"""Proof that an artifact equals its original: oracle, inputs, tolerance, and the check that joins them."""

from cnnc.verify.certificate import Certificate
from cnnc.verify.check import Expected, Reference, refer, verify
from cnnc.verify.inputs import Case, Inputs
from cnnc.verify.local import LocalProof
from cnnc.verify.oracle import OnnxOracle, Oracle, TorchOracle

__all__ = [
    "Case",
    "Certificate",
    "Expected",
    "Inputs",
    "LocalProof",
    "OnnxOracle",
    "Oracle",
    "Reference",
    "TorchOracle",
    "refer",
    "verify",
]
