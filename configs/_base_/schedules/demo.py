"""Eight epochs on the generated scenes, 4 images a step."""

_base_ = "./lite0.py"
optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(max_epochs=8, val_interval=8)
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=8))
randomness = dict(seed=0)
