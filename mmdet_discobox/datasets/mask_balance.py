"""Repeat images in which objects have a true mask, in the manner of mmdet's class balance."""

from __future__ import annotations

import logging
import math
from typing import Any

from mmdet.registry import DATASETS
from mmengine.dataset import ClassBalancedDataset
from mmengine.logging import print_log


@DATASETS.register_module()
class MaskBalancedDataset(ClassBalancedDataset):
    """Repeat images with true masks (mixed supervision).

    An image in which an object has a true mask appears ``ceil(max(1, sqrt(t / f)))`` times in an
    epoch, any other once; ``t`` is ``oversample_thr`` and ``f`` the fraction of images with such
    masks. This is the repeat factor of LVIS (arXiv 1908.03195, Appendix) with "has a true mask" in
    the place of a class. So fewer masks are repeated more often: with the default, those of 5 % of
    the images 4 times, of 20 % twice, of half of them once.

    Args:
        dataset: a :class:`.CocoBoxDataset` with ``use_masks=True``, or its config.
        oversample_thr: fraction ``t`` in [0, 1] of images with true masks from which they are not
            repeated. 0 repeats none.
        lazy_init: whether to read the annotations on first use.

    Raises:
        ValueError: if ``oversample_thr`` is not in [0, 1].
    """

    def __init__(self, dataset: Any, oversample_thr: float = 0.5, lazy_init: bool = False) -> None:
        if not 0 <= oversample_thr <= 1:
            raise ValueError(f"Expected `oversample_thr` to be in [0, 1] but got {oversample_thr}.")
        super().__init__(dataset, oversample_thr, lazy_init)

    @property
    def pipeline(self) -> Any:
        """Transforms of the data set inside, which mmdet's ``PipelineSwitchHook`` replaces."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline

    def _get_repeat_factors(self, dataset: Any, repeat_thr: float) -> list[float]:
        """Return the repeat factor of each image."""
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        have = [any(instance.get("mask") for instance in info["instances"]) for info in infos]
        if not any(have):
            print_log(
                f"None of {len(have)} images has a true mask, so none is repeated. Set "
                "use_masks=True in the CocoBoxDataset, and check its `ann_file`.",
                logger="current",
                level=logging.WARNING,
            )
            return [1.0] * len(have)
        factor = max(1.0, math.sqrt(repeat_thr * len(have) / sum(have)))
        print_log(
            f"{sum(have)} of {len(have)} images have true masks; an epoch contains each of them "
            f"{math.ceil(factor)} times.",
            logger="current",
        )
        return [factor if each else 1.0 for each in have]
