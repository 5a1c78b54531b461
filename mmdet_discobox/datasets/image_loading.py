"""Load images for training in the orientation that their boxes refer to."""

from __future__ import annotations

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from mmdet_discobox.utils.images import read_image
from mmdet_discobox.utils.types import Json


@TRANSFORMS.register_module()
class LoadImageAsLabelled(BaseTransform):
    """Load an image as the labeller does: in the EXIF orientation that has the size of the json.

    ``LoadImageFromFile`` always applies the orientation. If the boxes refer to the stored image,
    training would then see them in other places than the labeller.

    Required keys: ``img_path`` of a local file, ``width`` and ``height``. Added keys: ``img``
    (``(H, W, 3)`` uint8 BGR), ``img_shape`` and ``ori_shape``.
    """

    def transform(self, results: Json) -> Json:
        """Load the image.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read, or has the size of the json in no orientation.
        """
        image = read_image(results["img_path"], size=(results["width"], results["height"]))
        return {**results, "img": image, "img_shape": image.shape[:2], "ori_shape": image.shape[:2]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
