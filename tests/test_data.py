"""The loader: the right arrays, and a clear refusal of all other files."""

import gzip
import hashlib
import os
import re
import shutil
import struct
import tracemalloc

import numpy as np
import pytest

from data.mnist import HERE, SHA256, load_mnist

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = SHA256
# The part of MNIST, its first image in this set, how many of each digit.
SETS = [
    ("train", 0, [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]),
    ("train", 50_000, [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]),
    ("t10k", 0, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
]


def idx(*shape, value=0):
    """Return a gzip-compressed IDX file of this shape, filled with `value`."""
    header = struct.pack(f">{1 + len(shape)}i", 0x800 + len(shape), *shape)
    return gzip.compress(header + bytes([value]) * int(np.prod(shape)))


README = (HERE / "README.md").read_text("utf-8")
RAW = {name: gzip.decompress((HERE / name).read_bytes()) for name in SHA256}
ZEROS = gzip.compress(bytes(10_001 * 784))  # 8 kB that hold 8 MB
# gzip files may be joined end to end.
GOOD = gzip.compress(struct.pack(">4i", 0x803, 10_001, 28, 28)) + ZEROS
HUGE = gzip.compress(struct.pack(">4i", 0x803, 1_000_001, 28, 28)) + 100 * ZEROS


@pytest.fixture
def folder(tmp_path):
    """The smallest data set that loads."""
    smallest = [GOOD, idx(10_001), idx(1, 28, 28), idx(1)]
    for name, content in zip(SHA256, smallest, strict=True):
        (tmp_path / name).write_bytes(content)
    return tmp_path


# --- MNIST ---


def test_shipped_files_are_the_published_ones_and_the_readme_says_so():
    row = r"\| `(\S+)` \| ([\d,]*).* \| ([\d,]+) \| `(\w+)` \|"
    table = {name: row for name, *row in re.findall(row, README)}
    assert table.keys() == RAW.keys()
    for name, raw in RAW.items():
        images = int.from_bytes(raw[4:8], "big") if "images" in name else None
        md5 = hashlib.md5(raw).hexdigest()
        expected = [f"{images:,}" if images else "", f"{len(raw):,}", md5]
        assert table[name] == expected, f"data/README.md on {name}"


@pytest.fixture(scope="module")
def mnist():
    """The training, the validation and the test set."""
    return load_mnist()


def test_arrays_are_the_bytes_of_the_files_in_the_usual_split(mnist):
    grey = np.array([value / 255 for value in range(256)], np.float32)
    for (X, y), (part, first, counts) in zip(mnist, SETS, strict=True):
        images = RAW[f"{part}-images-idx3-ubyte.gz"][16:]  # after the header
        labels = RAW[f"{part}-labels-idx1-ubyte.gz"][8:]
        some = slice(first, first + sum(counts))
        images = np.frombuffer(images, np.uint8).reshape(-1, 784)[some]
        assert np.array_equal(X, grey[images])
        assert y.tolist() == list(labels[some])
        assert np.bincount(y).tolist() == counts
        assert (X.dtype, y.dtype) == (np.float32, np.int64)
        assert X.flags.c_contiguous, "training would be slower"


def test_readme_tells_the_split_of_the_loader(mnist):
    row = r"^\| \w+ \| `(\w+)` \| ([\d,]+) to ([\d,]+) \|$"
    split = re.findall(row, README, re.MULTILINE)
    for (part, *ends), (_, y) in zip(split, mnist, strict=True):
        first, last = (int(end.replace(",", "")) for end in ends)
        labels = RAW[f"{part}-labels-idx1-ubyte.gz"][8:]
        assert y.tolist() == list(labels[first : last + 1])


def test_loader_prints_which_files_it_read(folder, capsys):
    """The shipped case is stored in the notebook: no path of one machine."""
    load_mnist()
    (line,) = capsys.readouterr().out.splitlines()
    assert "MNIST" in line and str(HERE.parent) not in line
    load_mnist(folder)
    (line,) = capsys.readouterr().out.splitlines()
    assert str(folder) in line and "MNIST" not in line


def test_shipped_file_with_one_wrong_byte_is_noticed(tmp_path, monkeypatch):
    data = shutil.copytree(HERE, tmp_path / "data")
    monkeypatch.setattr("data.mnist.HERE", data)
    for name, raw in RAW.items():
        (data / name).write_bytes(
            gzip.compress(raw[:-1] + bytes([raw[-1] ^ 1]), 0)
        )
        with pytest.raises(
            ValueError, match=f"SHA-256.*git checkout -- data/{name}"
        ):
            load_mnist(data)
        shutil.copy(HERE / name, data)


# --- Other files ---


def too_few(path):
    """Write a training set that leaves nothing for training."""
    path.write_bytes(idx(10_000))
    (path.parent / IMAGES).write_bytes(idx(10_000, 28, 28))


REFUSED = {  # what is wrong: the file, what stands in its place, the message
    "missing": (IMAGES, lambda path: None, "is missing. data/README.md says"),
    "a folder": (IMAGES, os.mkdir, "is not a regular file"),
    "empty": (IMAGES, b"", "ends inside its IDX header"),
    "a web page": (
        IMAGES,
        b"<html>404 Not found</html>",
        "not a valid gzip file",
    ),
    "cut short": (IMAGES, GOOD[:-8], "is truncated"),
    "damaged": (IMAGES, GOOD[:-8] + bytes(8), "CRC check failed"),
    "more after the end": (IMAGES, GOOD + b"more", "not a valid gzip file"),
    "labels for images": (IMAGES, idx(10_001), "2049 instead of 2051"),
    "oblong images": (
        IMAGES,
        idx(10_001, 14, 56),
        "14×56 pixels instead of 28×28",
    ),
    "a label too few": (LABELS, idx(10_000), "do not belong together"),
    "none to train": (
        LABELS,
        too_few,
        "10,000 labels: more than 10,000 are needed",
    ),
    "label 10": (
        TEST_LABELS,
        idx(1, value=10),
        "has label 10; 0 to 9 are allowed",
    ),
    "no test images": (TEST_IMAGES, idx(0, 28, 28), "announces 0 images"),
    "a gzip bomb": (IMAGES, GOOD + 100 * ZEROS, "more than the 10,001 images"),
    "one that says so": (IMAGES, HUGE, "1,000,001 images: from 1 to 1,000,000"),
}


@pytest.mark.parametrize(
    ("name", "damage", "message"), REFUSED.values(), ids=REFUSED
)
def test_unusable_file_is_refused_by_name_and_cheaply(
    name, damage, message, folder
):
    path = folder / name
    path.unlink()
    damage(path) if callable(damage) else path.write_bytes(damage)
    tracemalloc.start()
    with pytest.raises((ValueError, OSError), match=f"{name}.*{message}"):
        load_mnist(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # bytes; the bombs hold 800e6
