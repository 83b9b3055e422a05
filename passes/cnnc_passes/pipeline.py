"""The order of the passes, as plain tuples read from top to bottom, and the one function that runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, get_args

import onnx_ir as ir
from onnx_ir.passes import common

from cnnc_passes.driver import Driver, Instance, Key, Prove
from cnnc_passes.forms.blocked_layout import BLOCK
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.laws.concat_frames import ConcatFrames
from cnnc_passes.laws.concat_to_conv import ConcatToConv
from cnnc_passes.laws.constant_reshape import ConstantReshape
from cnnc_passes.laws.conv3d_to_2d import Conv3dTo2d
from cnnc_passes.laws.depthwise_before_concat import DepthwiseBeforeConcat
from cnnc_passes.laws.drop_noops import DropNoops
from cnnc_passes.laws.expand_instancenorm import ExpandInstancenorm
from cnnc_passes.laws.explicit_pads import ExplicitPads
from cnnc_passes.laws.fill_block import FillBlock
from cnnc_passes.laws.fold_batchnorm import FoldBatchNorm
from cnnc_passes.laws.fold_bias import FoldBias
from cnnc_passes.laws.fold_input_norm import FoldInputNorm
from cnnc_passes.laws.fold_layer_scale import FoldLayerScale
from cnnc_passes.laws.fold_pad import FoldPad
from cnnc_passes.laws.fold_scale import FoldScale
from cnnc_passes.laws.fold_scale_forward import FoldScaleForward
from cnnc_passes.laws.fully_convolutional import FullyConvolutional
from cnnc_passes.laws.fuse_activation import FuseActivation
from cnnc_passes.laws.gap_before_pointwise import GapBeforePointwise
from cnnc_passes.laws.hoist_stride import HoistStride
from cnnc_passes.laws.join_groups import JoinGroups
from cnnc_passes.laws.linear_to_conv import LinearToConv
from cnnc_passes.laws.lrn_to_conv import LrnToConv
from cnnc_passes.laws.mean_by_rows import MeanByRows
from cnnc_passes.laws.merge_clips import MergeClips
from cnnc_passes.laws.merge_duplicates import MergeDuplicates
from cnnc_passes.laws.merge_frames import MergeFrames
from cnnc_passes.laws.merge_gemms import MergeGemms
from cnnc_passes.laws.merge_pads import MergePads
from cnnc_passes.laws.merge_parallel import MergeParallel
from cnnc_passes.laws.merge_reshapes import MergeReshapes
from cnnc_passes.laws.merge_serial import MergeSerial
from cnnc_passes.laws.merge_transposes import MergeTransposes
from cnnc_passes.laws.monotone_after_pool import MonotoneAfterPool
from cnnc_passes.laws.pad_channels import PadChannels
from cnnc_passes.laws.pair_frames import PairFrames
from cnnc_passes.laws.pointwise_before_resize import PointwiseBeforeResize
from cnnc_passes.laws.pool3d_to_2d import Pool3dTo2d
from cnnc_passes.laws.pool_before_pointwise import PoolBeforePointwise
from cnnc_passes.laws.prune_constant import PruneConstant
from cnnc_passes.laws.prune_unread import PruneUnread
from cnnc_passes.laws.recognise_activations import RecogniseActivations
from cnnc_passes.laws.recognise_groupnorm import RecogniseGroupnorm
from cnnc_passes.laws.reduce_to_pool import ReduceToPool
from cnnc_passes.laws.split_concat import SplitConcat
from cnnc_passes.laws.split_conv import SplitConv
from cnnc_passes.rewrite import Rewrite
from cnnc_passes.share_weights import ShareWeights
from cnnc_passes.simplify import Simplify
from cnnc_runtime.errors import UsageError

__all__ = ["TARGETS", "Pipeline", "Report", "Target", "named_passes", "optimize", "pipeline_for"]

Step = Rewrite | tuple[Rewrite, ...] | ir.passes.PassBase
Pipeline = tuple[Step, ...]
Named = Rewrite | Simplify | InferShapes
Target = Literal["onnxruntime", "cpu", "portable"]
TARGETS: tuple[str, ...] = get_args(Target)

# Plumbing: brings any valid model to the form in which the laws are written. Not optional, not reported.
_PREPARE: Pipeline = (
    common.InlinePass(),
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common.RemoveUnusedNodesPass(),
    common.TopologicalSortPass(),
)

_NORMALIZE: Pipeline = (
    InferShapes(),
    ExplicitPads(),  # before anything runs: onnxruntime has no kernel for a dilated SAME
    ConstantReshape(),
    common.RemoveUnusedNodesPass(),
    Simplify(),
    InferShapes(),
    ReduceToPool(),
)

# One group from here to _ALGEBRA: its laws take turns until none applies, since one makes room for another.
_MERGE: tuple[Rewrite, ...] = (
    DropNoops(),  # others leave what does nothing, as a Slice of every channel that is left
    MergePads(),
    MergeTransposes(),
    MergeReshapes(),
    MergeClips(),
)

# Operators that some engines have a kernel for, or a faster one. Before the algebra, which would take a spelling apart:
# what ends in a division by 6 ends in a factor for the next convolution; and which has more laws for convolutions.
_RECOGNISE: dict[str, tuple[Rewrite, ...]] = {
    "onnxruntime": (),
    "cpu": (LinearToConv(),),
    "portable": (RecogniseActivations(), RecogniseGroupnorm()),
}

_ALGEBRA: tuple[Rewrite, ...] = (
    FoldPad(),  # a Pad hides the border from all below
    FoldBatchNorm(),
    FoldScale(),
    FoldBias(),
    FoldLayerScale(),
    MergeParallel(),
    FoldScaleForward(),  # after the backward folds, which have no border to mind
    FoldInputNorm(),
    MergeGemms(),
    MergeSerial(),
    PoolBeforePointwise(),
    GapBeforePointwise(),
    PointwiseBeforeResize(),
    HoistStride(),
    MergeDuplicates(),
)

# onnxruntime's blocked layout takes convolutions whose channels are a multiple of four; the CPU provider computes whole
# blocks there, and its lowering fills them.
_CHANNELS: dict[str, tuple[int, ...]] = {"onnxruntime": (4,), "cpu": (BLOCK, 4), "portable": ()}

_CLEAN_UP: Pipeline = (
    common.DeduplicateInitializersPass(),
    common.CommonSubexpressionEliminationPass(),
    common.RemoveUnusedNodesPass(),
)

# What a network needs whose proof fails without it: the engine rounds more than PyTorch does there.
_CAREFUL: Pipeline = (ExpandInstancenorm(), MeanByRows())

# MACs that a value added to another must save: measured on the CPU provider, see docs/lowering.md.
_LEAST_WORK = 160

# After FuseActivation, whose FusedConv they take apart; one residual in blocks lets the next be so.
_JOINED: tuple[Rewrite, ...] = (DepthwiseBeforeConcat(), SplitConcat(), ConcatToConv())

_FRAMES: tuple[Rewrite, ...] = (
    MergeReshapes(),
    PairFrames(_LEAST_WORK),
    Conv3dTo2d(),
    MergeFrames(),
    Pool3dTo2d(),
    ConcatFrames(),
)

# What only some engines understand comes last, so that every law above sees standard operators.
_LOWER: dict[str, Pipeline] = {
    # No FusedConv: the CPU provider makes it when it opens the file, and on CUDA it was slower (docs/lowering.md).
    "onnxruntime": (),
    # Channels first: of more maps in blocks a residual can be added by the convolution itself.
    "cpu": (PadChannels(), JoinGroups(), LrnToConv(), FuseActivation(), SplitConv(), _JOINED, FillBlock(), _FRAMES),
    "portable": (),
}

# What lowering leaves: constants that nobody reads, biases of zeros that are all alike, and weights as well.
_FINISH: Pipeline = (
    ShareWeights(),
    common.CommonSubexpressionEliminationPass(),  # a clip that each of its readers takes apart into frames
    common.RemoveUnusedNodesPass(),
    common.RemoveUnusedOpsetsPass(),
)


# What changes the interface runs before, where it was asked for: `cnnc.fully_convolutional`.
_ON_REQUEST: Pipeline = (FullyConvolutional(),)


def pipeline_for(
    target: Target = "onnxruntime", ranges: Mapping[str, tuple[float, float]] | None = None, *, careful: bool = False
) -> Pipeline:
    """The passes for `target`, in order, for one compilation.

    Args:
        target: which engines the artifact is for.
        ranges: the values that the graph's inputs may take, (lowest, highest) by name, where the caller promises.
        careful: spend time on less rounding.

    Raises:
        UsageError: there is no such target.
    """
    if target not in _LOWER:
        raise UsageError(f"`target` is {target!r}: choose {', '.join(_LOWER)}")
    prune = (PruneUnread(_CHANNELS[target]), PruneConstant(ranges or {}, _CHANNELS[target]))
    algebra = (*_MERGE, *_RECOGNISE[target], *_ALGEBRA, *prune)
    cleaned = (MonotoneAfterPool(), *_CLEAN_UP)
    spent = _CAREFUL if careful else ()
    return (*_PREPARE, *_NORMALIZE, algebra, *cleaned, *spent, *_LOWER[target], *_FINISH)


def named_passes(pipeline: Iterable[Step] | None = None) -> dict[str, Named]:
    """The passes that have a name on the command line (all but the plumbing), in order; by default of every target."""
    if pipeline is None:
        every: Iterable[Step] = [*pipeline_for("portable", careful=True), *_ON_REQUEST, *pipeline_for("cpu")]
    else:
        every = pipeline
    single = [one for step in every for one in (step if isinstance(step, tuple) else (step,))]
    return {step.name: step for step in single if isinstance(step, Rewrite | Simplify | InferShapes)}


@dataclasses.dataclass
class Report:
    """What the passes did: every instance applied (numbered) or declined, and the nodes before and after."""

    nodes_before: int
    nodes_after: int = 0
    instances: list[Instance] = dataclasses.field(default_factory=list)

    def applied(self) -> dict[str, int]:
        """How many instances each law applied, in pipeline order."""
        counts: dict[str, int] = {}
        for instance in self.instances:
            if instance.applied:
                counts[instance.law] = counts.get(instance.law, 0) + 1
        return counts

    def declined(self) -> list[Instance]:
        """Where a law's pattern was found but a condition was not met."""
        return [instance for instance in self.instances if not instance.applied and not instance.dropped]

    def dropped(self) -> list[Instance]:
        """Where a law would have applied, and was shown to be wrong."""
        return [instance for instance in self.instances if instance.dropped]


