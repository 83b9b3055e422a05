"""The stages at work together: decoding, inference and the reader of the results, each ahead of the next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from cnnc_runtime.ahead import THREADS, Ahead
from cnnc_runtime.batch import Result, run_batches
from cnnc_runtime.engine import Engine
from cnnc_runtime.media import read_items
from cnnc_runtime.pipeline.asked import item_inputs, with_class
from cnnc_runtime.pipeline.items import Failure, Reading
from cnnc_runtime.pipeline.recurrent import check_clips, has_states, run_clips
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["Results", "stream"]

Results = Ahead[list[Result | Failure], list[Result | Failure]]

_BATCHES_AHEAD = 4


def stream(
    engine: Engine,
    names: Sequence[str],
    prepare: Preprocessing | None,
    reading: Reading,
    *,
    batch: int,
    skip: int = 0,
    asked: int | None = None,
) -> Results:
    """The results of all items, in order, a batch at a time; whoever takes them closes them.

    Files are decoded in threads, at most two batches ahead of the engine, which runs in a thread of its own, at
    most four batches ahead of the reader: memory does not grow with the number of files.

    Args:
        engine: called from one thread.
        names: files, as `list_names` gives them.
        prepare, reading: as `read_items`.
        batch: as `batch_size` gives it.
        skip: items at the beginning that are done already.
        asked: the class of every heat map, of an artifact that takes one; None for each item's top class.

    Raises:
        UsageError: the artifact has states, and a file is no clip.
        CnncError: when its turn comes, what ends the run as a whole.
    """
    stop = threading.Event()
    if has_states(engine):
        check_clips(names)
        return Ahead(None, run_clips(engine, names, prepare, reading, skip=skip, above=stop), window=8, stop=stop)
    items = read_items(
        map(Path, names), item_inputs(engine), prepare, reading, skip=skip, window=2 * batch + THREADS, above=stop
    )
    items = with_class(items, engine, asked)
    return Ahead(None, run_batches(engine, items, batch), window=_BATCHES_AHEAD, stop=stop)
