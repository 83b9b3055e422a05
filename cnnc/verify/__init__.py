"""Proof that an artifact equals its original: oracle, inputs, tolerance, and the check that joins them."""

from cnnc.verify.check import Certificate, Expected, expectations, verify
from cnnc.verify.inputs import Case, cases_for
from cnnc.verify.oracle import OnnxOracle, Oracle, TorchOracle

__all__ = [
    "Case",
    "Certificate",
    "Expected",
    "OnnxOracle",
    "Oracle",
    "TorchOracle",
    "cases_for",
    "expectations",
    "verify",
]
