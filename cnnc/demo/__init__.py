"""The demo: a CNN is trained on real handwritten digits, then goes the way of any user's network."""

from cnnc.demo.story import tell

__all__ = ["tell"]
