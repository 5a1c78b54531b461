"""Check that the settings of mixed supervision agree, and that its transforms move masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmcv.transforms import Compose

#: transforms of mmdet that move or add boxes without the masks, lose the flags, or refuse masks
_UNAWARE = (
    "Albu", "CopyPaste", "MixUp", "Mosaic", "RandomAffine", "RandomCenterCropPad", "RandomShift",
)  # fmt: skip
#: batch augments of mmdet's data preprocessor that resize images and boxes without the masks
_UNAWARE_AUGMENTS = ("BatchResize", "BatchSyncRandomResize")


def check_moves_masks(dataset: Any) -> None:
    """Check that the pipelines of a data set, and of its wrappers, move masks with their boxes.

    Args:
        dataset: the data set or its outer wrapper, built.

    Raises:
        ValueError: if a pipeline loads :class:`.PartialMasks` and has a transform that does not.
    """
    _check_aware([type(transform).__name__ for transform in _transforms(dataset)])


def _check_aware(names: list[str]) -> None:
    unaware = sorted({name for name in names if name in _UNAWARE})
    if unaware and "LoadTrueMasks" in names:
        raise ValueError(
            "Expected transforms that move true masks with their boxes, but the pipeline has "
            f"{', '.join(unaware)}. Use CachedMosaic for Mosaic and CachedMixUp for MixUp, remove "
            "the others, or train on boxes alone (use_masks=False, without LoadTrueMasks)."
        )


def check_switched_pipelines(hooks: Iterable[Any], *, true_masks: bool) -> None:
    """Check the pipelines to which hooks change during the training, as ``PipelineSwitchHook``.

    Args:
        hooks: of the runner.
        true_masks: the setting of the model.

    Raises:
        ValueError: if such a pipeline loads true masks and the model learns from none, or the
            other way round, or if it does not move them.
    """
    for pipeline in (getattr(hook, "switch_pipeline", None) for hook in hooks):
        if pipeline is None:
            continue
        names = [type(transform).__name__ for transform in _flat(Compose(pipeline).transforms)]
        loads = "LoadTrueMasks" in names
        if loads != true_masks:
            raise ValueError(
                "Expected the same setting of mixed supervision in `switch_pipeline` of a hook, "
                f"but it has {'a' if loads else 'no'} dict(type='LoadTrueMasks'), and the model "
                f"has true_masks={true_masks}. It belongs after LoadAnnotations in both pipelines "
                "or in neither."
            )
        _check_aware(names)


def check_batch_augments(model: Any) -> None:
    """Check that the data preprocessor of a model moves true masks with their boxes.

    Args:
        model: a detector with ``true_masks``.

    Raises:
        ValueError: if one of its ``batch_augments`` resizes boxes alone.
    """
    augments = getattr(getattr(model, "data_preprocessor", None), "batch_augments", None) or ()
    names = {type(augment).__name__ for augment in augments}
    if unaware := sorted(names.intersection(_UNAWARE_AUGMENTS)):
        raise ValueError(
            "Expected `batch_augments` of the data preprocessor that resize true masks with their "
            f"boxes, but got {', '.join(unaware)}. Remove it, and resize in the pipeline "
            "(RandomChoiceResize, RandomResize), or train on boxes alone (model.true_masks=False, "
            "use_masks=False, without LoadTrueMasks)."
        )


def check_mask_settings(dataset: Any, *, true_masks: bool) -> None:
    """Check that model, data set and pipeline agree on mixed supervision.

    With one of the three settings alone, or two of them, training would go on without masks.

    Args:
        dataset: the data set or its outer wrapper, built. Data sets that have no ``use_masks``,
            such as mmdet's, read their masks themselves.
        true_masks: the setting of the model.

    Raises:
        ValueError: if some of the settings are there, and others are not.
    """
    loads = "LoadTrueMasks" in [type(transform).__name__ for transform in _transforms(dataset)]
    uses = [getattr(leaf, "use_masks", None) for leaf in _leaves(dataset)]
    settings = {
        "model.true_masks=True": true_masks,
        "use_masks=True of the CocoBoxDataset": any(uses) or (loads and None in uses),
        "dict(type='LoadTrueMasks') after LoadAnnotations in its pipeline": loads,
    }
    given, missing = ([k for k, v in settings.items() if bool(v) is each] for each in (True, False))
    if given and missing:
        raise ValueError(
            "Expected all three settings of mixed supervision or none, because no mask is learned "
            f"from otherwise, but got {' and '.join(given)} without {' and '.join(missing)}. Add "
            "what is missing, or train on boxes alone without all of them."
        )


def _leaves(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside of wrappers."""
    inner = [getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())]
    inside = [each for each in inner if each is not None]
    for each in inside:
        yield from _leaves(each)
    if not inside:
        yield dataset


def _transforms(dataset: Any) -> Iterator[Any]:
    """Yield the transforms of a data set, of those inside, and of transforms inside these."""
    pipeline = getattr(dataset, "pipeline", ())
    yield from _flat(getattr(pipeline, "transforms", pipeline))
    for each in (getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())):
        if each is not None:
            yield from _transforms(each)


def _flat(transforms: Iterable[Any]) -> Iterator[Any]:
    for transform in transforms:
        yield transform
        inside = getattr(transform, "transforms", ())  # a list, or a Compose, which has a list
        yield from _flat(getattr(inside, "transforms", inside))
