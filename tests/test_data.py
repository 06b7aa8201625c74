"""The loader: the right arrays, and a clear refusal of all other files."""

import gzip
import hashlib
import re
import shutil

import numpy as np
import pytest

from data.mnist import HERE, SHA256, load_mnist

SMALL = "t10k-labels-idx1-ubyte.gz"
# The part of MNIST, its first image in this set, how many of each digit.
SETS = [
    ("train", 0, [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]),
    ("train", 50_000, [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]),
    ("t10k", 0, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
]


@pytest.fixture(scope="module")
def raw():
    """The content of the four files."""
    return {name: gzip.decompress((HERE / name).read_bytes()) for name in SHA256}


def test_arrays_are_the_bytes_of_the_files_in_the_usual_split(raw, capsys):
    grey = np.array([value / 255 for value in range(256)], np.float32)
    for (X, y), (part, first, counts) in zip(load_mnist(), SETS, strict=True):
        some = slice(first, first + sum(counts))
        images = np.frombuffer(raw[f"{part}-images-idx3-ubyte.gz"][16:], np.uint8)
        labels = np.frombuffer(raw[f"{part}-labels-idx1-ubyte.gz"][8:], np.uint8)
        assert np.array_equal(X, grey[images.reshape(-1, 784)[some]])
        assert np.array_equal(y, labels[some])
        assert np.bincount(y).tolist() == counts
        assert (X.dtype, y.dtype) == (np.float32, np.int64)
        assert X.flags.c_contiguous, "training would be slower"
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1, "the notebook shows one line"
    assert str(HERE.parent) not in printed, "the notebook shows a path of this machine"


def test_readme_names_the_published_md5_of_each_file(raw):
    text = (HERE / "README.md").read_text("utf-8")
    for name, content in raw.items():
        md5 = hashlib.md5(content).hexdigest()
        assert re.search(f"`{name}`.*{len(content):,}.*`{md5}`", text), name


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "one wrong byte") for name in SHA256),
        *((SMALL, damage) for damage in ("gone", "damaged", "a web page", "cut short")),
    ],
)
def test_other_files_are_refused_by_name(name, damage, raw, tmp_path, monkeypatch):
    shutil.copytree(HERE, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("data.mnist.HERE", tmp_path)
    path, content = tmp_path / name, raw[name]
    path.write_bytes(
        {
            "one wrong byte": gzip.compress(content[:-1] + bytes([content[-1] ^ 1]), 0),
            "gone": b"",
            "damaged": path.read_bytes()[:10] + 99 * b"\xff",
            "a web page": b"<html>404 Not found</html>",
            "cut short": path.read_bytes()[:-9],
        }[damage]
    )
    if damage == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=rf"{name} .*data/README\.md"):
        load_mnist()
