"""Time the three levels, the matrix products alone, and other libraries.

`bench.py` writes what it measured into tools/bench.md. Every training has a
process of its own, `bench.py CONTENDER SEED IMAGES`. The contenders take turns
in rounds, so that what slows the machine slows them alike. Each round has
another order of the images, and a ratio compares times of the same round.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict, namedtuple
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from data.mnist import load_mnist  # noqa: E402

PAGE = ROOT / "tools" / "bench.md"
PEERS = ROOT / ".bench" / "bin" / "python"  # has JAX and PyTorch
ROUNDS = 5
IMAGES, SIZES = 50_000, (5_000, 20_000, 100_000)
TARGETS = 0.925, 0.929
RATE, BATCH, EPOCHS = 1.0, 250, 20  # as in the notebook's Level 3
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",  # threads of Theano and PyTorch,
    "OPENBLAS_NUM_THREADS": "1",  # of numpy's products,
    "TF_NUM_INTRAOP_THREADS": "1",  # of TensorFlow,
    "NPROC": "1",  # and of JAX
    "TF_CPP_MIN_LOG_LEVEL": "3",  # no start-up messages
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "KERAS_BACKEND": "tensorflow",
}
Training = namedtuple("Training", "start history")


# --- The contenders ---
# Each trains on a set (X, y), the images X (N, 784), from zero weights. It
# returns a Training: the time at which training was called, its library being
# imported, and after each epoch [accuracy on the validation set, time].


def run_cells(names, level, parts):
    """Execute these parts of a level of hw1.ipynb in the namespace `names`."""
    notebook = json.loads((ROOT / "hw1.ipynb").read_text("utf-8"))
    source = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    for part in parts.split():
        exec(source[f"{level}-{part}"], names)


def level_1(train_set, valid_set):
    """Level 1's cells."""
    names = {"X_train": train_set[0], "y_train": train_set[1]}
    names |= {"X_valid": valid_set[0], "y_valid": valid_set[1]}
    run_cells(names, "level-1", "parameters")
    names |= {"learning_rate": RATE, "batch_size": BATCH, "epochs": EPOCHS}
    start = time.perf_counter()
    run_cells(names, "level-1", "data model compile callbacks train")
    accuracies = names["history"]["val_accuracy"]
    return Training(start, list(zip(accuracies, names["ticks"], strict=True)))


def level_2(train_set, valid_set):
    """Level 2's `main`."""
    names = {}
    run_cells(names, "level-2", "import model compile main")
    sets = train_set, valid_set, valid_set
    start = time.perf_counter()
    _, history, _ = names["main"](*sets, RATE, BATCH, EPOCHS)
    return Training(start, history)


def level_3(train_set, valid_set):
    """Level 3's `sgd`."""
    names = {"X_train": train_set[0], "y_train": train_set[1]}
    names |= {"X_valid": valid_set[0], "y_valid": valid_set[1]}
    parts = "import one-hot columns naive softmax gradients loss evaluate train"
    run_cells(names, "level-3", parts)
    sets = names["X"], names["Y_true"], *names["validation"]
    start = time.perf_counter()
    _, _, history = names["sgd"](*sets, RATE, BATCH, EPOCHS)
    return Training(start, [row[1:] for row in history])  # without the loss


def products(train_set, valid_set):
    """The two matrix products of a step, and the one that scores the epoch."""
    X, history = train_set[0], []
    W, G = np.ones((784, 10), np.float32), np.ones((10, BATCH), np.float32)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for i in range(0, len(X), BATCH):
            images = X[i : i + BATCH].T
            _ = W.T @ images, images @ G[:, : images.shape[1]].T
        _ = W.T @ valid_set[0].T
        history.append((0.0, time.perf_counter()))
    return Training(start, history)


def scored(W, b, valid_set):
    """Return the accuracy of W (784, 10) and b (10,), and the time."""
    X, y = valid_set
    correct = (X @ W + b).argmax(axis=1) == y
    return float(correct.mean()), time.perf_counter()


