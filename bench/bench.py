# /// script
# requires-python = "==3.11.*"
# dependencies = ["jax==0.10.2", "numpy==2.4.6", "torch==2.13.0+cpu"]
# ///
"""Time the notebook's three levels beside JAX and PyTorch; fill bench/bench.md.

`make bench` runs this with uv, which installs the packages named above. JAX wants
numpy 2, so the notebook's levels run with the Python in .venv. In each round each
contender has a process of its own, `bench.py CONTENDER SEED`.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from common import LEVELS, fill, run_cells, write_atomically

# The notebook's settings: one thread, and numpy's kernel, before numpy is imported.
run_cells({}, "setup")
os.environ |= {"NPROC": "1", "OMP_NUM_THREADS": "1"}  # for JAX and PyTorch, too

import numpy as np

PAGE = ROOT / "bench" / "bench.md"
ROUNDS = 5
RATE, BATCH, EPOCHS = 1.0, 500, 20

# Each contender imports its library, and returns a function that is timed: it trains
# from zero weights, looks at the validation set after each epoch, and returns the
# accuracy there after the last one. `names` holds the arrays of section 3.


def level_1(names):
    run_cells(names, *LEVELS[1])
    train = names["train_keras"]
    return lambda: accuracy(*train(RATE, BATCH, EPOCHS)[0].get_weights(), names)


def level_2(names):
    run_cells(names, *LEVELS[2])

    def train():
        model, *_ = names["main"](RATE, BATCH, EPOCHS)
        return accuracy(model.W.get_value(), model.b.get_value(), names)

    return train


def level_3(names):
    run_cells(names, *LEVELS[3])
    sets = names["train_set"], names["valid_set"]
    return lambda: names["sgd"](*sets, RATE, BATCH, EPOCHS)[2]["accuracy"][-1]


def accuracy(W, b, names):
    """Return the validation accuracy of the weights W (784, 10) and b (10,)."""
    Z = names["X_valid"] @ np.asarray(W) + np.asarray(b)
    return np.mean(Z.argmax(axis=1) == names["y_valid"])


def with_jax(names):
    """One compiled function per epoch, `lax.scan` over its batches."""
    import jax
    from jax import numpy as jnp

    def loss(weights, images, truth):
        W, b = weights
        log_Y = jax.nn.log_softmax(images @ W + b)
        return -(truth * log_Y).sum(axis=1).mean()

    def train():
        X = jnp.asarray(names["X_train"]).reshape(-1, BATCH, 784)
        Y_true = jax.nn.one_hot(names["y_train"], 10).reshape(-1, BATCH, 10)

        # The sets are arguments: compiling takes longer with such large constants.
        @jax.jit
        def train_epoch(weights, X, Y_true, order):
            def step(weights, i):
                W, b = weights
                dW, db = jax.grad(loss)(weights, X[i], Y_true[i])
                return (W - RATE * dW, b - RATE * db), None

            return jax.lax.scan(step, weights, order)[0]

        rng = np.random.default_rng(0)
        weights = jnp.zeros((784, 10)), jnp.zeros(10)
        for _ in range(EPOCHS):
            weights = train_epoch(weights, X, Y_true, rng.permutation(len(X)))
            result = accuracy(*weights, names)
        return result

    return train


def with_pytorch(names):
    """The loop that PyTorch's tutorials teach, with slices as batches."""
    import torch

    def train():
        X, y = torch.from_numpy(names["X_train"]), torch.from_numpy(names["y_train"])
        model = torch.nn.Linear(784, 10)
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        optimizer = torch.optim.SGD(model.parameters(), RATE)
        rng = np.random.default_rng(0)
        for _ in range(EPOCHS):
            for start in rng.permutation(range(0, len(X), BATCH)):
                batch = slice(start, start + BATCH)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(X[batch]), y[batch]).backward()
                optimizer.step()
            result = accuracy(model.weight.detach().T, model.bias.detach(), names)
        return result

    return train


NUMPY = "**Level 3, numpy**"
OURS = ROOT / ".venv" / "bin" / "python"
CONTENDERS = {  # name in the table: the function, the Python that has its library
    NUMPY: (level_3, OURS),
    "**Level 2, Theano**": (level_2, OURS),
    "**Level 1, Keras**": (level_1, OURS),
    "JAX, `lax.scan`": (with_jax, sys.executable),
    "PyTorch, a loop": (with_pytorch, sys.executable),
}


def work(name, seed):
    """Train a contender twice; print seconds, processor seconds and accuracy."""
    names = run_cells({"np": np}, "load-data")
    order = np.random.default_rng(seed).permutation(len(names["y_train"]))
    names |= {"X_train": names["X_train"][order], "y_train": names["y_train"][order]}
    train, results = CONTENDERS[name][0](names), []
    for _ in "first", "again":
        began = time.perf_counter(), time.process_time()
        result = train()
        results += [time.perf_counter() - began[0], time.process_time() - began[1]]
    print(json.dumps([*results, float(result)]))


def main():
    """Measure all contenders in rounds, then write the medians into the page."""
    processor = re.search("model name.*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    rounds = {name: [] for name in CONTENDERS}
    for seed in range(ROUNDS):
        for name, (_, python) in CONTENDERS.items():
            print(f"round {seed + 1} of {ROUNDS}: {name}", flush=True)
            command = [python, __file__, name, str(seed)]
            output = subprocess.check_output(command, cwd=ROOT)  # for .theano
            rounds[name].append(json.loads(output.splitlines()[-1]))
    table = "\n\n| | first, s | again, s | processor, s | × numpy | accuracy |\n"
    table += "|---" + 5 * "|---:" + "|\n"
    for name, results in rounds.items():
        first, _, again, busy, right = np.median(results, axis=0)
        ratio = np.median(np.divide(results, rounds[NUMPY]), axis=0)[2]
        times = f"{first:.1f} | {again:.1f} | {busy:.1f} | {ratio:.2f}"
        table += f"| {name} | {times} | {right:.2%} |\n"
    values = {"table": table + "\n", "processor": processor}
    write_atomically(PAGE, fill(PAGE.read_text("utf-8"), values).encode())
    print(table, f"wrote {PAGE}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main()
