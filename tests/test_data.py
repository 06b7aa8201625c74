"""The loader: the right arrays, and a clear refusal of all other files."""

import gzip
import shutil

import numpy as np
import pytest

from data.mnist import HERE, SHA256, load_mnist


def values(name, header):
    content = gzip.decompress((HERE / name).read_bytes())
    return np.frombuffer(content, np.uint8)[header:]


def test_arrays_are_the_files_bytes():
    (X, y), (X_valid, y_valid), test = load_mnist()
    assert (len(y), len(y_valid)) == (50_000, 10_000)
    train = np.concatenate([X, X_valid]), np.concatenate([y, y_valid])
    for part, (images, labels) in {"train": train, "t10k": test}.items():
        pixels = values(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        assert np.array_equal(images, pixels / np.float32(255))
        assert np.array_equal(labels, values(f"{part}-labels-idx1-ubyte.gz", 8))
        assert (images.dtype, labels.dtype) == (np.float32, np.int64)


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
