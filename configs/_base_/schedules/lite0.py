"""AdamW, six epochs, 8 images per step, and the runtime of a training on a CPU."""

_base_ = "mmdet::_base_/default_runtime.py"
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
default_hooks = dict(
    channels_last=dict(type="ChannelsLastHook"),  # half the time on a CPU
    # The object bank adds about 200 MB to each checkpoint of 80 classes.
    checkpoint=dict(max_keep_ckpts=2),
    threads=dict(type="ThreadsHook"),  # a core stays free; OMP_NUM_THREADS=N overrides
    resume=dict(type="ResumeHook"),  # from a whole checkpoint, after a kill
    start=dict(type="PretrainedStartHook"),  # `load_from` with other classes
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=35, norm_type=2),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=6, val_interval=6)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True, eta_min=4e-6),
]
# The learning rate above is for 8 images a step; `--auto-scale-lr` scales it to others.
auto_scale_lr = dict(enable=False, base_batch_size=8)
