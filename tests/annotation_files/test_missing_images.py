"""Images that are missing are often there, in another place or spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdet_discobox.annotation_files.missing_images import missing_image_hint


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in ("a.png", "a.txt", "B.JPG", "train/x.jpg", "cam 1/7.jpg", "cam 2/7.jpg", "ü.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x.jpg", "'x.jpg' is in '{}/train': pass this .*, or write 'train/x.jpg'"),
        ("train\\x.jpg", "'train/x.jpg' is there: write `/` in the place of the backslashes"),
        ("images/a.png", "'images/a.png' is in '{0.parent}': pass this as the folder"),
        ("C:\\old\\a.png", "'a.png' is there: write this .* in the place of 'C:/old/a.png'"),
        ("old/train/x.jpg", "'train/x.jpg' is there: write this"),
        ("b.jpg", "'B.JPG' is there, in other upper and lower case than 'b.jpg'"),
        ("a.jpg", "'a.png' is there, with another ending than 'a.jpg'"),
        ("u\u0308.png", "has other Unicode characters"),
    ],
)
def test_where_an_image_is(images: Path, name: str, hint: str) -> None:
    found = missing_image_hint(name, images)
    assert found is not None
    pattern, _, rest = hint.partition(".*")
    assert pattern.format(images) in found
    assert rest in found


@pytest.mark.parametrize("name", ["8.jpg", "cam 3/7.jpg", "train", "B\0.JPG", "x" * 300])
def test_nothing_like_it_is_there(images: Path, name: str) -> None:
    """An image of the same number in another folder is another image."""
    assert missing_image_hint(name, images) is None
    assert missing_image_hint(name, images / "nowhere") is None


def test_a_relative_folder(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    assert "in 'train': pass this" in str(missing_image_hint("x.jpg", "."))
    assert "in 'train': pass this" in str(missing_image_hint("x.jpg", ""))
    assert f"in '{images.parent}'" in str(missing_image_hint("images/a.png", ""))
