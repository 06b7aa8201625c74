"""The contenders of `make bench`: the same model, trained by eight programs.

`contenders.py NAME` loads the data and one of them, then answers requests: one JSON
list per line, `[method, arguments...]`, is answered by one line of JSON. The first line
is "ready". So all can be loaded at once, and only the one that is asked computes.
"""

import io
import json
import linecache
import sys
import time
import tracemalloc
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path

import numpy as np

from data.mnist import load_mnist

NOTEBOOK = Path(__file__).resolve().parent.parent.parent / "hw1.ipynb"
RATE = 1.0  # the learning rate of the notebook
ONE = slice(0, 1)  # validation by one image: `sgd` and `main` validate every epoch


def notebook_cells(names, *ids):
    """Execute the cells of hw1.ipynb with these ids in the namespace `names`."""
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    source = {cell["id"]: "".join(cell["source"]) for cell in cells}
    names["__name__"] = __name__
    for each in ids:
        # With this, tracebacks and TensorFlow, which reads the source, find the lines.
        linecache.cache[each] = (
            len(source[each]),
            None,
            source[each].splitlines(True),
            each,
        )
        exec(compile(source[each], each, "exec"), names)
    return names


class Contender:
    """What all have: the data, with 50,000 images repeated where `n` asks for more."""

    def __init__(self):
        (self.X, self.y), self.valid, _ = load_mnist()

    def data(self, n):
        """Return n images (n, 784) and their labels (n,)."""
        if n > len(self.X):
            repeats = -(-n // len(self.X))
            self.X, self.y = np.tile(self.X, (repeats, 1)), np.tile(self.y, repeats)
        return self.X[:n], self.y[:n]

    def accuracy(self, W, b):
        """Return the validation accuracy of W (784, 10) and b (10,)."""
        X, y = self.valid
        return float(np.mean((X @ W + b).argmax(axis=1) == y))

    def seconds(self, batch_size, epochs=1, n=50_000):
        """Return the seconds per epoch of a training."""
        return self.train(batch_size, epochs, *self.data(n)) / epochs

    def memory(self, batch_size):
        """Return the most memory, in 10⁶ bytes, that a training takes beside X, y."""
        self.seconds(batch_size, n=2 * batch_size)  # what the library takes for good
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = process_memory("VmRSS")
        self.seconds(batch_size)
        return (process_memory("VmHWM") - before) / 1e6


def process_memory(key):
    """Return VmRSS, this process's memory, or VmHWM, its peak, in bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no {key}")


class Numpy(Contender):
    """Level 3: `sgd` of the notebook, and its `sweep`."""

    @cached_property
    def level(self):
        names = ["one-hot", "softmax", "gradients", "loss", "evaluate", "train"]
        ids = [f"level-3-{name}" for name in [*names, "sweep-function"]]
        level = notebook_cells({"np": np}, "check-parameters", *ids)
        # Left out: it runs once per training, and would weigh too much in one epoch.
        # (The seconds that Theano's `main` returns do not hold it either.)
        level["check_set"] = lambda X, Y: None
        return level

    def columns(self, X, y):
        """Return the images and the one-hot labels in the shapes of Level 3."""
        return X.T, self.level["one_hot"](y)

    def train(self, batch_size, epochs, X, y):
        X, Y = self.columns(X, y)
        start = time.perf_counter()
        self.level["sgd"](X, Y, X[:, ONE], Y[:, ONE], RATE, batch_size, epochs)
        return time.perf_counter() - start

    def accuracies(self, batch_size, epochs):
        sets = *self.columns(*self.data(50_000)), *self.columns(*self.valid)
        history = self.level["sgd"](*sets, RATE, batch_size, epochs)[2]
        return [float(accuracy) for _, accuracy in history]

    def memory(self, batch_size):
        """As above, but exact: numpy tells tracemalloc of its arrays."""
        X, Y = self.columns(*self.data(50_000))
        tracemalloc.start()
        self.level["sgd"](X, Y, X[:, ONE], Y[:, ONE], RATE, batch_size, 1)
        return tracemalloc.get_traced_memory()[1] / 1e6

    def sweep(self, batch_size, rates):
        """Return the seconds per epoch of `sweep` with this number of rates."""
        X, Y = self.columns(*self.data(50_000))
        Lr = [10.0 ** (k - 10) for k in range(rates)]
        start = time.perf_counter()
        self.level["sweep"](X, Y, X[:, ONE], Y[:, ONE], Lr, batch_size, 1)
        return time.perf_counter() - start

    def floor(self, batch_size):
        """Return the seconds of an epoch's matrix products alone, batches in memory."""
        X, _ = self.data(50_000)
        W = np.full((784, 10), 0.1, np.float32)
        G = np.full((10, batch_size), 0.1, np.float32)
        batches = [X[i : i + batch_size].T for i in range(0, len(X), batch_size)]
        start = time.perf_counter()
        for x in batches:
            _ = W.T @ x
            _ = x @ G[:, : x.shape[1]].T
        return time.perf_counter() - start

    def fetch(self, batch_size):
        """Return the seconds in which an epoch of `sgd` copies its batches."""
        X, Y = self.columns(*self.data(50_000))
        order = np.random.default_rng(0).permutation(50_000)
        start = time.perf_counter()
        for i in range(0, len(order), batch_size):
            batch = order[i : i + batch_size]
            _ = X[:, batch], Y[:, batch]
        return time.perf_counter() - start

    def fetch_bytes(self, batch_size):
        """Return the same for images that are kept as bytes: each batch is scaled."""
        X, Y = self.columns(*self.data(50_000))
        X = (X * 255).astype(np.uint8)
        scale = np.float32(1 / 255)
        order = np.random.default_rng(0).permutation(50_000)
        start = time.perf_counter()
        for i in range(0, len(order), batch_size):
            batch = order[i : i + batch_size]
            _ = X[:, batch] * scale, Y[:, batch]
        return time.perf_counter() - start


class Theano(Contender):
    """Level 2: `main` of the notebook. Compiling is not counted."""

    @cached_property
    def level(self):
        names = {"np": np}
        ids = [f"level-2-{name}" for name in ("import", "data", "model", "main")]
        return notebook_cells(names, "check-parameters", "check-set", *ids)

    def train(self, batch_size, epochs, X, y):
        one = X[ONE], y[ONE]
        return self.level["main"]((X, y), one, one, RATE, batch_size, epochs)[3]

    def accuracies(self, batch_size, epochs):
        one = self.X[ONE], self.y[ONE]
        sets = self.data(50_000), self.valid, one
        return self.level["main"](*sets, RATE, batch_size, epochs)[1]


class Keras(Contender):
    """Level 1: the cells of the notebook. Tracing, in the warm-up, is not counted."""

    def prepare(self, batch_size, X, y):
        """Execute the cells before the training with these data, once for each size."""
        if getattr(self, "prepared", None) != (batch_size, len(X)):
            self.level = notebook_cells({"np": np, "time": time}, "level-1-parameters")
            X_valid, y_valid = self.valid
            self.level |= {"X_train": X, "y_train": y, "options": {}}
            self.level |= {"X_valid": X_valid, "y_valid": y_valid}
            self.level |= {"batch_size": batch_size, "learning_rate": RATE}
            ids = [
                f"level-1-{name}" for name in ("data", "model", "compile", "batches")
            ]
            notebook_cells(self.level, *ids)
            self.prepared = batch_size, len(X)

    def train(self, batch_size, epochs, X, y):
        self.prepare(batch_size, X, y)
        self.level["epochs"] = epochs
        return notebook_cells(self.level, "level-1-train")["seconds"]

    def accuracies(self, batch_size, epochs):
        self.prepared = None  # from zero weights
        self.prepare(batch_size, *self.data(50_000))
        valid = self.level["X_valid"], self.level["Y_valid"]
        self.level["options"] = {"validation_data": valid}
        self.train(batch_size, epochs, *self.data(50_000))
        return self.level["history"]["val_accuracy"]


class KerasDefaults(Contender):
    """`fit` with arrays, as in most tutorials, and no `steps_per_execution`."""

    def prepare(self):
        import keras

        model = keras.Sequential([keras.Input((784,))])
        dense = keras.layers.Dense
        model.add(dense(10, activation="softmax", kernel_initializer="zeros"))
        optimizer = keras.optimizers.SGD(RATE)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, batch_size, epochs, X, y, **options):
        if not hasattr(self, "model"):
            self.model = self.prepare()
        Y = np.eye(10, dtype=np.float32)[y]
        start = time.perf_counter()
        history = self.model.fit(X, Y, batch_size, epochs, verbose=0, **options).history
        return history, time.perf_counter() - start

    def train(self, batch_size, epochs, X, y):
        return self.fit(batch_size, epochs, X, y)[1]

    def accuracies(self, batch_size, epochs):
        self.model = self.prepare()
        X_valid, y_valid = self.valid
        valid = X_valid, np.eye(10, dtype=np.float32)[y_valid]
        sets = self.data(50_000)
        return self.fit(batch_size, epochs, *sets, validation_data=valid)[0][
            "val_accuracy"
        ]


