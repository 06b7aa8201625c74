# /// script
# requires-python = "==3.11.*"
# dependencies = ["jax==0.10.2", "numpy==2.4.6", "torch==2.13.0+cpu"]
# ///
"""Time the notebook's three levels beside other libraries; fill tools/bench.md.

`make bench` runs this with uv, which installs the packages named above. They want
numpy 2, so the notebook's levels run with the Python in .venv. Each training has a
process of its own, `bench.py CONTENDER SEED IMAGES`. The contenders take turns in
rounds, so that what slows the machine slows them alike.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "tools" / "bench.md"
ROUNDS = 5
RATE, BATCH, EPOCHS = 1.0, 250, 20
IMAGES, SIZES = 50_000, (5_000, 20_000, 100_000)
TARGET = 0.92  # the validation accuracy that every contender must reach
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",  # threads of Theano and PyTorch,
    "OPENBLAS_NUM_THREADS": "1",  # of numpy's products,
    "TF_NUM_INTRAOP_THREADS": "1",  # of TensorFlow,
    "NPROC": "1",  # and of JAX
    "HOME": str(ROOT / ".home"),  # without the user's settings for Keras
    "PYTHONPATH": str(ROOT),  # where `data.mnist` is
}


# Each contender trains from zero weights on a set (X, labels), X (N, 784). It returns
# a history as the notebook's levels do: the validation accuracy after each epoch, and
# the time at the call, the library being imported, and after each epoch.


def run_cells(ids, train_set, valid_set):
    """Execute these cells of hw1.ipynb; return the names that they define."""
    notebook = json.loads((ROOT / "hw1.ipynb").read_text("utf-8"))
    source = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    names = {}
    names["X_train"], names["y_train"] = train_set
    names["X_valid"], names["y_valid"] = valid_set
    for cell_id in ids.split():
        exec(source[cell_id], names)
    return names


def level_1(train_set, valid_set):
    ids = "setup level-1-import level-1-data level-1-model level-1-fit"
    names = run_cells(ids, train_set, valid_set)
    return names["fit_model"](RATE, BATCH, EPOCHS)[1]


def level_2(train_set, valid_set):
    ids = "setup level-2-import level-2-model level-2-epochs level-2-main"
    main = run_cells(ids, train_set, valid_set)["main"]
    return main(train_set, valid_set, valid_set, RATE, BATCH, EPOCHS)[1]


def level_3(train_set, valid_set):
    ids = """setup level-3-import level-3-one-hot level-3-columns level-3-naive
        level-3-softmax level-3-gradients level-3-loss level-3-evaluate level-3-sgd"""
    names = run_cells(ids, train_set, valid_set)
    sets = names["X"], names["Y_true"], *names["validation"]
    return names["sgd"](*sets, RATE, BATCH, EPOCHS)[2]


def new_history():
    """Return a history that begins now."""
    return {"valid_accuracy": [], "ticks": [time.perf_counter()]}


def score(history, W, b, valid_set):
    """Add the accuracy of the weights W (784, 10) and b (10,) to the history."""
    X, labels = valid_set
    correct = (X @ np.asarray(W) + np.asarray(b)).argmax(axis=1) == labels
    history["valid_accuracy"].append(correct.mean())
    history["ticks"].append(time.perf_counter())


def products(train_set, valid_set):
    """The two matrix products of each step, and the scoring: nothing is learned."""
    X, history = train_set[0], new_history()
    W, b = np.ones((784, 10), np.float32), np.zeros(10, np.float32)
    G = np.ones((10, BATCH), np.float32)
    for _ in range(EPOCHS):
        for start in range(0, len(X), BATCH):
            images = X[start : start + BATCH].T
            _ = W.T @ images, images @ G.T
        score(history, W, b, valid_set)
    return history


def jax(train_set, valid_set):
    """One compiled function per epoch, `lax.scan` over its batches."""
    import jax
    from jax import numpy as jnp

    history = new_history()
    X = jnp.asarray(train_set[0]).reshape(-1, BATCH, 784)
    Y_true = jax.nn.one_hot(train_set[1], 10).reshape(-1, BATCH, 10)

    def loss(weights, images, truth):
        W, b = weights
        log_Y = jax.nn.log_softmax(images @ W + b)
        return -(truth * log_Y).sum(axis=1).mean()

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
        score(history, *weights, valid_set)
    return history


def pytorch(train_set, valid_set):
    """The loop that PyTorch's tutorials teach, with slices as batches."""
    import torch

    history = new_history()
    X, labels = (torch.from_numpy(each) for each in train_set)
    model = torch.nn.Linear(784, 10)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    rng, starts = np.random.default_rng(0), np.arange(0, len(X), BATCH)
    for _ in range(EPOCHS):
        for start in rng.permutation(starts):
            batch = slice(start, start + BATCH)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(X[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        score(history, model.weight.detach().T, model.bias.detach(), valid_set)
    return history


def sgd_classifier(train_set, valid_set):
    """One image per step, ten models of one digit against the rest."""
    from sklearn.linear_model import SGDClassifier

    history = new_history()
    step = {"learning_rate": "constant", "eta0": RATE / BATCH}
    model = SGDClassifier("log_loss", penalty=None, random_state=0, **step)
    for _ in range(EPOCHS):
        model.partial_fit(*train_set, classes=range(10))
        score(history, model.coef_.T, model.intercept_, valid_set)
    return history


FLOOR, NUMPY = "the products alone", "**Level 3, numpy**"
OURS = ROOT / ".venv" / "bin" / "python"
CONTENDERS = {  # name in the table: the function, the Python that has its library
    FLOOR: (products, OURS),
    NUMPY: (level_3, OURS),
    "**Level 2, Theano**": (level_2, OURS),
    "**Level 1, Keras**": (level_1, OURS),
    "JAX, `lax.scan`": (jax, sys.executable),
    "PyTorch, a loop": (pytorch, sys.executable),
    "scikit-learn, `SGDClassifier`": (sgd_classifier, OURS),
}


def work(name, seed, images):
    """Train this contender; print its history, as JSON, in the last line."""
    from data.mnist import load_mnist

    (X, y), (X_valid, y_valid), _ = load_mnist()
    # np.resize cuts a set short or repeats it.
    order = np.resize(np.random.default_rng(seed).permutation(len(y)), images)
    valid = np.resize(np.arange(len(y_valid)), images // 5)
    train, _ = CONTENDERS[name]
    history = train((X[order], y[order]), (X_valid[valid], y_valid[valid]))
    print(json.dumps({key: list(map(float, history[key])) for key in new_history()}))


def train(name, seed, images=IMAGES):
    """Return the history of this contender's training in a new process."""
    command = [CONTENDERS[name][1], __file__, name, str(seed), str(images)]
    # Level 2 keeps its compiled code in the folder where it runs.
    process = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE)
    if process.returncode:
        sys.exit(f"{name} failed: see above.")
    return json.loads(process.stdout.splitlines()[-1])


def measure():
    """Return {contender, or number of images: its history in each round}."""
    histories = defaultdict(list)
    for seed in range(ROUNDS):
        print(f"round {seed + 1} of {ROUNDS}", flush=True)
        for name in CONTENDERS:
            history = train(name, seed)
            best = max(history["valid_accuracy"])
            if best < TARGET and name != FLOOR:
                sys.exit(f"{name} reached {best:.2%}, which is less than {TARGET:.0%}.")
            histories[name].append(history)
        for images in SIZES:
            histories[images].append(train(NUMPY, seed, images))
    return histories


def epoch_seconds(history):
    """Return the median time of the epochs after the first."""
    return median(np.diff(history["ticks"])[1:])


def times_numpy(histories, key):
    """Return the median, over the rounds, of an epoch's time to numpy's."""
    rounds = zip(histories[key], histories[NUMPY], strict=True)
    return median(epoch_seconds(a) / epoch_seconds(b) for a, b in rounds)


def values(histories):
    """Return {name of a marker in the page: its value}."""
    processor = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    rows = [["", "epoch, s", "× numpy", "training, s", "best accuracy"], ["---"] * 5]
    for name in CONTENDERS:
        rounds = histories[name]
        epoch = median(map(epoch_seconds, rounds))
        whole = median(each["ticks"][-1] - each["ticks"][0] for each in rounds)
        best = median(max(each["valid_accuracy"]) for each in rounds)
        row = [name, f"{epoch:.3f}", f"{times_numpy(histories, name):.2f}"]
        row += ["–", "–"] if name == FLOOR else [f"{whole:.1f}", f"{best:.2%}"]
        rows.append(row)
    growth = [
        f"{times_numpy(histories, images) * IMAGES / images:.2f} with {images:,}"
        for images in SIZES
    ]
    return {
        "training": f"{EPOCHS} epochs at learning rate {RATE:g} and batch size {BATCH}",
        "rounds": str(ROUNDS),
        "machine": f"{processor}, {os.cpu_count()} cores",
        "table": "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n",
        "growth": ", ".join(growth),
    }


def main():
    """Measure everything, then give each marker in the page its value."""
    found = values(measure())
    text = re.sub(
        r"<!--= (.*?) -->.*?<!--/-->",
        lambda marker: f"<!--= {marker[1]} -->{found[marker[1]]}<!--/-->",
        PAGE.read_text("utf-8"),
        flags=re.DOTALL,
    )
    written = PAGE.with_name(f".{PAGE.name}.tmp")
    written.write_text(text, "utf-8")
    written.replace(PAGE)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
