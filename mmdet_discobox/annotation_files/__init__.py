"""The one door of annotations: check, training, labelling and evaluation read a file here alike.

A COCO json is loaded and validated (:mod:`.coco_validation`), what its optional fields lack is
repaired (:mod:`.coco_repairs`), and other formats are read as a COCO json (:mod:`.box_formats`).
"""