class Steps(Contender):
    """Contenders whose `epochs_of` yields W (784, 10) and b (10,) after each epoch."""

    def train(self, batch_size, epochs, X, y):
        steps = self.epochs_of(batch_size, X, y)
        next(steps)  # what is prepared before the first epoch
        start = time.perf_counter()
        for _ in range(epochs):
            next(steps)
        return time.perf_counter() - start

    def accuracies(self, batch_size, epochs):
        steps = self.epochs_of(batch_size, *self.data(50_000))
        next(steps)
        return [self.accuracy(*next(steps)) for _ in range(epochs)]


class PyTorch(Steps):
    """The loop that its tutorials teach, with a batch gathered by an index."""

    def epochs_of(self, batch_size, X, y):
        import torch

        torch.set_num_threads(1)
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        model = torch.nn.Linear(784, 10)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        generator = torch.Generator().manual_seed(0)
        yield
        while True:
            order = torch.randperm(len(X), generator=generator)
            for batch in order.split(batch_size):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(X[batch]), y[batch])
                loss.backward()
                optimizer.step()
            yield model.weight.detach().numpy().T, model.bias.detach().numpy()


class Jax(Steps):
    """One compiled function per epoch, `lax.scan` over its batches."""

    def epochs_of(self, batch_size, X, y):
        import jax
        from jax import numpy as jnp

        X, Y = jnp.asarray(X), jax.nn.one_hot(y, 10)
        steps = len(X) // batch_size

        def loss(parameters, batch):
            W, b = parameters
            log_y = jax.nn.log_softmax(X[batch] @ W + b)
            return -(Y[batch] * log_y).sum(axis=1).mean()

        def step(parameters, batch):
            gradient = jax.grad(loss)(parameters, batch)
            return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradient), None

        @jax.jit
        def epoch(parameters, key):
            order = jax.random.permutation(key, len(X))[: steps * batch_size]
            batches = order.reshape(steps, batch_size)
            return jax.lax.scan(step, parameters, batches)[0]

        parameters = jnp.zeros((784, 10)), jnp.zeros(10)
        key = jax.random.key(0)
        epoch(parameters, key)  # compiles
        yield
        while True:
            key, now = jax.random.split(key)
            parameters = jax.block_until_ready(epoch(parameters, now))
            yield tuple(np.asarray(p) for p in parameters)


