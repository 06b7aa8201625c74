"""Load MNIST from the four files that lie beside this module.

They are gzip-compressed IDX files: a header of 16 bytes (images) or 8 (labels), then
the values, one unsigned byte each. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST
database of handwritten digits".
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
N_VALID = 10_000  # the last images of the training file validate

# SHA-256 of the uncompressed content.
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


def load_mnist():
    """Return `(X_train, y_train), (X_valid, y_valid), (X_test, y_test)`.

    `X_*` are images, float32 (N, 784) in [0, 1]; `y_*` are their labels, int64 (N,) in
    0...9. The last 10,000 images of the training file are the validation set: that
    makes 50,000 / 10,000 / 10,000, the split of Theano's tutorials.

    Raises ValueError where a file is not the original.
    """
    X, y = _images("train"), _labels("train")
    test = _images("t10k"), _labels("t10k")
    print("MNIST: the four files in data have the published checksums")
    return (X[:-N_VALID], y[:-N_VALID]), (X[-N_VALID:], y[-N_VALID:]), test


def _images(part):
    """Return the images of one part, float32 (N, 784)."""
    pixels = _content(f"{part}-images-idx3-ubyte.gz")[16:]
    return np.frombuffer(pixels, np.uint8).reshape(-1, 784) / np.float32(255)


def _labels(part):
    """Return the labels of one part, int64 (N,)."""
    labels = _content(f"{part}-labels-idx1-ubyte.gz")[8:]
    return np.frombuffer(labels, np.uint8).astype(np.int64)


def _content(name):
    """Return the uncompressed bytes of a file."""
    try:
        content = gzip.decompress((HERE / name).read_bytes())
    except (OSError, EOFError, zlib.error):
        content = b""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(
            f"{HERE / name} is missing or not the original. Take it anew from this "
            "repository, or from where data/README.md says ('To get a file back')."
        )
    return content