def optimize(
    model: ir.Model,
    pipeline: Pipeline | None = None,
    *,
    skip: Collection[str] = (),
    only: Collection[str] | None = None,
    limit: int | None = None,
    drop: Collection[tuple[Key, str]] = (),
    prove: Prove | None = None,
) -> Report:
    """Run `pipeline` on `model`, in place.

    Args:
        model: the graph; its inputs, outputs and their names stay as they are.
        pipeline: by default that of the target `onnxruntime`.
        skip: names of passes to leave out (`named_passes`).
        only: if given, the only named passes to run; plumbing always runs.
        limit: apply no more than this many rewrite instances.
        drop: instances to leave out, by `Instance.key`, and why.
        prove: shows one instance equal to what it replaces, before it is applied; what it refutes is left out.

    Returns:
        what was done.

    Raises:
        UsageError: a name in `skip` or `only` is not a pass.
        UnsupportedModelError: a pass met an operator that it cannot treat correctly.
    """
    steps = pipeline if pipeline is not None else pipeline_for()
    names = named_passes(steps)
    unknown = [name for name in (*skip, *(only or ())) if name not in named_passes() and name not in names]
    if unknown:
        raise UsageError(f"no pass is named {unknown[0]!r}; `cnnc passes` lists them")
    left_out = {name for name in names if name in skip or (only is not None and name not in only)}

    report = Report(nodes_before=model.graph.num_nodes())
    driver = Driver(model, limit=limit, drop=drop, prove=prove)
    for step in steps:
        if isinstance(step, Rewrite | tuple):
            laws = step if isinstance(step, tuple) else (step,)
            driver.run(*(law for law in laws if law.name not in left_out))
        elif isinstance(step, Simplify):
            if step.name not in left_out:
                driver.run_pass(step, step.name)
        elif getattr(step, "name", None) not in left_out:
            step(model)
    report.instances = driver.instances
    report.nodes_after = model.graph.num_nodes()
    return report
