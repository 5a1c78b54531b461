"""The box labeller that ships with the package, and its config."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

#: weights of the teacher network in float16; ``docs/third_party.md`` says what they were trained on
WEIGHTS = Path(__file__).with_name("box_labeler_lite0.pth")
#: its config, in the checkout or the installed package
CONFIG = Path("configs", "lite0", "box_labeler_lite0.py")


def shipped_config() -> Config:
    """Return the config of the shipped labeller, as in its training.

    It does not need the ImageNet weights of the backbone.

    Raises:
        FileNotFoundError: if the package is installed without its configs.
    """
    package = Path(__file__).parents[1]
    candidates = [package / ".mim" / CONFIG, package.parent / CONFIG]  # installed, or a checkout
    for path in candidates:
        if path.is_file():
            # its data sets are not read here, wherever $DISCOBOX_DATA may be
            config = Config.fromfile(path, use_environment_variables=False)
            config.model.backbone.pretrained = False
            return config
    raise FileNotFoundError(
        f"Expected the config of the shipped labeller at '{candidates[0]}', but there is no such "
        "file. Install the package again, with pip or mim."
    )
