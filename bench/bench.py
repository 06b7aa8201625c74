# /// script
# requires-python = "==3.11.*"
# dependencies = ["jax==0.10.2", "numpy==2.4.6", "torch==2.13.0+cpu"]
# ///
"""Time the notebook's three levels beside other libraries; fill bench/bench.md.

`make bench` runs this with uv, which installs the packages named above. They want
numpy 2, so the notebook's levels run with the Python in .venv. Each training has a
process of its own, `bench.py CONTENDER SEED`. The contenders take turns in rounds, so
that what slows the machine slows them alike.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from notebook import fill, run_cells, write_atomically

from data.mnist import load_mnist

PAGE = ROOT / "bench" / "bench.md"
ROUNDS = 5
RATE, BATCH, EPOCHS = 1.0, 500, 20
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",  # threads of Theano and PyTorch,
    "OPENBLAS_NUM_THREADS": "1",  # of numpy's products,
    "TF_NUM_INTRAOP_THREADS": "1",  # of TensorFlow's,
    "NPROC": "1",  # and of JAX
    "HOME": str(ROOT / ".home"),  # without the user's settings for Keras
}


# Each contender prepares: it imports its library, and returns a function that trains
# from zero weights on a set (X, labels), X (N, 784), looks at the validation set after
# each epoch, and returns the accuracy there after the last. That function is timed.


def arrays(train_set, valid_set):
    """Return the names of section 3 that the levels read."""
    names = dict(zip(("X_train", "y_train"), train_set, strict=True))
    return names | dict(zip(("X_valid", "y_valid"), valid_set, strict=True))


def level_1(*sets):
    parts = ["import", "data", "model", "fit"]
    names = run_cells(arrays(*sets), "setup", *(f"level-1-{each}" for each in parts))
    return lambda: names["fit_model"](RATE, BATCH, EPOCHS)[1]["valid_accuracies"][-1]


def level_2(train_set, valid_set):
    names = run_cells({}, "setup", "level-2-import", "level-2-model", "level-2-main")
    sets = train_set, valid_set, valid_set
    return lambda: names["main"](*sets, RATE, BATCH, EPOCHS)[1]["valid_accuracies"][-1]


def level_3(*sets):
    parts = ["import", "one-hot", "columns", "naive", "softmax", "gradients", "loss"]
    parts += ["evaluate", "sgd"]
    names = run_cells(arrays(*sets), "setup", *(f"level-3-{each}" for each in parts))
    train, valid = names["train"], names["valid"]
    return lambda: names["sgd"](train, valid, RATE, BATCH, EPOCHS)[2][-1][1]


def accuracy(W, b, valid_set):
    """Return the accuracy of the weights W (784, 10) and b (10,) on a set."""
    X, labels = valid_set
    return np.mean((X @ np.asarray(W) + np.asarray(b)).argmax(axis=1) == labels)


def products(train_set, valid_set):
    """The two matrix products of each step, and the scoring: nothing is learned."""
    X = train_set[0]
    W, b = np.ones((784, 10), np.float32), np.zeros(10, np.float32)
    G = np.ones((10, BATCH), np.float32)

    def train():
        for _ in range(EPOCHS):
            for start in range(0, len(X), BATCH):
                images = X[start : start + BATCH].T
                _ = W.T @ images, images @ G[:, : images.shape[1]].T
            result = accuracy(W, b, valid_set)
        return result

    return train


def jax(train_set, valid_set):
    """One compiled function per epoch, `lax.scan` over its batches."""
    import jax
    from jax import numpy as jnp

    def loss(weights, images, truth):
        W, b = weights
        log_Y = jax.nn.log_softmax(images @ W + b)
        return -(truth * log_Y).sum(axis=1).mean()

    def train():
        X = jnp.asarray(train_set[0]).reshape(-1, BATCH, 784)
        Y_true = jax.nn.one_hot(train_set[1], 10).reshape(-1, BATCH, 10)

        # The sets are arguments: compiling takes longer with such large constants.
        @jax.jit
        def train_epoch(weights, X, Y_true, order):
            def step(weights, i):
                W, b = weights
                dW, db = jax.grad(loss)(weights, X[i], Y_true[i])
                return (W - RATE * dW, b - RATE * db), None

            return jax.lax.scan(step, weights, order)[0]

        rng, weights = np.random.default_rng(0), (jnp.zeros((784, 10)), jnp.zeros(10))
        for _ in range(EPOCHS):
            weights = train_epoch(weights, X, Y_true, rng.permutation(len(X)))
            result = accuracy(*weights, valid_set)
        return result

    return train


def pytorch(train_set, valid_set):
    """The loop that PyTorch's tutorials teach, with slices as batches."""
    import torch

    def train():
        X, labels = (torch.from_numpy(each) for each in train_set)
        model = torch.nn.Linear(784, 10)
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        rng = np.random.default_rng(0)
        for _ in range(EPOCHS):
            for start in rng.permutation(range(0, len(X), BATCH)):
                batch = slice(start, start + BATCH)
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(X[batch]), labels[batch])
                loss.backward()
                optimizer.step()
            W, b = model.weight.detach().T, model.bias.detach()
            result = accuracy(W, b, valid_set)
        return result

    return train


