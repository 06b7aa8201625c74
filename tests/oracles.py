"""What the notebook computes, computed otherwise: images in rows, 64 bits, loops."""

import inspect

import numpy as np


def sets(names):
    """Return the training, validation and test sets, each (images, labels)."""
    return [(names[f"X_{p}"], names[f"y_{p}"]) for p in ("train", "valid", "test")]


def seed_of(sgd):
    """Return the seed that it takes unless told otherwise."""
    return inspect.signature(sgd).parameters["seed"].default


def one_order(images, labels):
    """Return the pairs of image and label in an order of their own, to compare sets."""
    return sorted((x.tobytes(), y) for x, y in zip(images, labels, strict=True))


def probabilities(images, W, b):
    """Return the class probabilities (N, 10) of images (N, 784)."""
    Z = (images @ W + np.ravel(b)).astype(float)
    return np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))


def predictions(images, W, b):
    """Return the classes with the largest scores."""
    return (images @ W + np.ravel(b)).argmax(axis=1)


def score(images, labels, W, b):
    """Return the mean loss and the accuracy."""
    Z = (images @ W + np.ravel(b)).astype(float)
    losses = np.logaddexp.reduce(Z, axis=1) - Z[np.arange(len(labels)), labels]
    return losses.mean(), np.mean(predictions(images, W, b) == labels)


def textbook_sgd(train, learning_rate, batch_size, epochs, seed=0):
    """Return (W, b) after each epoch of SGD, as it is taught, from zero."""
    X, y = train
    rng = np.random.default_rng(seed)
    W, b = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)
    history = []
    for _ in range(epochs):
        for start in rng.permutation(np.arange(0, len(X), batch_size)):
            x, truth = X[start : start + batch_size], y[start : start + batch_size]
            error = probabilities(x, W, b) - np.eye(10)[truth]
            W = (W - learning_rate * x.T @ error / len(x)).astype(np.float32)
            b = (b - learning_rate * error.mean(axis=0)).astype(np.float32)
        history.append((W, b))
    return history


def assert_takes_its_steps(train_level, train, valid, learning_rate, plans, seed=0):
    """A level takes the textbook's steps, in trainings from short to long.

    `plans` are pairs (batch size, epochs); `train_level(*plan)` returns W, b and the
    validation accuracy after each epoch. Rounding came to 1e-5 of the largest weight,
    one wrong step to 1e-2.
    """
    shorter = ""
    for batch_size, epochs in plans:
        history = textbook_sgd(train, learning_rate, batch_size, epochs, seed)
        steps = epochs * -(-len(train[0]) // batch_size)
        when = f"after {steps} steps ({epochs} epochs, batches of {batch_size})"
        W, b, accuracies = train_level(batch_size, epochs)
        for name, found, true in zip("Wb", (W, b), history[-1], strict=True):
            difference = np.abs(np.reshape(found, true.shape) - true).max()
            share = difference / np.abs(true).max()
            assert share < 1e-3, (
                f"{name} is not the textbook's {when}{shorter}: "
                f"it differs by {share:.1g} of the largest value"
            )
            assert np.asarray(found).dtype == np.float32, f"{name} has not 32 bits"
        assert len(accuracies) == epochs, f"{len(accuracies)} accuracies {when}"
        for epoch, (found, weights) in enumerate(zip(accuracies, history, strict=True)):
            expected = score(*valid, *weights)[1]
            # Rounding may move two images over a border.
            assert abs(found - expected) <= 2.1 / len(valid[0]), (
                f"validation accuracy after epoch {epoch + 1} of {epochs} is {found}, "
                f"with these weights it should be {expected}"
            )
        shorter = f", though it was after {steps}"


def nearest(images, points, labels):
    """Return the label of the point that is nearest to each image."""
    return np.array(
        [labels[np.linalg.norm(points - x, axis=1).argmin()] for x in images]
    )