def pytorch(train_set, valid_set):
    """The loop that PyTorch's tutorials teach, with slices as batches."""
    import torch

    start, history = time.perf_counter(), []
    torch.manual_seed(0)
    X, y = (torch.from_numpy(each) for each in train_set)
    model = torch.nn.Linear(784, 10)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    starts = torch.arange(0, len(X), BATCH)
    for _ in range(EPOCHS):
        for i in starts[torch.randperm(len(starts))].tolist():
            images, labels = X[i : i + BATCH], y[i : i + BATCH]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        W, b = model.weight.detach().numpy().T, model.bias.detach().numpy()
        history.append(scored(W, b, valid_set))
    return Training(start, history)


def jax(train_set, valid_set):
    """One compiled function per epoch, `lax.scan` over its batches."""
    import jax
    from jax import numpy as jnp

    start, history = time.perf_counter(), []
    X = jnp.asarray(train_set[0]).reshape(-1, BATCH, 784)
    Y_true = jax.nn.one_hot(train_set[1], 10).reshape(-1, BATCH, 10)

    def loss(parameters, images, truth):
        W, b = parameters
        log_Y = jax.nn.log_softmax(images @ W + b)
        return -(truth * log_Y).sum(axis=1).mean()

    # The sets are arguments: compiling takes longer with such large constants.
    @jax.jit
    def train_epoch(parameters, X, Y_true, key):
        def step(parameters, i):
            W, b = parameters
            dW, db = jax.grad(loss)(parameters, X[i], Y_true[i])
            return (W - RATE * dW, b - RATE * db), None

        order = jax.random.permutation(key, len(X))
        return jax.lax.scan(step, parameters, order)[0]

    parameters = jnp.zeros((784, 10)), jnp.zeros(10)
    for epoch in range(EPOCHS):
        key = jax.random.key(epoch)
        parameters = train_epoch(parameters, X, Y_true, key)
        W, b = (np.asarray(each) for each in parameters)  # waits for them
        history.append(scored(W, b, valid_set))
    return Training(start, history)


def sgd_classifier(train_set, valid_set):
    """One image per step, ten models of one digit against the rest."""
    from sklearn.linear_model import SGDClassifier

    start, history = time.perf_counter(), []
    options = {"learning_rate": "constant", "eta0": RATE / BATCH}
    model = SGDClassifier("log_loss", penalty=None, random_state=0, **options)
    for _ in range(EPOCHS):
        model.partial_fit(*train_set, classes=range(10))
        history.append(scored(model.coef_.T, model.intercept_, valid_set))
    return Training(start, history)


# Name in the tables: the function, and the Python that has its library.
FLOOR, NUMPY = "the products alone", "**Level 3, numpy**"
CONTENDERS = {
    FLOOR: (products, sys.executable),
    NUMPY: (level_3, sys.executable),
    "**Level 2, Theano**": (level_2, sys.executable),
    "**Level 1, Keras**": (level_1, sys.executable),
    "JAX, `lax.scan`": (jax, PEERS),
    "PyTorch, a loop": (pytorch, PEERS),
    "scikit-learn, `SGDClassifier`": (sgd_classifier, sys.executable),
}


# --- Measuring ---


def work(name, seed, images):
    """Print, as JSON, the Training of the contender with this name."""
    with contextlib.redirect_stdout(None):  # which files it read
        (X, y), (X_valid, y_valid), _ = load_mnist()
    # np.resize cuts a set short or repeats it, here both sets alike.
    order = np.random.default_rng(seed).permutation(len(y))
    order = np.resize(order, images)
    valid = np.resize(np.arange(len(y_valid)), images // 5)
    sets = (X[order], y[order]), (X_valid[valid], y_valid[valid])
    with contextlib.redirect_stdout(None):  # what the cells print
        training = globals()[name](*sets)
    print(json.dumps(training))


def train(function, python, seed, images=IMAGES):
    """Return the Training of a contender in a new process.

    Raises SystemExit, with the contender's name, where it fails.
    """
    command = [python, __file__, function.__name__, str(seed), str(images)]
    # Level 2 keeps its compiled code in the folder where it runs.
    process = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE)
    if process.returncode:
        sys.exit(f"The contender {function.__name__} failed: see above.")
    return Training(*json.loads(process.stdout))


