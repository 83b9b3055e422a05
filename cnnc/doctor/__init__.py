"""What this machine can do for cnnc, and what to do about each problem; needs neither torch nor onnx."""

from cnnc.doctor.examine import examine
from cnnc.doctor.finding import Checkup, Finding

__all__ = ["Checkup", "Finding", "examine"]
