"""measure_activations(): a graph and real data -> what each layer does on it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike

from cnnc.analysis.activations.accumulate import Accumulator
from cnnc.analysis.activations.dataset import Data, Dataset, open_dataset
from cnnc.analysis.activations.flags import find_flags
from cnnc.analysis.activations.labels import Labels
from cnnc.analysis.activations.linear_probe import features_of, probe_accuracy, split_by_class
from cnnc.analysis.activations.projection import project
from cnnc.analysis.activations.recording import Recording, recording
from cnnc.analysis.activations.result import ActivationHealth
from cnnc_runtime.errors import UsageError
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["measure_activations"]

_BATCH_BYTES = 256 * 2**20  # of all layers' outputs together, which the engine holds at once
_LARGEST_BATCH = 64
_PROBED = 4000  # samples whose features are kept: at most 4 MB a layer


def measure_activations(
    model: ir.Model,
    data: Data,
    *,
    labels: ArrayLike | None = None,
    limit: int = 1000,
    batch: int | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    threads: int | None = None,
    vouched: bool = True,
) -> ActivationHealth:
    """Run a graph on data and gather, in one pass, what its layers put out.

    Args:
        model: a graph as it was exported (of a rewritten one, the layers are those that are left); unchanged.
        data: a batch of samples; a .npy with one; an .npz with an array for each input, by name, or one for the
            only input; a folder of images, or images; a video or a Parquet file of images. Values are taken as they
            are, images and frames as `preprocessing` says; a net that takes clips gets those of a video in turn.
        labels: a class index or name a sample. Where None: an array `labels`, `label`, `y` or `target` in the
            .npz, or the subfolders of a folder of images.
        limit: samples to run; of more, that many are drawn.
        batch: samples a run; None for as many as keep the layers' outputs within 256 MiB, 64 at most. It changes
            nothing but rounding in the last digits of float64.
        preprocessing: for images; where None, what the graph's metadata says, else RGB (gray for one channel),
            resized to the input, 0 to 1.
        seed: of the samples drawn, of the probes' split, and of the elements chosen where a layer has too many.
        threads: of the engine; None for its choice.
        vouched: False for a graph from a file that nobody vouches for: it is run in a child process first.

    Returns:
        the record of every layer with the batch as its leading axis.

    Raises:
        InvalidInputError: the data is missing, empty, not finite or does not fit, or the labels do not.
        UsageError: `limit` or `batch` is out of range.
        UnsupportedModelError, ResourceLimitError: of the graph.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"`batch` is {batch}: at least one sample")
    with recording(model, vouched=vouched, threads=threads) as net:
        dataset = open_dataset(
            data,
            net.inputs,
            labels=labels,
            limit=limit,
            preprocessing=preprocessing or net.preprocessing,
            seed=seed,
        )
        size = net.fixed_batch or batch or _batch_size(net, dataset)
        gathered = _Gathered(net, dataset.labels is not None, seed)
        for feed in dataset.batches(size):
            gathered.update(feed)
    return gathered.health(dataset.count, dataset.labels)


def _batch_size(net: Recording, dataset: Dataset) -> int:
    """As many samples as fit, by what the layers put out for one."""
    size = sum(output.nbytes for output in net.run(next(dataset.batches(1))))
    return int(np.clip(_BATCH_BYTES // max(size, 1), 1, _LARGEST_BATCH))


class _Gathered:
    """The statistics of all layers so far, and the features that probes will need."""

    def __init__(self, net: Recording, probed: bool, seed: int) -> None:
        self._net = net
        self._probed = probed
        self._seed = seed
        self._layers: list[Accumulator | None] | None = None
        self._features: dict[int, list[np.ndarray]] = {}  # by layer; -1 for the input
        self._kept = 0

    def update(self, feed: dict[str, np.ndarray]) -> None:
        """Run one batch."""
        outputs = self._net.run(feed)
        first = next(iter(feed.values()))
        count = len(first)
        if self._layers is None:
            self._layers = [
                Accumulator(site, x.shape[1:], self._seed) if x.ndim and len(x) == count else None
                for site, x in zip(self._net.sites, outputs, strict=True)
            ]
        room = max(0, _PROBED - self._kept)
        if self._probed and room:
            self._keep(-1, first[:room], 1)
        for index, x in enumerate(outputs):
            layer = self._layers[index]
            if layer is None or not layer.fits(x, count):
                self._layers[index] = None  # its leading axis is no batch
                continue
            layer.update(x)
            if room and (self._probed or index == len(outputs) - 1):
                self._keep(index, x[:room], layer.site.channel_axis)
        self._kept += min(room, count)

    def _keep(self, index: int, x: np.ndarray, channel_axis: int) -> None:
        self._features.setdefault(index, []).append(features_of(x, channel_axis, self._seed))

    def health(self, samples: int, labels: Labels | None) -> ActivationHealth:
        """All of it, judged."""
        found = {i: layer.result() for i, layer in enumerate(self._layers or ()) if layer is not None}
        features = {i: np.concatenate(parts) for i, parts in self._features.items() if i in found or i == -1}
        indices = labels.indices[: self._kept] if labels is not None else None
        last = max(found, default=-1)
        health = ActivationHealth(
            samples=samples,
            layers=tuple(found.values()),
            flags=find_flags(tuple(found.values()), samples),
            left_out=tuple(site.name for i, site in enumerate(self._net.sites) if i not in found),
            classes=labels.classes if labels is not None else (),
            projection=project(found[last].name, features[last], indices) if last in features else None,
        )
        split = split_by_class(indices, self._seed) if indices is not None else None
        if split is None or indices is None:
            return health
        accuracy = {i: probe_accuracy(x, indices, split) for i, x in features.items()}
        most = np.bincount(indices[split[0]]).argmax()
        return dataclasses.replace(
            health,
            layers=tuple(dataclasses.replace(layer, probe=accuracy.get(i)) for i, layer in found.items()),
            input_probe=accuracy.get(-1),
            chance=float(np.mean(indices[split[1]] == most)),
            split=(len(split[0]), len(split[1])),
        )
