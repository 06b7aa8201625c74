"""Time the three levels against their peers, and against the matrix products alone.

Writes tools/bench.md and its figures. Each contender is a process of its own, loaded
once. They take turns, round by round, so that what slows the machine slows them alike;
a ratio is the median of the rounds' ratios, and the first round does not count.
"""

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent
PEERS = TOOLS.parent / ".bench" / "bin" / "python"
ROUNDS = 7
BATCH, EPOCHS = 250, 20  # of the notebook
TARGETS = (0.925, 0.929)

ENVIRONMENT = {
    "PYTHONPATH": str(TOOLS.parent),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # as in the notebook
}
# Name in the tables: class of contenders.py, its Python, epochs to time in a round.
CONTENDERS = {
    "**Level 3, numpy**": ("Numpy", sys.executable, 2),
    "**Level 2, Theano**": ("Theano", sys.executable, 2),
    "**Level 1, Keras**": ("Keras", sys.executable, 2),
    "JAX, `lax.scan`": ("Jax", PEERS, 2),
    "PyTorch, a loop": ("PyTorch", PEERS, 2),
    "Keras, `fit` with arrays": ("KerasDefaults", sys.executable, 2),
    "scikit-learn, `SGDClassifier`": ("SGDClassifier", sys.executable, 1),
}
NUMPY = "**Level 3, numpy**"
# Parts of an epoch, and the method of the numpy contender that times each.
PARTS = {
    "the products alone": "floor",
    "copying the batches alone": "fetch",
    "the same from bytes": "fetch_bytes",
}
FLOOR = "the products alone"
# scikit-learn's solvers, and the numbers of iterations that are tried in turn.
SOLVERS = {
    "lbfgs": [20, 40, 60, 80, 120],
    "saga": [1, 2, 4, 6, 8],
}
SIZES = [5_000, 20_000, 50_000, 100_000, 400_000]
BATCHES = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000]
RATES = [1, 2, 4, 7, 10, 13]


