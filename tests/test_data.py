"""The loader: the right arrays, and a clear refusal of all other files."""

import gzip
import shutil

import numpy as np
import pytest

from data.mnist import HERE, SHA256, load_mnist


def test_arrays_are_the_files_bytes():
    (X, y), (X_valid, y_valid), test = load_mnist()
    assert (len(y), len(y_valid)) == (50_000, 10_000)
    train = np.concatenate([X, X_valid]), np.concatenate([y, y_valid])
    for name, found in zip(SHA256, (*train, *test), strict=True):
        header, scale = (16, np.float32(255)) if "images" in name else (8, 1)
        values = gzip.decompress((HERE / name).read_bytes())[header:]
        expected = np.frombuffer(values, np.uint8) / scale
        assert np.array_equal(found.ravel(), expected), name
        assert found.dtype == (np.float32 if scale > 1 else np.int64), name


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
