"""What the user names -> contenders: how each runs, and what it is fed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from cnnc.bench.job import Input, Job, Kind, Model, describe
from cnnc_runtime.errors import UsageError
from cnnc_runtime.preflight import check_model_file
from cnnc_runtime.probe import is_certified, probe

__all__ = ["Contender", "contenders_for"]

_BARE = "bare:"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run a network, as it is called in the tables, and its inputs with the open batch first."""

    name: str
    kind: Kind
    source: str
    inputs: tuple[Input, ...]
    weights: str | None = None
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch it takes, where its file fixes one."""
        fixed = [one.shape[0] for one in self.inputs if one.shape and isinstance(one.shape[0], int)]
        return int(fixed[0]) if fixed else None

    def job(self, batch: int, threads: int | None, device: str, seconds: float) -> Job:
        """What to ask of a process.

        Raises:
            UsageError: its batch is fixed at another size.
        """
        if self.fixed_batch not in (None, batch):
            raise UsageError(f"{self.name} takes batches of {self.fixed_batch} only: give --batch {self.fixed_batch}")
        inputs = tuple(Input(one.name, one.dtype, (batch, *one.shape[1:]) if one.shape else ()) for one in self.inputs)
        return Job(self.kind, self.source, inputs, threads, device, seconds, self.weights, self.arguments)


def contenders_for(
    sources: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    device: str,
    weights: str | None = None,
    arguments: Mapping[str, str] | None = None,
) -> tuple[list[Contender], str]:
    """The contenders in order, and the device they all run on.

    Args:
        sources: an .onnx file (on cnnc's engine), `bare:` and an .onnx file (on onnxruntime's own session), or
            a PyTorch source (eager).
        shapes: of inputs, by name or "", batch included; they fix axes that a file leaves open.
        device: as of `cnnc.load`; `auto` becomes what the first .onnx file gets.
        weights, arguments: of the PyTorch sources.

    Raises:
        UsageError: a source is named twice, options are of no source, or the inputs of one are not known.
        CnncError: a file cannot be loaded.
    """
    repeated = next((name for name in sources if sources.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"{repeated} is named twice: each contender once")
    sources = list(sources)
    files = {name: name.removeprefix(_BARE) for name in sources if name.startswith(_BARE) or name.endswith(".onnx")}
    if (weights or arguments) and len(files) == len(sources):
        raise UsageError("--weights and --arg are of PyTorch sources, and none is named")
    models: dict[str, Model] = {}
    for path in dict.fromkeys(files.values()):
        check_model_file(path)
        if not is_certified(path):
            probe(path)
        models[path] = describe(path, device)
    if device == "auto":
        device = next((model.device for model in models.values()), "cpu")
    like = next(iter(models.values()), None)
    found = []
    for name in sources:
        if name in files:
            path = files[name]
            kind: Kind = "bare" if name.startswith(_BARE) else "engine"
            found.append(Contender(name, kind, path, _sized(name, models[path].inputs, shapes)))
        else:
            inputs = _eager_inputs(name, shapes, like)
            found.append(Contender(f"eager {name}", "eager", name, inputs, weights, arguments or {}))
    return found, device


def _sized(name: str, inputs: Sequence[Input], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Input, ...]:
    """With every axis but the batch an int."""
    sized = []
    for one in inputs:
        shape = list(one.shape)
        given = shapes.get(one.name) or shapes.get("")
        for axis in range(1, len(shape)):
            size = given[axis] if given is not None and len(given) == len(shape) else None
            if not isinstance(shape[axis], int) and size is not None:
                shape[axis] = size
            elif not isinstance(shape[axis], int) or (given is not None and size != shape[axis]):
                way_out = "give --input-shape" if given is None else "--input-shape does not fit it"
                raise UsageError(f"{name}: input {one.name!r} has the shape {_shown(one)}: {way_out}")
        sized.append(Input(one.name, one.dtype, tuple(shape)))
    return tuple(sized)


def _eager_inputs(name: str, shapes: Mapping[str, tuple[int, ...]], like: Model | None) -> tuple[Input, ...]:
    """As the options say, else the zoo, else the first .onnx file, whose preprocessing is taken out of it."""
    from cnnc.source import resolve
    from cnnc.zoo import ZOO

    if ":" not in name and name not in ZOO and resolve(name).module is None:  # its error says what a source is
        raise UsageError(f"{name} is no .onnx file by its name, and no PyTorch source: rename it")
    if shapes:
        return tuple(Input(key or "x", "float32", ("batch", *shape[1:])) for key, shape in shapes.items())
    if name in ZOO:
        shapes_by_name = (("x", ZOO[name].input_shape), *ZOO[name].other_inputs)
        return tuple(Input(key, "float32", ("batch", *shape)) for key, shape in shapes_by_name)
    if like is None:
        raise UsageError(f"{name} does not say its input's shape: give --input-shape, e.g. 1,3,224,224")
    undo: Callable[[Input], Input] = _channels_first if like.embedded else lambda one: one
    return _sized(name, [undo(one) for one in like.inputs], {})


def _channels_first(image: Input) -> Input:
    batch, height, width, channels = image.shape
    return Input(image.name, "float32", (batch, channels, height, width))


def _shown(one: Input) -> str:
    return "x".join(map(str, one.shape))