def measure():
    """Return {name or number of images: [the Training of each round]}."""
    trainings = defaultdict(list)
    for seed in range(ROUNDS):
        print(f"round {seed + 1} of {ROUNDS}", flush=True)
        for name, (function, python) in CONTENDERS.items():
            trainings[name].append(train(function, python, seed))
        for images in SIZES:
            training = train(level_3, sys.executable, seed, images)
            trainings[images].append(training)
    return trainings


# --- Reporting ---


def epoch_seconds(training):
    """Return the median time of the epochs after the first."""
    ticks = [tick for _, tick in training.history]
    return median(after - before for before, after in pairwise(ticks))


def whole_seconds(training):
    """Return the time from the call to the end of the last epoch."""
    return training.history[-1][1] - training.start


def ratio(these, those):
    """Return the median, over the rounds, of these epochs' time to those'."""
    pairs = zip(these, those, strict=True)
    return median(epoch_seconds(a) / epoch_seconds(b) for a, b in pairs)


def reached(trainings, target):
    """Return the epochs to a target accuracy, and how many reach it."""
    epochs = []
    for training in trainings:
        accuracies = [accuracy for accuracy, _ in training.history]
        good = [n for n, a in enumerate(accuracies, 1) if a >= target]
        epochs += good[:1]
    count = f"({len(epochs)} of {len(trainings)})"
    return f"{median(epochs):g} {count}" if epochs else f"– {count}"


def table(header, rows):
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n\n" + "\n".join(f"| {' | '.join(x)} |" for x in lines) + "\n\n"


def machine():
    """Return the processor's name, as Linux knows it, and its cores."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    processor = re.search("model name.*: (.*)", cpuinfo)[1]
    return f"{processor}, {os.cpu_count()} cores"


def values(trainings):
    """Return {name of a marker in the page: its value}."""
    epoch, whole = [], []
    for name in CONTENDERS:
        rounds = trainings[name]
        times = [epoch_seconds(training) for training in rounds]
        spread = f"{min(times):.3f}–{max(times):.3f}"
        ratios = [f"{ratio(rounds, trainings[x]):.2f}" for x in (FLOOR, NUMPY)]
        epoch.append([name, f"{median(times):.3f}", spread, *ratios])
        if name != FLOOR:
            seconds = median(whole_seconds(training) for training in rounds)
            targets = [reached(rounds, target) for target in TARGETS]
            whole.append([name, f"{seconds:.1f}", *targets])
    growth = [
        f"{ratio(trainings[n], trainings[NUMPY]) * IMAGES / n:.2f} with {n:,}"
        for n in SIZES
    ]
    columns = ["", "seconds", "range", "× products", "× numpy"]
    until = [f"epochs until {target:.1%}" for target in TARGETS]
    return {
        "learning rate": f"{RATE:g}",
        "batch size": str(BATCH),
        "epochs": str(EPOCHS),
        "rounds": str(ROUNDS),
        "machine": machine(),
        "one epoch": table(columns, epoch),
        "whole training": table(["", "seconds", *until], whole),
        "growth": ", ".join(growth),
    }


def filled(page, found):
    """Return the page with the value of each marker, `<!--= name -->`."""
    return re.sub(
        r"<!--=(.*?)-->.*?<!--/-->",
        lambda marker: f"<!--={marker[1]}-->{found[marker[1].strip()]}<!--/-->",
        page,
        flags=re.DOTALL,
    )


def main():
    """Measure everything, and fill the page."""
    from run import write_atomically  # its libraries are missing in .bench

    found = values(measure())
    text = filled(PAGE.read_text("utf-8"), found)
    write_atomically(PAGE, text.encode())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
