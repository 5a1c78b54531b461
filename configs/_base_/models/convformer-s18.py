"""ConvFormer-S18 of timm as a plain name, with its optimiser. Needs the extra [mmpretrain].

The weights, from ImageNet-22k and ImageNet-1k, are downloaded when the network is built.
"""

convformer_s18_imports = dict(
    imports=["mmdet_discobox", "mmpretrain.models"], allow_failed_imports=False
)
convformer_s18 = dict(
    type="mmpretrain.TIMMBackbone",
    model_name="convformer_s18.sail_in22k_ft_in1k",
    features_only=True,
    pretrained=True,
    out_indices=[0, 1, 2, 3],
    drop_path_rate=0.2,
)
convformer_s18_channels = [64, 128, 320, 512]
convformer_s18_optim_wrapper = dict(
    type="OptimWrapper",
    constructor="StudentOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2),
)
