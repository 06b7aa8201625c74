"""Softmax regression and its SGD as textbooks have them, for images in rows."""

import numpy as np

NEAR = 0.01  # rounding may move two of 290 images over a border


def sets(names):
    """Return the training, validation and test sets, each (images, labels)."""
    return [(names[f"X_{p}"], names[f"y_{p}"]) for p in ("train", "valid", "test")]


def probabilities(images, W, b):
    """Return the class probabilities (N, 10) of images (N, 784)."""
    Z = (images @ W + np.ravel(b)).astype(float)
    return np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))


def score(images, labels, W, b):
    """Return the mean loss and the accuracy."""
    Y = probabilities(images, W, b)
    losses = -np.log(Y[np.arange(len(labels)), labels])
    return losses.mean(), np.mean(Y.argmax(axis=1) == labels)


def textbook_sgd(train, learning_rate, batch_size, epochs):
    """Return W and b after SGD as it is taught, from zero."""
    (X, y), rng = train, np.random.default_rng(0)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    for _ in range(epochs):
        for start in rng.permutation(np.arange(0, len(X), batch_size)):
            x, truth = X[start : start + batch_size], y[start : start + batch_size]
            error = probabilities(x, W, b) - np.eye(10)[truth]
            W = (W - learning_rate * x.T @ error / len(x)).astype(np.float32)
            b = (b - learning_rate * error.mean(axis=0)).astype(np.float32)
    return W, b


def assert_same(weights, expected):
    """W and b agree: rounding came to 1e-5 of the largest, one wrong step to 1e-2."""
    for name, found, true in zip("Wb", weights, expected, strict=True):
        share = np.abs(np.ravel(found) - np.ravel(true)).max() / np.abs(true).max()
        wrong = "not SGD from zero, batches in the order of default_rng(0)"
        assert share < 1e-3, f"{wrong}: {name} is off by {share:.1g} of its largest"
        assert found.dtype == np.float32, f"{name} has not 32 bits"
