"""Load MNIST, or any data set in its format, from four gzip-compressed IDX files.

The IDX format: a big-endian header of 32-bit integers (a magic number, then one
integer per dimension), followed by the values, one unsigned byte each.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
N_VALID = 10_000  # the last images of the training file validate

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

    `X_*` are images, float32 (N, 784) in [0, 1]; `y_*` are their labels, int64 (N,)
    in 0...9. The last 10,000 images of the training file are the validation set:
    for MNIST that makes 50,000 / 10,000 / 10,000, the split of Theano's tutorials.

    `directory` holds the four files named in `SHA256`. The shipped ones are verified
    by their checksums; a folder with other data of the same format (Fashion-MNIST,
    EMNIST digits) is verified by its structure.

    Raises FileNotFoundError or another OSError where a file cannot be read, and
    ValueError where its content is not what it should be.
    """
    directory = Path(directory)
    X, y = _read_pair(directory, "train")
    test = _read_pair(directory, "t10k")
    if len(y) <= N_VALID:
        raise ValueError(
            f"{directory / 'train-labels-idx1-ubyte.gz'} has {len(y):,} labels: more "
            f"than {N_VALID:,} are needed, because the last {N_VALID:,} validate."
        )
    return (X[:-N_VALID], y[:-N_VALID]), (X[-N_VALID:], y[-N_VALID:]), test


def _read_pair(directory, part):
    """Return the images (N, 784) and the labels (N,) of one part, checked together."""
    image_path = directory / f"{part}-images-idx3-ubyte.gz"
    label_path = directory / f"{part}-labels-idx1-ubyte.gz"
    images = _read_idx(image_path, n_dimensions=3)
    labels = _read_idx(label_path, n_dimensions=1)
    if images.shape[1:] != (28, 28):
        raise ValueError(
            f"{image_path} holds images of {images.shape[1]}×{images.shape[2]} pixels "
            "instead of 28×28."
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{image_path} has {len(images):,} images but {label_path.name} has "
            f"{len(labels):,} labels: they do not belong together."
        )
    if len(labels) and labels.max() > 9:
        raise ValueError(
            f"{label_path} has the label {labels.max()}: labels are 0 to 9."
        )
    X = images.reshape(-1, 784) / np.float32(255)
    return X, labels.astype(np.int64)


def _read_idx(path, n_dimensions):
    """Return the bytes of one .gz IDX file as an array of `n_dimensions` dimensions."""
    shipped = path.parent.resolve() == HERE
    remedy = (
        f"To get the shipped file back: git checkout -- data/{path.name}"
        if shipped
        else "Get this file again from where the data set came from."
    )
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing. {remedy}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is truncated or not a valid gzip file ({error}). {remedy}"
        ) from None

    if shipped and hashlib.sha256(raw).hexdigest() != SHA256[path.name]:
        raise ValueError(f"{path} is not the original: its SHA-256 differs. {remedy}")

    header_size = 4 + 4 * n_dimensions
    if len(raw) < header_size:
        raise ValueError(f"{path} ends inside its IDX header. {remedy}")
    magic, *shape = np.frombuffer(raw, ">i4", count=1 + n_dimensions).tolist()
    expected_magic = 0x800 + n_dimensions  # 0x08 means unsigned bytes
    if magic != expected_magic:
        raise ValueError(
            f"{path} starts with the number {magic} instead of {expected_magic}: it is "
            f"not an IDX file of bytes in {n_dimensions} dimension(s). {remedy}"
        )
    if min(shape) < 0 or np.prod(shape, dtype=object) != len(raw) - header_size:
        raise ValueError(
            f"{path} announces the shape {tuple(shape)} but holds "
            f"{len(raw) - header_size:,} bytes. {remedy}"
        )
    return np.frombuffer(raw, np.uint8, offset=header_size).reshape(shape)
