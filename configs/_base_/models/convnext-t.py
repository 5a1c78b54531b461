"""ConvNeXt-T of mmpretrain as a plain name, with its optimiser. Needs the extra [mmpretrain]."""

convnext_t_imports = dict(
    imports=["mmdet_discobox", "mmpretrain.models"], allow_failed_imports=False
)
convnext_t = dict(
    type="mmpretrain.ConvNeXt",
    arch="tiny",
    out_indices=[0, 1, 2, 3],
    drop_path_rate=0.4,
    layer_scale_init_value=1.0,
    gap_before_final_norm=False,
    init_cfg=dict(
        type="Pretrained",
        prefix="backbone.",
        checkpoint="https://download.openmmlab.com/mmclassification/v0/convnext/downstream/"
        "convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth",
    ),
)
convnext_t_channels = [96, 192, 384, 768]
convnext_t_optim_wrapper = dict(
    type="OptimWrapper",
    constructor="StudentOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2),
)
