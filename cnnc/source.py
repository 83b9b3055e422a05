"""What the user names -> what is compiled: a zoo name, `file.py:factory`, `pkg.mod:factory`, or an .onnx file."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cnnc.torch_extra import require_torch
from cnnc.zoo import ZOO
from cnnc.zoo import build as build_from_zoo
from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Source", "load_attribute", "resolve", "users_code"]


@dataclasses.dataclass(frozen=True)
class Source:
    """A network to compile: either `module` or `path` (an .onnx file) is set.

    `input_shape` is what the zoo knows of its nets, without the batch axis: (channels, *spatial); `other_inputs` the
    name and shape of each input after the first, `states` the inputs that are a step function's states, in order.
    """

    name: str
    module: nn.Module | None = None
    path: Path | None = None
    input_shape: tuple[int, ...] | None = None
    other_inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    states: tuple[str, ...] = ()


def resolve(
    source: nn.Module | str | os.PathLike[str],
    *,
    arguments: Mapping[str, str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Source:
    """Find and build what `source` names.

    Args:
        source: a zoo name (`resnet18`), `file.py:factory`, `pkg.mod:factory`, a path ending in `.onnx`,
            or a module. A factory is a Module subclass or a function that returns a Module.
        arguments: keyword arguments of the factory, as text; numbers, booleans and None are converted.
        weights: a checkpoint to load into the module.

    Returns:
        a module that was named is in eval mode; one that was given is as it was.

    Raises:
        UsageError: the source is spelt wrongly, or options contradict it.
        InvalidInputError: it does not exist, or its code fails; the user's traceback is the cause.
    """
    if not isinstance(source, (str, os.PathLike)):
        if weights or arguments:
            raise UsageError("weights and arguments are for sources named by a string: load them into the module")
        require_torch(f"a {type(source).__name__}")
        from torch import nn

        if not isinstance(source, nn.Module):
            raise UsageError(f"a {type(source).__name__} is no network: give a torch.nn.Module, or name a source")
        return Source(type(source).__name__, module=source)
    source = os.fspath(source)
    kwargs = {key: _literal(value) for key, value in (arguments or {}).items()}
    if source.endswith(".onnx") or (Path(source).is_file() and ":" not in source and not source.endswith(".py")):
        if weights or kwargs:
            raise UsageError(f"{source} has its weights inside: --weights and --arg are for PyTorch sources")
        return Source(source, path=Path(source))
    require_torch(f"compiling {source}" if ":" in source else f"the zoo net {source!r}")
    if ":" in source:
        found = Source(source, module=_call_factory(source, kwargs))
    elif source in ZOO:
        _check_zoo_arguments(source, kwargs)
        module = build_from_zoo(source, **kwargs)
        entry = ZOO[source]
        found = Source(source, module, None, entry.input_shape, entry.other_inputs, entry.states)
    else:
        raise UsageError(_not_understood(source))
    assert found.module is not None
    if weights is not None:
        from cnnc.weights import load_weights

        load_weights(found.module, Path(weights))
    found.module.eval()
    return found


def load_attribute(spec: str) -> Any:
    """The object that `file.py:name` or `pkg.mod:name` names.

    Raises:
        InvalidInputError: no such file, module or name, or its import fails.
    """
    location, _, name = spec.rpartition(":")
    is_file = location.endswith(".py")
    folder = Path(location).resolve().parent if is_file else Path.cwd()
    with users_code(spec), _importing_from(folder):
        module = _import_file(Path(location), name) if is_file else importlib.import_module(location)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            close = difflib.get_close_matches(part, vars(target), n=1)
            raise InvalidInputError(f"{location} has no {part!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        target = getattr(target, part)
    return target


def _call_factory(spec: str, kwargs: dict[str, Any]) -> nn.Module:
    from torch import nn

    factory = load_attribute(spec)
    if isinstance(factory, nn.Module):
        if kwargs:
            raise UsageError(f"{spec} is a module already, so it takes no --arg")
        return factory
    if not callable(factory):
        raise InvalidInputError(f"{spec} is a {type(factory).__name__}, not a Module class or a function returning one")
    with users_code(spec):
        module = _built(factory, kwargs)
    if not isinstance(module, nn.Module):
        raise InvalidInputError(f"{spec} returned a {type(module).__name__}, not a torch.nn.Module")
    return module


def _check_zoo_arguments(name: str, kwargs: Mapping[str, Any]) -> None:
    known = [key for key in inspect.signature(build_from_zoo).parameters if key != "name"]
    for key, value in kwargs.items():
        if key not in known or type(value) is not int:
            raise UsageError(f"{name} takes {' and '.join(known)}, whole numbers, not --arg {key}={value}")


def _import_file(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise InvalidInputError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickling look it up; a json.py hides no library
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        if "attempted relative import" not in str(error):
            raise
        folder, dotted = path.resolve().parent, path.stem
        while folder.name:
            folder, dotted = folder.parent, f"{folder.name}.{dotted}"
            if not (folder / "__init__.py").exists():
                break
        raise InvalidInputError(
            f"{path} imports from the package that it is in: name it {dotted}:{name}, from the folder {folder}"
        ) from error
    return module


def _built(factory: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    """What the factory returns; opened again, an untrained network has the same weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return factory(**kwargs)


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """The folder is searched first, as by `python file.py`; and from then on last, for what is imported later.

    Last, since there its `profile.py` or `onnx.py` hides no library that we load ourselves.
    """
    path = str(folder)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
        if path not in sys.path:
            sys.path.append(path)


@contextlib.contextmanager
def users_code(spec: str) -> Iterator[None]:
    """Run the user's code so that it cannot end the process, move it, or write into our output.

    Raises:
        InvalidInputError: it fails, or calls sys.exit(); names the line of `spec`.
    """
    folder = Path.cwd()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (CnncError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit() in a script is an error of the source, not our exit
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_machinery(f.filename)]
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        what = f"called sys.exit({error.code})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        raise InvalidInputError(f"{spec} failed{where}: {what} (--debug shows its traceback)") from error
    finally:
        os.chdir(folder)


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen") or filename == importlib.__file__ or filename == __file__


def _literal(text: str) -> Any:
    """`3` -> 3, `0.5` -> 0.5, `true` -> True, `none` -> None; anything else stays text."""
    converters: tuple[Callable[[str], Any], ...] = (int, float)
    for convert in converters:
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _not_understood(source: str) -> str:
    close = difflib.get_close_matches(source, ZOO, n=1)
    if source.endswith(".py"):
        return f"{source} names no network: say which one, {source}:NAME (a Module class or a function)"
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{source!r} is no zoo name{hint}: name file.py:factory, pkg.mod:factory, model.onnx, or one of `cnnc zoo`"
