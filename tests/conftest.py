"""The sections of the notebook, run on few images: a test takes those that it needs."""

import pytest
from cells import execute

from data import mnist

FEW = 1030, 290, 300  # images to train, validate, test: two batches of 500, one of 30


@pytest.fixture(scope="session")
def section_3():
    few = [(X[:n], y[:n]) for (X, y), n in zip(mnist.load_mnist(), FEW, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "load_mnist", lambda: few)
        return execute({"few": few}, "3")


@pytest.fixture(scope="session")
def arrays(section_3):
    """The sets of section 3 alone: Levels 2 and 3 must need no more."""
    return {k: v for k, v in section_3.names.items() if k[:2] in ("X_", "y_")}


@pytest.fixture(scope="session")
def level_1(section_3):
    return execute(section_3.names.copy(), "4")


@pytest.fixture(scope="session")
def level_2(arrays):
    return execute(arrays.copy(), "5")


@pytest.fixture(scope="session")
def level_3(arrays):
    return execute(arrays.copy(), "6")


@pytest.fixture(scope="session")
def beyond(level_1, level_2, level_3):
    return execute(level_2.names | level_3.names | level_1.names, "78")