def sgd_classifier(train_set, valid_set):
    """One image per step, ten models of one digit against the rest."""
    from sklearn.linear_model import SGDClassifier

    def train():
        step = {"learning_rate": "constant", "eta0": RATE / BATCH}
        model = SGDClassifier("log_loss", penalty=None, random_state=0, **step)
        for _ in range(EPOCHS):
            model.partial_fit(*train_set, classes=range(10))
            result = accuracy(model.coef_.T, model.intercept_, valid_set)
        return result

    return train


NUMPY, THEANO = "**Level 3, numpy**", "**Level 2, Theano**"
OURS = ROOT / ".venv" / "bin" / "python"
CONTENDERS = {  # name in the table: the function, the Python that has its library
    "the products alone": (products, OURS),
    NUMPY: (level_3, OURS),
    THEANO: (level_2, OURS),
    "**Level 1, Keras**": (level_1, OURS),
    "JAX, `lax.scan`": (jax, sys.executable),
    "PyTorch, a loop": (pytorch, sys.executable),
    "scikit-learn, `SGDClassifier`": (sgd_classifier, OURS),
}


def work(name, seed):
    """Train this contender twice; print its results, as JSON, in the last line."""
    (X, y), valid_set, _ = load_mnist()
    order = np.random.default_rng(seed).permutation(len(y))
    train = CONTENDERS[name][0]((X[order], y[order]), valid_set)
    seconds = []
    for _ in "first", "again":
        began = time.perf_counter()
        result = train()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "accuracy": float(result)}))


def measure(name, seed, folder=ROOT):
    """Return the results of a contender, trained in a new process in this folder."""
    command = [CONTENDERS[name][1], __file__, name, str(seed)]
    # Level 2 keeps its compiled code in the folder where it runs.
    process = subprocess.run(
        command, env=ENVIRONMENT, cwd=folder, stdout=subprocess.PIPE
    )
    if process.returncode:
        sys.exit(f"{name} failed: see above.")
    return json.loads(process.stdout.splitlines()[-1])


def values(results, empty):
    """Return {marker in the page: its value}.

    `results` holds {contender: its results in each round}; `empty` those of Theano
    with an empty folder .theano.
    """
    processor = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    numpy_again = [each["seconds"][1] for each in results[NUMPY]]
    rows = [["", "first, s", "again, s", "× numpy", "accuracy"], ["---", *["---:"] * 4]]
    for name, rounds in results.items():
        first, again = zip(*(each["seconds"] for each in rounds), strict=True)
        ratio = median(a / b for a, b in zip(again, numpy_again, strict=True))
        row = [name, f"{median(first):.1f}", f"{median(again):.1f}", f"{ratio:.2f}"]
        rows.append([*row, f"{median(each['accuracy'] for each in rounds):.2%}"])
        if CONTENDERS[name][0] is products:
            rows[-1][-1] = "–"
    return {
        "training": f"{EPOCHS} epochs at learning rate {RATE:g} and batch size {BATCH}",
        "rounds": str(ROUNDS),
        "machine": f"{processor}, {os.cpu_count()} cores",
        "table": "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n",
        "empty": f"{empty['seconds'][0]:.0f} s",
    }


def main():
    """Measure everything, then give each marker in the page its value."""
    results = {name: [] for name in CONTENDERS}
    for seed in range(ROUNDS):
        print(f"round {seed + 1} of {ROUNDS}", flush=True)
        for name, rounds in results.items():
            rounds.append(measure(name, seed))
    with tempfile.TemporaryDirectory() as folder:
        empty = measure(THEANO, 0, folder)
    page = fill(PAGE.read_text("utf-8"), values(results, empty).__getitem__)
    write_atomically(PAGE, page.encode())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main()
