"""A step function frame by frame: its states stay on the device from one frame to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import NDArray

from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError
from cnnc_runtime.feeds import Checker
from cnnc_runtime.recurrent.step import Step
from cnnc_runtime.session import model_error
from cnnc_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from cnnc_runtime.engine import Engine

__all__ = ["Stream", "frame_inputs"]

Array = NDArray[Any]
State = Mapping[str, Any]


def frame_inputs(engine: Engine) -> tuple[TensorSpec, ...]:
    """What a step takes beside its states: all inputs of an artifact without states."""
    states = engine.metadata.states if engine.metadata is not None else {}
    return tuple(spec for spec in engine.inputs if spec.name not in states)


class Stream:
    """One clip, or a batch of clips, going through a step function; `Engine.stream` opens it.

    The outputs of one frame that are states are bound as inputs of the next where they lie: two buffers for each state
    are swapped, and no state is copied to the host unless `state` is asked for. Streams of one engine share its
    weights and nothing else. A step that fails leaves the state as it was.

    Args:
        engine: of an artifact with states.
        checker: the engine's.
        require_open: raises if the engine cannot run any more.
        name: what messages call the artifact.
        state: as `reset`.

    Raises:
        UsageError: the artifact has no states; as `reset`.
        InvalidInputError: the states that its metadata name are not in its graph; as `reset`.
    """

    def __init__(
        self,
        engine: Engine,
        checker: Checker,
        require_open: Callable[[], None],
        name: str,
        state: State | None = None,
    ) -> None:
        pairs = engine.metadata.states if engine.metadata is not None else {}
        _check_pairs(pairs, engine, name)
        self._engine, self._name, self._engine_open = engine, name, require_open
        self._frames = frame_inputs(engine)
        self._specs = {spec.name: spec for spec in engine.inputs if spec.name in pairs}
        self._checker = checker.only([spec.name for spec in self._frames])
        self._state_checker = checker.only(list(self._specs))
        self._step = Step(self._frames, engine.outputs, pairs, list(self._specs.values()), engine.device)
        self._buffers = self._step.buffers
        self._lock = threading.RLock()
        self._is_closed = False
        self._is_fresh = True  # no frame since the reset
        self._initial: dict[str, Array] | None = None
        self.reset(state)

    @overload
    def step(self, frame: Mapping[str, Any]) -> dict[str, Any]: ...
    @overload
    def step(self, frame: Any) -> Any: ...

    def step(self, frame: Any) -> Any:
        """Compute the outputs of the next frame.

        Args:
            frame: as for `Engine.run`, without the states.

        Returns:
            as `Engine.run`, without the states.

        Raises:
            InvalidInputError: the frame does not fit the net, or not the clip that was begun.
            CnncError: as `Engine.run`. The state is as before.
        """
        with self._lock:
            self._require_open()
            call = self._checker.call(frame)
            try:
                self._prepare(call.feed)
                results = self._step.run(self._engine.session, call)
            except CnncError:
                raise
            except Exception as error:  # onnxruntime's exceptions share no base class
                raise model_error(self._name, error) from error
            self._buffers.swap()
            self._is_fresh = False
        return call.finish(self._step.results, results)

    def reset(self, state: State | None = None) -> None:
        """Begin a new clip, of another size or batch if need be.

        Args:
            state: {name: array} for every state; zeros if None.

        Raises:
            UsageError: the stream or engine is closed, or `state` is no dict of just the states.
            InvalidInputError: an array does not fit its state.
        """
        with self._lock:
            self._require_open()
            if state is not None and (not isinstance(state, Mapping) or state.keys() != self._specs.keys()):
                names = f"names {list(state)}" if isinstance(state, Mapping) else "is no dict of arrays by name"
                raise UsageError(f"`state` {names}: the states of {self._name} are {list(self._specs)}")
            self._initial = None if state is None else _copied(self._state_checker.call(state).feed)
            self._is_fresh = True

    @property
    def state(self) -> dict[str, Array]:
        """{name: array}, copies in host memory. Before the first frame: what `reset` was given, or nothing.

        Raises:
            UsageError: the stream or engine is closed.
        """
        with self._lock:
            self._require_open()
            return _copied(self._initial or {}) if self._is_fresh else self._buffers.to_host()

    def close(self) -> None:
        """Free the states; the stream cannot be used afterwards."""
        with self._lock:
            self._is_closed = True
            self._step.free()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        self._engine_open()
        if self._is_closed:
            raise UsageError("the stream is closed: open another with engine.stream()")

    def _prepare(self, feed: Mapping[str, Any]) -> None:
        """See that there is a state that fits this frame."""
        sizes = _sizes(self._frames, feed)
        shapes = {spec.name: self._shape(spec, sizes) for spec in self._specs.values()}
        if self._is_fresh:
            self._buffers.fit(shapes)
            self._buffers.fill(self._initial)
        elif shapes != self._buffers.shapes:
            raise InvalidInputError(
                f"the frame {_shown(feed)} needs states of {shapes}, those of this clip are {self._buffers.shapes}: "
                "stream.reset() begins a new clip"
            )

    def _shape(self, spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Of a state; open sizes are the frame's of the same name, else those that the clip began with."""
        if not self._is_fresh:
            known: tuple[int, ...] | None = self._buffers.shapes[spec.name]
        else:
            known = None if self._initial is None else self._initial[spec.name].shape
        shape: list[int] = []
        for axis, side in enumerate(spec.shape):
            size = side if isinstance(side, int) else sizes.get(side, sizes[""] if axis == 0 else None)
            if size is None and known is None:
                raise UsageError(
                    f"state {spec.name!r} has the open shape {spec}, which no frame tells: give the first one, "
                    f"engine.stream({{{spec.name!r}: array, ...}})"
                )
            shape.append(known[axis] if size is None else size)  # type: ignore[index]
        if self._is_fresh and known not in (None, tuple(shape)):
            raise InvalidInputError(
                f"state {spec.name!r} was given with the shape {known}, this frame needs {tuple(shape)}"
            )
        return tuple(shape)


def _check_pairs(pairs: Mapping[str, str], engine: Engine, name: str) -> None:
    if not pairs:
        raise UsageError(
            f"{name} has no states to keep from frame to frame: name them when it is compiled, "
            "states={'h': 'h_next'} (--state h=h_next)"
        )
    inputs, outputs = {spec.name for spec in engine.inputs}, {spec.name for spec in engine.outputs}
    if not (pairs.keys() < inputs and set(pairs.values()) <= outputs):
        raise InvalidInputError(f"{name} names states {pairs} that its graph does not have: compile it again")


def _sizes(specs: Sequence[TensorSpec], feed: Mapping[str, Any]) -> dict[str, int]:
    """Each size that has a name, of this frame; "" is the batch."""
    sizes = {"": int(feed[specs[0].name].shape[0]) if specs[0].shape else 1}
    for spec in specs:
        for side, size in zip(spec.shape, feed[spec.name].shape, strict=True):
            if isinstance(side, str) and side != "?":
                sizes[side] = int(size)
    return sizes


def _copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _shown(feed: Mapping[str, Any]) -> str:
    return " and ".join(str(tuple(value.shape)) for value in feed.values())
