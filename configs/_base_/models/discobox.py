"""Settings of DiscoBox for each task network, as variables that a config adds to a stock network.

A dictionary holds what the detector adds to its stock twin; the heads are named beside it.
"""

# The teacher network is updated after every step (Sec. 3.5). L_con starts at the first step, the
# cross-image term and L_nce after 40 % of the schedule.
discobox_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook"),  # a training that turned NaN ends
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]

discobox_teachers = dict(
    structured_teacher=dict(type="StructuredTeacher", cross_image=dict(type="CrossImageTerm")),
    teacher_network=dict(momentum=0.001),
)
# Stock SOLOv2's mask loss, against refined masks; the paper's L_con is
# dict(type="MaskConsistencyLoss", form="ce", outside=0.0) with the weights of Sec. 4.2.
discobox_loss_consistency = dict(type="MaskConsistencyLoss", form="dice", outside=1.0)
discobox_loss_nce = dict(type="DenseNCELoss", loss_weight=0.1)

# Sec. 4.2: alpha_mil, alpha_con and alpha_nce are 1, 1 and 0.1.
discobox_solov2 = dict(
    type="DiscoBoxSOLOv2",
    loss_mil=dict(type="BoxMILLoss", form="dice", loss_weight=1.0),
    loss_consistency=dict(loss_weight=3.0, **discobox_loss_consistency),
    loss_nce=discobox_loss_nce,
    **discobox_teachers,
)
# Sec. 4.2: alpha_mil is 10 and alpha_con 2.
discobox_yolact = dict(
    type="DiscoBoxYOLACT",
    loss_mil=dict(type="BoxMILLoss", form="bce", loss_weight=10.0),
    loss_consistency=dict(loss_weight=2.0, **discobox_loss_consistency),
    loss_nce=discobox_loss_nce,
    **discobox_teachers,
)
# Not in the paper; the losses are those of SOLOv2.
discobox_condinst = dict(discobox_solov2, type="DiscoBoxCondInst")
discobox_rtmdet_ins = dict(discobox_solov2, type="DiscoBoxRTMDetIns")

# Alg. 1 as printed; phi, the neighbourhood and the colour space are the paper's. It gives no values
# for w1 and zeta: these are the released ones (0.5 standard deviations are about 29 grey levels).
paper_structured_teacher = dict(
    type="StructuredTeacher",
    margin=0.0,
    refiner=dict(
        algorithm="alg1", colour_space="rgb", w1=2.0, zeta=29.0, dilations=(1,), iterations=10
    ),
)