class SGDClassifier(Steps):
    """scikit-learn: one image per step, and ten models of one digit against the rest.

    Its rate is that of one image in a batch of the others.
    """

    def epochs_of(self, batch_size, X, y):
        from sklearn.linear_model import SGDClassifier

        model = SGDClassifier(
            loss="log_loss",
            penalty=None,
            learning_rate="constant",
            eta0=RATE / batch_size,
            random_state=0,
        )
        yield
        while True:
            model.partial_fit(X, y, classes=range(10))
            yield model.coef_.T, model.intercept_


class LogisticRegression(Contender):
    """scikit-learn's solvers, which have no epochs in common with the others."""

    def reaches(self, solver, iterations, targets):
        """Return {target: [seconds, iterations]} for the first run that reaches it.

        Each number in `iterations` is a run from the start, timed once.
        """
        import warnings

        from sklearn import linear_model

        warnings.simplefilter("ignore")  # that it has not converged is the point
        found = {}
        for n in iterations:
            model = linear_model.LogisticRegression(
                solver=solver, max_iter=n, tol=0, C=1.0, random_state=0
            )
            start = time.perf_counter()
            model.fit(self.X, self.y)
            seconds = time.perf_counter() - start
            accuracy = self.accuracy(model.coef_.T, model.intercept_)
            for target in targets:
                if accuracy >= target:
                    found.setdefault(str(target), [seconds, n])
            if len(found) == len(targets):
                break
        return found


def main():
    """Answer requests until stdin ends."""
    contender = globals()[sys.argv[1]]()
    print("ready", flush=True)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        with redirect_stdout(io.StringIO()):  # what the cells print is no answer
            answer = getattr(contender, method)(*arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