class Worker:
    """A process of contenders.py that holds one contender."""

    def __init__(self, name, python=sys.executable):
        self.name = name
        self.process = subprocess.Popen(
            [python, HERE / "contenders.py", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )

    def read(self):
        """Return its next line; exit if it has ended, whose reason it has printed."""
        line = self.process.stdout.readline()
        return line or sys.exit(f"The contender {self.name} failed: see above.")

    def send(self, method, *arguments):
        """Let the contender compute what the next line that is read will answer."""
        print(json.dumps([method, *arguments]), file=self.process.stdin, flush=True)

    def ask(self, method, *arguments):
        """Return what the contender's method answers."""
        self.send(method, *arguments)
        return json.loads(self.read())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def interleaved(requests):
    """Return {key: a time for each round} for {key: (worker, method, arguments...)}."""
    times = {key: [] for key in requests}
    for number in range(1 + ROUNDS):
        for key, (worker, *request) in requests.items():
            seconds = worker.ask(*request)
            if number:
                times[key].append(seconds)
    return times


def ratio(these, those):
    """Return the median, over the rounds, of these times divided by those."""
    return median(a / b for a, b in zip(these, those, strict=True))


def main():
    """Measure, print and write everything; return the exit status."""
    began = time.monotonic()

    def progress(what):
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    progress("loading the contenders")
    libraries = versions()
    workers = {name: Worker(*how[:2]) for name, how in CONTENDERS.items()}
    numpy, solvers = workers[NUMPY], Worker("LogisticRegression")
    for worker in [*workers.values(), solvers]:
        worker.read()

    epochs = {}
    for batch_size in (BATCH, 100):
        progress(f"one epoch, batch size {batch_size}")
        requests = {part: (numpy, how, batch_size) for part, how in PARTS.items()}
        for name, worker in workers.items():
            requests[name] = worker, "seconds", batch_size, CONTENDERS[name][2]
        epochs[batch_size] = interleaved(requests)
    progress("the sweep")
    requests = {rates: (numpy, "sweep", BATCH, rates) for rates in RATES}
    sweep = interleaved(requests | {"one": (numpy, "seconds", BATCH, 1)})
    progress("batch sizes")
    requests = {("sgd", size): (numpy, "seconds", size, 1) for size in BATCHES}
    requests |= {("floor", size): (numpy, "floor", size) for size in BATCHES}
    batches = interleaved(requests)
    progress("time to quality")
    quality = {}
    for worker in workers.values():  # all at once: their times are known
        worker.send("accuracies", BATCH, EPOCHS)
    for name, worker in workers.items():
        quality[name] = reached(json.loads(worker.read()), median(epochs[BATCH][name]))
        worker.stop()
    for solver, iterations in SOLVERS.items():
        found = solvers.ask("reaches", solver, iterations, TARGETS)
        name = f"scikit-learn, `LogisticRegression`, {solver}"
        quality[name] = [found.get(str(target)) for target in TARGETS]
    solvers.stop()
    progress("numbers of images")
    numpy = Worker("Numpy")
    numpy.read()
    requests = {
        n: (numpy, "seconds", BATCH, max(2, 100_000 // n), n) for n in SIZES[::-1]
    }
    sizes = interleaved(requests)
    numpy.stop()
    progress("memory")
    memory = {}
    for name in list(CONTENDERS)[:3]:
        worker = Worker(*CONTENDERS[name][:2])
        worker.read()
        memory[name] = worker.ask("memory", BATCH)
        worker.stop()

    draw_epochs(epochs, TOOLS / "bench-epoch.png")
    draw_growth(sizes, batches, sweep, TOOLS / "bench-growth.png")
    text = report(libraries, epochs, quality, sizes, batches, sweep, memory)
    (TOOLS / "bench.md").write_text(text, "utf-8")
    print(f"\n{text}")
    progress(f"wrote {TOOLS / 'bench.md'}")
    return 0


def reached(accuracies, seconds):
    """Return for each target [seconds until it is first reached, epochs], or None."""
    found = []
    for target in TARGETS:
        n = next((i for i, a in enumerate(accuracies, 1) if a >= target), None)
        found.append(n and [n * seconds, n])
    return found


def report(libraries, epochs, quality, sizes, batches, sweep, memory):
    """Return tools/bench.md."""
    relative = per_image(sizes)
    return f"""\
# How fast, compared with what

`make bench` wrote this page. Each contender trains the model of the notebook on its
50,000 images in 32 bits, at learning rate 1, in a process of its own; what scikit-learn
does differently is said below. They take turns in {ROUNDS} rounds, after one to warm
up. Times are medians, ratios are medians of the rounds' ratios. BLAS and each library's
arithmetic have one thread. Compiling, tracing and validation are not counted.

{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()};
{libraries}.

## One epoch

*The products alone* is the floor: the two matrix products of each step, on batches
that already lie in memory. *Copying the batches alone* is what `X[:, batch]` and
`Y[:, batch]` take in the numpy level. (The two overlap: a batch that has just been
copied is multiplied from the cache.) Images that are kept as bytes, and scaled batch by
batch, would be copied faster; the notebook keeps the line that is understood at sight.

{epoch_table(epochs, BATCH)}

{epoch_table(epochs, 100)}

`SGDClassifier` takes one image per step, at the rate 1 divided by the batch size, and
trains ten separate models of one digit against the rest.

![One epoch of each contender, as a multiple of the products alone](bench-epoch.png)

## Time to quality

Seconds until the validation accuracy first reaches the target, at batch size {BATCH}:
the epochs in brackets times the seconds of one. A dash: not within {EPOCHS} epochs. All
from one seed: other orders of the images need a few epochs more or less, and some miss
92.9%. `LogisticRegression` (with its default penalty) has no such epochs, nor a rate:
it was run once with each of {and_(SOLVERS["lbfgs"])} iterations of lbfgs and
{and_(SOLVERS["saga"])} of saga, and the first run to reach the target counts.

{quality_table(quality)}

## How the cost of the numpy level grows

![Time per image over the number of images, time of an epoch over the batch size, time
of the sweep over the number of rates](bench-growth.png)

- **With the number of images**: from {SIZES[0]:,} to {SIZES[-1]:,} (the training set
  repeated) the time per image varies by {max(relative) / min(relative) - 1:.0%}.
- **With the number of rates in the sweep**: {RATES[-1]} rates cost
  {ratio(sweep[RATES[-1]], sweep["one"]):.1f} times one training.
- **With the batch size**: small batches pay for more calls of numpy. The products
  themselves become dearer between 100 and 250, because BLAS computes small products in
  another, faster way.

{batch_table(batches)}

## Memory

The most that a training takes beside the data and the loaded libraries, in 10⁶ bytes.
The training images take {mb(50_000):.0f}, one batch of {BATCH} takes {mb(BATCH):.1f}.

| | MB |
|---|---|
{"".join(f"| {name} | {most:.1f} |" + chr(10) for name, most in memory.items())}"""


def versions():
    """Return the names and versions of the libraries of both environments."""
    names = ["numpy", "Theano", "keras", "tensorflow-cpu", "scikit-learn"]
    ours = [f"{name} {version(name)}" for name in names]
    script = "from importlib.metadata import version as v\n"
    script += "print(*(f'{n} {v(n)}' for n in ('torch', 'jax')), sep=', ')"
    peers = subprocess.run(
        [PEERS, "-c", script], capture_output=True, text=True, check=True
    )
    return ", ".join([*ours, peers.stdout.strip()])


def epoch_table(epochs, batch_size):
    """Return the Markdown table of one epoch at this batch size."""
    times = epochs[batch_size]
    rows = [
        f"| batch size {batch_size} | seconds | fastest–slowest | × floor | × numpy |"
    ]
    rows.append("|---|---|---|---|---|")
    for name, found in times.items():
        rows.append(
            f"| {name} | {median(found):.3f} | {min(found):.3f}–{max(found):.3f} "
            f"| {ratio(found, times[FLOOR]):.1f} | {ratio(found, times[NUMPY]):.1f} |"
        )
    return "\n".join(rows)


def quality_table(quality):
    """Return the Markdown table of the times to the targets."""
    rows = ["| | " + " | ".join(f"{target:.1%}" for target in TARGETS) + " |"]
    rows.append("|---|" + "---|" * len(TARGETS))
    for name, found in quality.items():
        cells = [f"{each[0]:.1f} s ({each[1]})" if each else "–" for each in found]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def batch_table(batches):
    """Return the Markdown table of the batch sizes."""
    multiples = (ratio(batches["sgd", s], batches["floor", s]) for s in BATCHES)
    rows = [
        ["batch size", *(f"{size:,}" for size in BATCHES)],
        ["---"] * (1 + len(BATCHES)),
        ["× the products alone", *(f"{multiple:.1f}" for multiple in multiples)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def per_image(sizes):
    """Return, for each of SIZES, the time per image relative to that of 50,000."""
    return [ratio(sizes[n], sizes[50_000]) * 50_000 / n for n in SIZES]


def mb(images):
    """Return the size of this number of 32-bit images in 10⁶ bytes."""
    return images * 784 * 4 / 1e6


def and_(numbers):
    """Return the numbers as English: 1, 2 and 4."""
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def draw_epochs(epochs, path):
    """Draw one epoch of each contender as a multiple of the floor."""
    times = epochs[BATCH]
    names = [name for name in reversed(times) if name not in PARTS]
    multiples = [ratio(times[name], times[FLOOR]) for name in names]
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    ours = ["#0072B2" if name.startswith("**") else "#999999" for name in names]
    bars = ax.barh(
        [n.translate({42: "", 96: ""}) for n in names], multiples, color=ours
    )
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.axvline(1, color="black", lw=1)
    ax.set(title=f"One epoch, batch size {BATCH}", xlabel="× the matrix products alone")
    ax.margins(x=0.1)
    figure.savefig(path, dpi=110)


def draw_growth(sizes, batches, sweep, path):
    """Draw how the cost of the numpy level grows, in three panels."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
    style = {"marker": "o", "color": "#0072B2", "label": "sgd"}
    dashed = {"ls": "--", "color": "#666666"}
    axes[0].plot(SIZES, per_image(sizes), **style)
    axes[0].set(
        title="Number of images",
        xlabel="images",
        ylabel="time per image (1: at 50,000)",
    )
    axes[0].set(xscale="log")
    axes[1].plot(BATCHES, [median(batches["sgd", s]) for s in BATCHES], **style)
    floor = [median(batches["floor", s]) for s in BATCHES]
    axes[1].plot(BATCHES, floor, **dashed, marker=".", label="products alone")
    axes[1].set(
        title="Batch size", xlabel="images in a batch", ylabel="seconds per epoch"
    )
    axes[1].set(xscale="log")
    axes[1].legend()
    together = [ratio(sweep[rates], sweep["one"]) for rates in RATES]
    axes[2].plot(RATES, together, **style | {"label": "side by side"})
    axes[2].plot(RATES, RATES, **dashed, label="one after the other")
    axes[2].set(title="Sweep", xlabel="learning rates", ylabel="× one training")
    axes[2].legend()
    for ax in axes:
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
    figure.suptitle("The numpy level")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
