"""COCO-format photographs of persons. The folder comes from the environment, or --cfg-options."""

persons_root = "{{$DISCOBOX_DATA:data}}/persons/"
persons_dataset = dict(
    data_root=persons_root,
    data_prefix=dict(img="images/"),
    metainfo=dict(classes=("person",)),
)
