"""The converter of released checkpoints, against stock SOLOv2 renamed backwards by the layout."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import MODELS
from mmengine.config import Config
from released import predictions, released_weights, stock_config, stock_solov2

from mmdet_discobox.apis import convert_released_checkpoint
from mmdet_discobox.checkpoints import SOLOv2Architecture, released_config, rename_released_keys
from mmdet_discobox.checkpoints.released_checkpoint import RENAMED_PREFIXES


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "dcn"])
def original(request):
    return stock_solov2(dcn=request.param)


@pytest.fixture(scope="module")
def plain():
    return released_weights(stock_solov2())


def convert(weights, **meta):
    return convert_released_checkpoint(dict(state_dict=weights, meta=meta))


def test_weights_load_strictly_and_predict_the_same(original):
    converted, _ = convert(released_weights(original))
    again = stock_solov2(dcn=original.mask_head.with_dcn, seed=1)
    assert not torch.equal(predictions(again)[0], predictions(original)[0])
    again.load_state_dict(converted["state_dict"], strict=True)
    for ours, theirs in zip(predictions(again), predictions(original), strict=True):
        assert torch.equal(ours, theirs)


def test_the_printed_config_builds_the_network_of_the_weights(original, tmp_path):
    converted, architecture = convert(released_weights(original))
    (tmp_path / "config.py").write_text(released_config(architecture))
    config = Config.fromfile(tmp_path / "config.py")
    assert config.model.test_cfg.mask_thr == 0.4
    assert config.model.test_cfg.filter_thr == 0.05
    model = MODELS.build(config.model).eval()
    model.load_state_dict(converted["state_dict"], strict=True)
    for ours, theirs in zip(predictions(model), predictions(original), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("solov2/solov2_r50_fpn_1x_coco.py", 386),
        ("solov2/solov2_r101-dcn_fpn_ms-3x_coco.py", 784),
        ("solov2/solov2_x101-dcn_fpn_ms-3x_coco.py", 784),
    ],
)
def test_the_networks_of_the_paper_are_told_by_their_shapes(name, values):
    with torch.device("meta"):
        model = MODELS.build(stock_config(name).model)
    weights = {key: value.to("meta") for key, value in released_weights(model).items()}
    assert len(weights) == values
    converted, architecture = convert(weights)
    assert converted["state_dict"].keys() == model.state_dict().keys()
    assert architecture.num_classes == 80
    assert architecture.backbone["depth"] == (50 if "r50" in name else 101)
    assert architecture.backbone.get("groups") == (64 if "x101" in name else None)


def test_names_of_the_classes_are_kept_where_they_fit(plain):
    names = ["a", "b", "c", "d", "e"]
    assert convert(plain, CLASSES=names)[0]["meta"]["dataset_meta"] == dict(classes=tuple(names))
    assert "dataset_meta" not in convert(plain, CLASSES=names[:3])[0]["meta"]
    assert "dataset_meta" not in convert_released_checkpoint(dict(state_dict=plain))[0]["meta"]


def test_counters_of_old_torch_may_be_missing(plain):
    without = {key: value for key, value in plain.items() if "num_batches" not in key}
    assert len(without) < len(plain)
    assert convert(without)[0]["state_dict"].keys() == convert(plain)[0]["state_dict"].keys()


@pytest.mark.parametrize(
    "key",
    [
        "backbone.layer2.0.bn1.running_var",
        "neck.fpn_convs.2.conv.bias",
        "bbox_head.cate_convs.1.gn.weight",
        "bbox_head.kernel_convs.0.conv.weight",
        "bbox_head.solo_cate.bias",
        "mask_feat_head.convs_all_levels.3.conv1.gn.bias",
        "mask_feat_head.conv_pred.0.gn.weight",
        "bbox_head.solo_kernel.weight",
    ],
)
def test_a_missing_key_is_named(plain, key):
    rest = {name: value for name, value in plain.items() if name != key}
    (stock,) = rename_released_keys({key: plain[key]})
    with pytest.raises(ValueError, match=rf"missing:\s(- )?{stock}"):
        convert(rest)


def test_keys_that_are_too_many_are_listed(plain):
    with pytest.raises(ValueError, match=r"2 others:\n- optimizer\.lr\n- mask_iou_head\.weight$"):
        convert({**plain, "optimizer.lr": torch.zeros(1), "mask_iou_head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"1 unknown:\n- mask_head\.conv_cls\.running"):
        convert({**plain, "bbox_head.solo_cate.running": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"more\nKeys .* such a checkpoint needs no conv") as error:
        convert(stock_solov2().state_dict())
    assert str(error.value).count("\n- ") == 10


def test_other_shapes_are_listed(plain):
    with pytest.raises(ValueError, match=r"gn\.bias: \(3,\) instead of \(32,\)"):
        convert({**plain, "bbox_head.cate_convs.1.gn.bias": torch.zeros(3)})


def test_mask_kernels_larger_than_a_cell_are_named(plain):
    kernel = plain["bbox_head.solo_kernel.weight"]
    larger = {"bbox_head.solo_kernel.weight": kernel.repeat(9, 1, 1, 1)}
    with pytest.raises(ValueError, match="Expected mask kernels of 1 x 1 .* kernels of 3 x 3"):
        convert({**plain, **larger})


def test_another_backbone_is_named(plain):
    cut = {key: value for key, value in plain.items() if not key.startswith("backbone.layer4.1")}
    with pytest.raises(ValueError, match=r"its stages have \(2, 2, 2, 1\) basic blocks"):
        convert(cut)
    with pytest.raises(ValueError, match=r"these are missing: backbone\.conv1\.weight"):
        SOLOv2Architecture.from_weights({})


SUFFIXES = st.text("abc.0123456789", min_size=1, max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(RENAMED_PREFIXES)), SUFFIXES), unique=True))
def test_renaming_is_one_to_one(parts):
    """No two keys fall together, tensors and their order stay, and what follows is kept."""
    weights = {prefix + suffix: torch.tensor(i) for i, (prefix, suffix) in enumerate(parts)}
    renamed = rename_released_keys(weights)
    assert len(renamed) == len(weights)
    assert [int(value) for value in renamed.values()] == list(range(len(parts)))
    for key, (_, suffix) in zip(renamed, parts, strict=True):
        assert key.endswith(suffix)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_no_other_key_passes(key):
    if not key.startswith(tuple(RENAMED_PREFIXES)):
        with pytest.raises(ValueError, match="1 others"):
            rename_released_keys({key: torch.zeros(1)})
