"""Optical flow: its computation, its 8-bit encoding, what a net is fed of it, and its pictures.

`fields` computes the displacements between frames, `encoding` says which numbers they become, `flow_input` what an
input of a net is made of, `wheel` draws them.
"""

from cnnc_runtime.flow.encoding import decode, encode, stack
from cnnc_runtime.flow.fields import METHODS, Method, check_method, optical_flow
from cnnc_runtime.flow.flow_input import FlowInput
from cnnc_runtime.flow.wheel import color_wheel, colors_of

__all__ = [
    "METHODS",
    "FlowInput",
    "Method",
    "check_method",
    "color_wheel",
    "colors_of",
    "decode",
    "encode",
    "optical_flow",
    "stack",
]
