"""A GPU that is played: sessions of the CPU whose runs move a clock by what a test says."""

from types import SimpleNamespace

from cnnc_runtime import GpuOptions
from cnnc_runtime.errors import DeviceError
from cnnc_runtime.providers import CPU, Device
from cnnc_runtime.session import open_session

CUDA = Device("cuda")


def label(gpu: GpuOptions) -> str:
    return gpu.convolution_search + (", nhwc" if gpu.nhwc else "")


class FakeGpu:
    """A machine on which a run of a candidate takes `latency[label]` (else 100) microseconds.

    `faults`: by label, `opening` and `running` fail, `late` fails in the second round, `wrong` gives other outputs,
    `noisy` other ones within rounding.
    """

    def __init__(self) -> None:
        self.now = 0
        self.latency: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.opened: list[str] = []
        self.runs: dict[str, list[tuple[int, ...]]] = {}
        self.order: list[str] = []
        self.search = 0  # microseconds of a candidate's first run

    def open(self, model, gpu: GpuOptions):
        name = label(gpu)
        self.opened.append(name)
        if self.faults.get(name) == "opening":
            raise DeviceError("CUDNN_STATUS_NOT_SUPPORTED")
        session, _ = open_session(model, "net", CPU, 1, "all")
        return SimpleNamespace(
            played=name,
            run=session.run,
            get_inputs=session.get_inputs,
            get_outputs=session.get_outputs,
            get_modelmeta=session.get_modelmeta,
            get_providers=lambda: ["CUDAExecutionProvider"],
        )

    def bind(self, session, inputs, outputs, device, index):
        assert (device, index) == ("cuda", 0)
        return SimpleNamespace(run=lambda feed: self.run(session, feed), run_tensors=None)

    def run(self, session, feed):
        name = session.played
        seen = self.runs.setdefault(name, [])
        self.now += self.latency.get(name, 100) + (0 if seen else self.search)
        seen.append(next(iter(feed.values())).shape)
        self.order.append(name)
        fault = self.faults.get(name)
        if fault == "running" or (fault == "late" and len(seen) > 3 + 10):
            raise RuntimeError("CUDNN failure 8: EXECUTION_FAILED")
        outputs = session.run(None, feed)
        return [out * {"wrong": 1.01, "noisy": 1.00001}.get(fault, 1) for out in outputs]
