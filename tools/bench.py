"""Time the three levels against their peers, and against the matrix products alone.

`bench.py` writes the numbers into tools/bench.md, as run.py writes those of a notebook.
Each contender is a process of its own, `bench.py NAME`. They take turns in rounds, so
that what slows the machine slows them alike; a ratio is the median of the rounds'
ratios, and the first round, which warms up, does not count.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from functools import wraps
from itertools import count, islice, pairwise
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from data.mnist import load_mnist  # noqa: E402

PAGE = ROOT / "tools" / "bench.md"
PEERS = ROOT / ".bench" / "bin" / "python"
ROUNDS, TARGETS, SIZES = 7, (0.925, 0.929), (5_000, 20_000, 50_000, 200_000)
RATE, BATCH, EPOCHS = 1.0, 250, 20  # of the notebook's Level 3
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
ENVIRONMENT = os.environ | dict.fromkeys(THREADS, "1")
ENVIRONMENT |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
ENVIRONMENT["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


# --- The contenders -------------------------------------------------------------------
# Each trains on X (N, 784) and the labels y (N,) from zero weights, and returns a list
# of (time, validation accuracy), one for each epoch.


def notebook_cells(names, *ids):
    """Execute the cells of hw1.ipynb with these ids in the namespace `names`."""
    for cell in json.loads((ROOT / "hw1.ipynb").read_text("utf-8"))["cells"]:
        if cell["id"] in ids:
            exec("".join(cell["source"]), names)


def level_1(X, y, valid, epochs):
    """Level 1's cells."""
    names = {"X_train": X, "y_train": y, "X_valid": valid[0], "y_valid": valid[1]}
    names |= {"time": time}
    notebook_cells(names, "level-1-parameters")
    names |= {"learning_rate": RATE, "batch_size": BATCH, "epochs": epochs}
    steps = ("data", "model", "compile", "callbacks", "train")
    notebook_cells(names, *[f"level-1-{step}" for step in steps])
    return zip(names["ticks"][1:], names["history"]["val_accuracy"], strict=True)


def level_2(X, y, valid, epochs, names={}):  # noqa: B006, the cells stay loaded
    """Level 2's `main`."""
    if not names:
        notebook_cells(names, "level-2-import", "level-2-model", "level-2-main")
    sets = (X, y), valid, (X[:1], y[:1])
    history = names["main"](*sets, RATE, BATCH, epochs)[1]
    return [(tick, accuracy) for accuracy, tick in history]


def level_3(X, y, valid, epochs):
    """Level 3's `sgd`."""
    parts = ("one-hot", "naive", "softmax", "gradients", "loss", "evaluate", "train")
    names = {"np": np, "time": time}
    notebook_cells(names, *[f"level-3-{part}" for part in parts])
    one_hot = names["one_hot"]
    sets = X.T, one_hot(y), valid[0].T, one_hot(valid[1])
    history = names["sgd"](*sets, RATE, BATCH, epochs)[2]
    return [(tick, accuracy) for _, accuracy, tick in history]


def products(X, y, valid, epochs):
    """The floor: the two matrix products of each step, on views of the batches."""
    W, G = np.full((784, 10), 0.1, np.float32), np.full((10, BATCH), 0.1, np.float32)
    history = []
    for _ in range(epochs):
        for i in range(0, len(X), BATCH):
            x = X[i : i + BATCH].T
            _ = W.T @ x
            _ = x @ G[:, : x.shape[1]].T
        history.append((time.perf_counter(), 0.0))
    return history


def peer(epochs_of):
    """Make a contender of what yields W (784, 10) and b (10,) after each epoch."""

    @wraps(epochs_of)
    def contender(X, y, valid, epochs):
        history = []
        for W, b in islice(epochs_of(X, y), epochs):
            correct = (valid[0] @ W + b).argmax(axis=1) == valid[1]
            history.append((time.perf_counter(), float(correct.mean())))
        return history

    return contender


