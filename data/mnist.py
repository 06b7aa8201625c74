"""Load MNIST, or another data set in its format, from four files.

They are gzip-compressed IDX files: a big-endian header of 32-bit integers (a
magic number, then one integer per dimension), then the values, one unsigned
byte each. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits".
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
N_VALID = 10_000  # the last images of the training file validate
MAX_N = 1_000_000  # images in a file: EMNIST's largest, with 697,932, would fit

# SHA-256 of the uncompressed content of the files that lie beside this module.
SHA256 = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738"
    "ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5"
    "333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77"
    "db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351"
    "222c34898ecbeaf847f06e48f7ec33f2",
}


def load_mnist(directory=HERE):
    """Return `(X_train, y_train), (X_valid, y_valid), (X_test, y_test)`.

    `X_*` are images, float32 (N, 784) in [0, 1]; `y_*` are their labels, int64
    (N,) in 0...9. The last 10,000 images of the training file are the
    validation set: for MNIST that makes 50,000 / 10,000 / 10,000, the split of
    Theano's tutorials.

    `directory` (`~` stands for the home folder) holds the four files named in
    `SHA256`. The shipped ones are verified by their checksums, other data of
    the same format (Fashion-MNIST, EMNIST digits) by its structure; a printed
    line says which of the two it was. A file may hold 1 to 1,000,000 images,
    and is unpacked no further than its header announces.

    Raises FileNotFoundError or another OSError where a file cannot be read, and
    ValueError where its content is not what it should be.
    """
    directory = Path(os.path.expanduser(directory))
    X, y = _read_pair(directory, "train")
    test = _read_pair(directory, "t10k")
    if len(y) <= N_VALID:
        raise ValueError(
            f"{directory / 'train-labels-idx1-ubyte.gz'} has {len(y):,} "
            f"labels: more than {N_VALID:,} are needed, because the last "
            f"{N_VALID:,} validate."
        )
    if _is_shipped(directory):
        print("MNIST: the four files in data have the published checksums")
    else:
        print(f"Other data, from {directory}: only their structure is checked")
    return (X[:-N_VALID], y[:-N_VALID]), (X[-N_VALID:], y[-N_VALID:]), test


def _is_shipped(directory):
    """Say whether this is the shipped folder, where this module lies."""
    return directory.resolve() == HERE


def _read_pair(directory, part):
    """Return the images (N, 784) and the labels (N,) of one part."""
    image_path = directory / f"{part}-images-idx3-ubyte.gz"
    label_path = directory / f"{part}-labels-idx1-ubyte.gz"
    images = _read_idx(image_path, 28, 28)
    labels = _read_idx(label_path)
    if len(images) != len(labels):
        raise ValueError(
            f"{image_path} has {len(images):,} images but {label_path.name} "
            f"has {len(labels):,} labels: they do not belong together."
        )
    if labels.max() > 9:
        raise ValueError(
            f"{label_path} has label {labels.max()}; 0 to 9 are allowed."
        )
    return images.reshape(-1, 784) / np.float32(255), labels.astype(np.int64)


def _read_idx(path, *item):
    """Return the values of the .gz IDX file `path`, uint8 (N, *item)."""
    shipped = _is_shipped(path.parent)
    remedy = "data/README.md says what it must hold."
    if shipped:
        remedy = (
            f"To get the shipped file back: git checkout -- data/{path.name}"
        )
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. {remedy}")
    if not path.is_file():  # opening a FIFO would wait for its writer
        raise OSError(f"{path} is not a regular file. {remedy}")
    try:
        with gzip.open(path) as file:
            header, values = _unpack(file, item)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is truncated or not a valid gzip file ({error}). {remedy}"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} {error}. {remedy}") from None
    digest = hashlib.sha256(header + values).hexdigest()
    if shipped and digest != SHA256[path.name]:
        raise ValueError(
            f"{path} is not the original: its SHA-256 differs. {remedy}"
        )
    return np.frombuffer(values, np.uint8).reshape(-1, *item)


def _unpack(file, item):
    """Return the header and the values of the IDX `file` of N items, as bytes.

    Reads at most one byte more than the header announces. What a ValueError
    says lacks its subject, the name of the file.
    """
    what = "images" if item else "labels"
    header = file.read(8 + 4 * len(item))
    if len(header) < 8 + 4 * len(item):
        raise ValueError("ends inside its IDX header")
    magic, n, *shape = struct.unpack(f">{2 + len(item)}i", header)
    expected = 0x801 + len(item)  # 0x08 for unsigned bytes, then the dimensions
    if magic != expected:
        raise ValueError(
            f"starts with the number {magic} instead of {expected}: "
            f"it is not an IDX file of {what}"
        )
    if tuple(shape) != item:
        raise ValueError(
            "holds images of {}×{} pixels instead of 28×28".format(*shape)
        )
    if not 1 <= n <= MAX_N:
        raise ValueError(
            f"announces {n:,} {what}: from 1 to {MAX_N:,} can be read"
        )
    size = math.prod(item, start=n)
    values = file.read(size + 1)  # the one byte more shows a surplus
    if len(values) != size:
        held = "more" if len(values) > size else "less"
        raise ValueError(f"holds {held} than the {n:,} {what} it announces")
    return header, values
