"""Latency, throughput, cold start and energy of a network and what stands against it: each in a process of its own.

The children import this package before they look at the clock, so it imports nothing heavy.
"""

from cnnc.bench.job import Input, Job, Sample, run_job

__all__ = ["Input", "Job", "Sample", "run_job"]