@peer
def pytorch(X, y):
    """The loop that its tutorials teach, with slices as batches."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    model = torch.nn.Linear(784, 10)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    while True:
        for i in (BATCH * torch.randperm(-(-len(X) // BATCH))).tolist():
            x, labels = X[i : i + BATCH], y[i : i + BATCH]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
        yield model.weight.detach().numpy().T, model.bias.detach().numpy()


@peer
def jax(X, y):
    """One compiled function per epoch, `lax.scan` over its batches."""
    import jax
    from jax import numpy as jnp

    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])  # no setting limits it
    X = jnp.asarray(X).reshape(-1, BATCH, 784)
    Y = jax.nn.one_hot(y, 10).reshape(-1, BATCH, 10)

    def loss(parameters, batch):
        W, b = parameters
        return -(Y[batch] * jax.nn.log_softmax(X[batch] @ W + b)).sum(axis=1).mean()

    def step(parameters, batch):
        gradient = jax.grad(loss)(parameters, batch)
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradient), None

    @jax.jit
    def epoch(parameters, key):
        return jax.lax.scan(step, parameters, jax.random.permutation(key, len(X)))[0]

    parameters = jnp.zeros((784, 10)), jnp.zeros(10)
    for seed in count():
        parameters = jax.block_until_ready(epoch(parameters, jax.random.key(seed)))
        yield tuple(np.asarray(p) for p in parameters)


@peer
def sgd_classifier(X, y):
    """scikit-learn: one image per step, ten models of one digit against the rest."""
    from sklearn.linear_model import SGDClassifier

    options = {"learning_rate": "constant", "eta0": RATE / BATCH, "random_state": 0}
    model = SGDClassifier(loss="log_loss", penalty=None, **options)
    while True:
        model.partial_fit(X, y, classes=range(10))
        yield model.coef_.T, model.intercept_


# Name in the tables: the function, and the Python that has its library.
CONTENDERS = {
    "the products alone": (products, sys.executable),
    "**Level 3, numpy**": (level_3, sys.executable),
    "**Level 2, Theano**": (level_2, sys.executable),
    "**Level 1, Keras**": (level_1, sys.executable),
    "JAX, `lax.scan`": (jax, PEERS),
    "PyTorch, a loop": (pytorch, PEERS),
    "scikit-learn, `SGDClassifier`": (sgd_classifier, sys.executable),
}
FLOOR, NUMPY = list(CONTENDERS)[:2]


def worker(name):
    """Answer each line `[images, epochs, whole validation set?]` with a history."""
    (X, y), valid, _ = load_mnist()
    order = np.tile(np.random.default_rng(0).permutation(len(y)), max(SIZES) // len(y))
    X, y = X[order], y[order]
    for line in sys.stdin:
        n, epochs, whole = json.loads(line)
        scored = valid if whole else (valid[0][:1], valid[1][:1])
        with contextlib.redirect_stdout(None):  # what the cells print is no answer
            history = list(globals()[name](X[:n], y[:n], scored, epochs))
        print(json.dumps(history), flush=True)


def start(function, python=sys.executable):
    """Start the process of a contender."""
    command = [python, __file__, function.__name__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENVIRONMENT, **pipes)


def train(process, n=50_000, epochs=3, whole=False):
    """Return the times after each epoch of a training, and the accuracies."""
    print(json.dumps([n, epochs, whole]), file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"The contender {process.args[-1]} failed: see above.")
    return zip(*json.loads(answer), strict=True)


def seconds(process, n=50_000, epochs=3):
    """Return the median time of the epochs after the first."""
    times, _ = train(process, n, epochs)
    return median(after - before for before, after in pairwise(times))


def interleaved(requests):
    """Return {key: a time for each round} for {key: arguments of `seconds`}."""
    rounds = [
        {key: seconds(*arguments) for key, arguments in requests.items()}
        for _ in range(1 + ROUNDS)
    ]
    return {key: [times[key] for times in rounds[1:]] for key in requests}


def ratio(these, those):
    """Return the median, over the rounds, of these times divided by those."""
    return median(a / b for a, b in zip(these, those, strict=True))


def growth(sizes):
    """Return the time per image for each number of images, relative to 50,000."""
    return {n: ratio(times, sizes[50_000]) * 50_000 / n for n, times in sizes.items()}


def reached(accuracies, seconds):
    """Return for each target "seconds (epochs)" when it is first reached, or a dash."""
    good = [[i for i, a in enumerate(accuracies, 1) if a >= t] for t in TARGETS]
    return [f"{n[0] * seconds:.1f} s ({n[0]})" if n else "–" for n in good]


def table(header, rows):
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def main():
    """Measure everything, and fill the page."""
    from run import MARKER, fill, write_atomically

    processes = {name: start(*how) for name, how in CONTENDERS.items()}
    print("one epoch", flush=True)
    epochs = interleaved({name: [process] for name, process in processes.items()})
    print("numbers of images", flush=True)
    sizes = interleaved({n: (processes[NUMPY], n, 2 + 200_000 // n) for n in SIZES})
    soon = []
    for name in list(CONTENDERS)[1:]:
        print("time to quality:", name, flush=True)
        _, accuracies = train(processes[name], epochs=EPOCHS, whole=True)
        soon.append([name, *reached(accuracies, median(epochs[name]))])
    speed = [
        [name, f"{median(times):.3f}", f"{min(times):.3f}–{max(times):.3f}"]
        + [f"{ratio(times, epochs[each]):.2f}" for each in (FLOOR, NUMPY)]
        for name, times in epochs.items()
    ]
    values = globals() | {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "speed": table(["", "seconds", "range", "× products", "× numpy"], speed),
        "quality": table(["", *(f"{target:.1%}" for target in TARGETS)], soon),
        "growth": ", ".join(f"{x:.2f} with {n:,}" for n, x in growth(sizes).items()),
    }
    text = PAGE.read_text("utf-8")
    found = {each.strip() for each, _ in MARKER.findall(text)}
    text = fill(text, {each: str(eval(each, values)) for each in found})
    write_atomically(PAGE, text.encode())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    worker(sys.argv[1]) if sys.argv[1:] else main()
