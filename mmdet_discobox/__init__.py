"""DiscoBox for MMDetection: instance segmentation from box supervision.

Importing this package registers all its classes in mmdet's registries::

    custom_imports = dict(imports=['mmdet_discobox'], allow_failed_imports=False)
"""

from __future__ import annotations

from .utils.safe_globals import register_safe_globals
from .utils.versions import check_versions, warn_of_missing_cuda

check_versions()
warn_of_missing_cuda()
register_safe_globals()

# imported only after the version check
from . import datasets, deployment, engine, evaluation, labelling, matching, models  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "datasets",
    "deployment",
    "engine",
    "evaluation",
    "labelling",
    "matching",
    "models",
]
