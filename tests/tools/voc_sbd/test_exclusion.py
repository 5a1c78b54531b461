"""Lists of images to leave out."""

from __future__ import annotations

import pytest

from voc_sbd import read_exclusion, read_pf_pascal_test

TEST = """source_image,target_image,class,XA,YA,XB,YB
PF-dataset-PASCAL/JPEGImages/2008_000033.jpg,PF-dataset-PASCAL/JPEGImages/2010_004348.jpg,1,1;2,3;4,5;6,7;8
PF-dataset-PASCAL\\JPEGImages\\2008_000033.jpg, 2008_000090.jpg ,1,1,2,3,4
"""
TRAIN = "source_image,target_image,class,flip\nJPEGImages/2009_000015.jpg,2009_000016.jpg,1,0\n"
NAMES = {"2008_000033", "2010_004348", "2008_000090"}


def write(tmp_path, text, name="pairs.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_test_pairs_of_pf_pascal(tmp_path, encoding):
    path = write(tmp_path, TEST, encoding=encoding)
    assert read_pf_pascal_test(path) == read_exclusion(path) == NAMES


def test_the_training_pairs_are_no_test_pairs(tmp_path):
    """The mistake of the released script."""
    path = write(tmp_path, TRAIN)
    with pytest.raises(ValueError, match=r"Expected the test pairs .*'flip'\].*use --exclude"):
        read_pf_pascal_test(path)
    assert read_exclusion(path) == {"2009_000015", "2009_000016"}


def test_a_text_file(tmp_path):
    text = "2008_000033\n\nJPEGImages/2010_004348.jpg 1\n  2008_000090.png\n"
    assert read_exclusion(write(tmp_path, text, "list.txt")) == NAMES


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_an_empty_list(tmp_path, name):
    with pytest.raises(ValueError, match="Expected names of images in .*none. A csv has a header"):
        read_exclusion(write(tmp_path, "\n \n", name))


@pytest.mark.parametrize("reader", [read_exclusion, read_pf_pascal_test])
def test_no_list(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=r"Expected a list of images at .*missing\.csv"):
        reader(tmp_path / "missing.csv")
