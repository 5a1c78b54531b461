"""Top floor: what people call, once something is trained."""

from .auto_labeler import AutoLabeler
from .boxed_picture import BoxedPicture, BoxMask
from .checkpoint_files import read_checkpoint, save_checkpoint, save_hashed_checkpoint
from .correspondence_inferencer import CorrespondenceInferencer, ImageObjects, MatchedImages
from .correspondence_model import CorrespondenceModel
from .correspondence_tasks import KeypointTransfer, MultiObjectMatching
from .detector_building import build_detector
from .image_describer import ImageDescriber
from .label_run import LabelRun
from .labelled_boxes import LabelledBoxes, add_masks, keep_accepted
from .matchers import MATCHERS, Matcher, build_matcher
from .object_matches import DescribedObjects, ObjectMatch, best_matches, match_objects
from .publishing import publish_checkpoint, publish_weights
from .released_checkpoint import convert_released_checkpoint, rename_released_keys
from .released_settings import RELEASED_TEST_CFG, released_config
from .solov2_architecture import SOLOv2Architecture

__all__ = [
    "MATCHERS",
    "RELEASED_TEST_CFG",
    "AutoLabeler",
    "BoxMask",
    "BoxedPicture",
    "CorrespondenceInferencer",
    "CorrespondenceModel",
    "DescribedObjects",
    "ImageDescriber",
    "ImageObjects",
    "KeypointTransfer",
    "LabelRun",
    "LabelledBoxes",
    "MatchedImages",
    "Matcher",
    "MultiObjectMatching",
    "ObjectMatch",
    "SOLOv2Architecture",
    "add_masks",
    "best_matches",
    "build_detector",
    "build_matcher",
    "convert_released_checkpoint",
    "keep_accepted",
    "match_objects",
    "publish_checkpoint",
    "publish_weights",
    "read_checkpoint",
    "released_config",
    "rename_released_keys",
    "save_checkpoint",
    "save_hashed_checkpoint",
]
