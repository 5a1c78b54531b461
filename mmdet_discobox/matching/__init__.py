"""Dense correspondence between objects, and the tasks of its benchmarks."""

from .correspondence_inferencer import CorrespondenceInferencer, ImageObjects, MatchedImages
from .correspondence_model import CorrespondenceModel
from .correspondence_tasks import KeypointTransfer, MultiObjectMatching
from .image_describer import ImageDescriber
from .matchers import MATCHERS, Matcher, build_matcher
from .object_matches import DescribedObjects, ObjectMatch, best_matches, match_objects

__all__ = [
    "MATCHERS",
    "CorrespondenceInferencer",
    "CorrespondenceModel",
    "DescribedObjects",
    "ImageDescriber",
    "ImageObjects",
    "KeypointTransfer",
    "MatchedImages",
    "Matcher",
    "MultiObjectMatching",
    "ObjectMatch",
    "best_matches",
    "build_matcher",
    "match_objects",
]
