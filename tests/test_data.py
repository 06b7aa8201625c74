"""The loader: the right arrays, and a clear refusal of all other files."""

import gzip
import shutil

import numpy as np
import pytest

from data.mnist import HERE, SHA256, load_mnist

# The part of MNIST, its first image in this set, how many of each digit.
SETS = [
    ("train", 0, [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]),
    ("train", 50_000, [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]),
    ("t10k", 0, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
]


def values(name, header):
    content = gzip.decompress((HERE / name).read_bytes())
    return np.frombuffer(content, np.uint8)[header:]


def test_arrays_are_the_files_bytes():
    for (X, y), (part, first, counts) in zip(load_mnist(), SETS, strict=True):
        some = slice(first, first + sum(counts))
        images = values(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)[some]
        assert np.array_equal(X, images / np.float32(255))
        assert np.array_equal(y, values(f"{part}-labels-idx1-ubyte.gz", 8)[some])
        assert np.bincount(y).tolist() == counts
        assert (X.dtype, y.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("name", SHA256)
def test_damaged_file_is_refused(name, tmp_path, monkeypatch):
    shutil.copytree(HERE, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("data.mnist.HERE", tmp_path)
    original = (tmp_path / name).read_bytes()
    content = gzip.decompress(original)
    wrong = gzip.compress(content[:-1] + bytes([content[-1] ^ 1]), 0)
    for damaged in wrong, original[:-9], b"<html>404 Not found</html>":
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name} .*data/README\.md"):
            load_mnist()
