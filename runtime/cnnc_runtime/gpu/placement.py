"""Where the nodes of a net really ran: read off onnxruntime's own profile of one run.

A node that a GPU provider lacks goes to the CPU, and tensors are copied there and back, without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnc_runtime.errors import DeviceError
from cnnc_runtime.providers import Device

__all__ = ["node_events", "nodes_elsewhere", "require_placement"]

_LISTED = 10


def node_events(profile: Path) -> list[dict[str, Any]]:
    """The events of a profile that tell which provider ran a node, one a node."""
    events = json.loads(profile.read_text())
    return list({event["name"]: event for event in events if event.get("args", {}).get("provider")}.values())


def nodes_elsewhere(events: Iterable[Mapping[str, Any]], device: Device) -> list[str]:
    """Each computing node that ran on another provider, and each copy between devices, as `op (name) on provider`.

    Arithmetic on shapes belongs on the CPU, where onnxruntime puts it on purpose: nodes that yield nothing but
    short vectors of integers do not count.
    """
    found = []
    for event in events:
        args = event["args"]
        op, provider = args.get("op_name", "?"), args["provider"]
        is_copy = op.startswith("Memcpy")
        if is_copy or (provider != device.provider and not _is_shape_arithmetic(args)):
            name = event["name"].removesuffix("_kernel_time")
            found.append(f"{op} ({name}) {'is a copy between devices' if is_copy else f'on {provider}'}")
    return found


def require_placement(profile: Path, device: Device, name: str) -> None:
    """Nothing, if all of the profiled run was on `device`.

    Raises:
        DeviceError: lists the nodes that were not.
    """
    elsewhere = nodes_elsewhere(node_events(profile), device)
    if elsewhere:
        more = f" and {len(elsewhere) - _LISTED} more" if len(elsewhere) > _LISTED else ""
        raise DeviceError(
            f"{name} does not run on {device} alone: {'; '.join(elsewhere[:_LISTED])}{more} "
            f"(leave out --require-device to accept this)"
        )


def _is_shape_arithmetic(args: Mapping[str, Any]) -> bool:
    outputs = args.get("output_type_shape") or []
    return bool(outputs) and all(
        kind in ("int64", "int32", "bool") and len(shape) <= 1 for output in outputs for kind, shape in output.items()
    )
