"""What box-supervised configs share. The names are unique: a leaf combines it with any base."""

# The teacher network moves after every step (Sec. 3.5); L_con starts at once, the cross-image term
# with L_nce when the student is ready.
discobox_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook"),  # a training that turned NaN ends
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]

# alpha_mil and alpha_nce are 1 and 0.1 for SOLOv2 (Sec. 4.2).
discobox_model = dict(
    loss_mil=dict(type="BoxMILLoss", form="dice", loss_weight=1.0),
    structured_teacher=dict(type="StructuredTeacher", cross_image=dict(type="CrossImageTerm")),
    teacher_network=dict(momentum=0.001),
    # Stock SOLOv2's mask loss, against refined masks; the paper's L_con is
    # dict(type="MaskConsistencyLoss", form="ce", outside=0.0, loss_weight=1.0).
    loss_consistency=dict(type="MaskConsistencyLoss", form="dice", outside=1.0, loss_weight=3.0),
    loss_nce=dict(type="DenseNCELoss", loss_weight=0.1),
)

# Alg. 1 as printed; phi, the neighbourhood and the colour space are the paper's. It gives no values
# for w1 and zeta: these are the released ones (0.5 standard deviations are about 29 grey levels).
paper_structured_teacher = dict(
    type="StructuredTeacher",
    algorithm="alg1",
    colour_space="rgb",
    w1=2.0,
    zeta=29.0,
    dilations=(1,),
    margin=0.0,
)

box_train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
