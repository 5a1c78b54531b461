"""Persons with all losses and the paper's settings of the structured teacher."""

_base_ = ["./persons_solov2_lite0.py"]
model = dict(
    structured_teacher=dict(
        _delete_=True,
        cross_image=dict(type="CrossImageTerm", balanced=False),
        **_base_.paper_structured_teacher,
    )
)
