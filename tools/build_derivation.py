"""Build derivation/derivation.pdf from derivation/derivation.tex.

The numbers of its worked example are computed here, by the notebook's own `softmax` and
`gradients`. The same sources always give the same bytes, and their digest stands in the
PDF, so that a test can tell whether the committed PDF is up to date.
"""

import argparse
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "derivation" / "derivation.tex"
PDF = ROOT / "derivation" / "derivation.pdf"
NOTEBOOK = ROOT / "hw1.ipynb"
PACKAGES = "latexmk texlive-latex-recommended texlive-latex-extra lmodern"

# The worked example. In units of log 2 its scores are integers, so that every
# exponential is a power of two and every probability a small fraction.
UNIT = np.log(2)
X = np.array([[1.0, 2.0], [1.0, 0.0]])  # (d, N)
W = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, -1.0]]) * UNIT  # (d, K)
b = np.array([[0.0], [0.0], [1.0]]) * UNIT  # (K, 1)
TRUTH = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])  # (K, N), one-hot


def notebook_functions():
    """Return the notebook's `softmax` and `gradients`."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    source = {cell["id"]: "".join(cell["source"]) for cell in cells}
    namespace = {"np": np}
    exec(source["level-3-softmax"] + "\n" + source["level-3-gradients"], namespace)
    return namespace["softmax"], namespace["gradients"]


def fraction(value):
    """Return the small fraction that the float `value` stands for."""
    small = Fraction(value).limit_denominator(100)
    if abs(small - Fraction(value)) > 1e-12:
        raise ValueError(f"{value} is not a small fraction")
    return small


def tex(A):
    """Return a number, or a matrix (rows, columns), as exact TeX."""
    fractions = [[fraction(value) for value in row] for row in np.atleast_2d(A)]
    denominator = math.lcm(*(value.denominator for row in fractions for value in row))
    rows = [[str(value * denominator) for value in row] for row in fractions]
    if np.ndim(A) == 0:
        return rf"\tfrac{{{rows[0][0]}}}{{{denominator}}}"
    factor = rf"\tfrac{{1}}{{{denominator}}}" if denominator > 1 else ""
    entries = r" \\ ".join(" & ".join(row) for row in rows)
    return rf"{factor}\begin{{bmatrix}} {entries} \end{{bmatrix}}"


def example():
    """Return all numbers of the worked example as {macro name: TeX}."""
    softmax, gradients = notebook_functions()

    def likelihood(W, b):
        return (softmax(W.T @ X + b) * TRUTH).sum(axis=0)

    def loss(W, b):
        return -np.log(likelihood(W, b)).mean()

    Z = W.T @ X + b
    Y = softmax(Z)
    dW, db = gradients(X, TRUTH, W, b)
    h, rate = 0.01, 0.5
    H = h * np.array([[0, 1, 0], [0, 0, 0]])
    return {
        "X": tex(X),
        "W": tex(W / UNIT),
        "B": tex(b / UNIT),
        "Truth": tex(TRUTH),
        "WX": tex(W.T @ X / UNIT),
        "BOnes": tex(b @ np.ones((1, 2)) / UNIT),
        "Z": tex(Z / UNIT),
        "Exp": tex(np.exp(Z)),
        "Sums": " and ".join(f"{total:.0f}" for total in np.exp(Z).sum(axis=0)),
        "Y": tex(Y),
        "Error": tex(Y - TRUTH),
        "ErrorT": tex((Y - TRUTH).T),
        "Guess": str(1 + Y[:, 1].argmax()),
        "True": str(1 + TRUTH[:, 1].argmax()),
        "GradW": tex(dW),
        "GradB": tex(db),
        "LikelyA": tex(likelihood(W, b)[0]),
        "LikelyB": tex(likelihood(W, b)[1]),
        "Loss": f"{loss(W, b):.4f}",
        "H": str(h),
        "Slope": f"{(loss(W + H, b) - loss(W - H, b)) / (2 * h):.4f}",
        "SlopeExact": tex(dW[0, 1]),
        "SlopeDecimal": f"{dW[0, 1]:.4f}",
        "Rate": str(rate),
        "LossAfter": f"{loss(W - rate * dW, b - rate * db):.4f}",
        "Single": f"{np.log(np.finfo(np.float32).max):.0f}",
        "Double": f"{np.log(np.finfo(np.float64).max):.0f}",
    }


def sources():
    """Return derivation.tex, generated.tex (both bytes) and their digest."""
    derivation = SOURCE.read_bytes()
    macros = [rf"\newcommand{{\example{k}}}{{{v}}}" for k, v in example().items()]
    generated = "\n".join(macros).encode()
    digest = hashlib.sha256(derivation + generated).hexdigest()
    generated += rb"\newcommand{\sourcedigest}{%s}" % digest.encode()
    return derivation, generated, digest


def compile_pdf():
    """Return the PDF's bytes; exit with a message if LaTeX fails or warns."""
    derivation, generated, _ = sources()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "derivation.tex").write_bytes(derivation)
        (folder / "generated.tex").write_bytes(generated)
        try:
            status = subprocess.run(
                ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "derivation"],
                cwd=folder,
                # Long lines keep each message of the log on a line of its own.
                env=os.environ | {"max_print_line": "1000"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
            ).returncode
        except FileNotFoundError:
            sys.exit(f"latexmk is missing. On Debian: apt install {PACKAGES}")
        log = folder / "derivation.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        problems = re.findall(
            r"^(?:! .*|.*Warning: .*|Overfull .*|Missing character: .*)", text, re.M
        )
        if status or problems:
            sys.exit(
                "\n".join(["LaTeX is not content with derivation.tex:", *problems])
                + f"\nIf a file is missing, on Debian: apt install {PACKAGES}"
            )
        return (folder / "derivation.pdf").read_bytes()


def main():
    """Write the PDF, or leave the old one as it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=PDF, help="default: %(default)s")
    output = parser.parse_args().output
    pdf = compile_pdf()
    # A complete file takes the old one's place in a single step.
    partial = output.with_name(output.name + ".part")
    try:
        partial.write_bytes(pdf)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{output}: {len(pdf):,} bytes")


if __name__ == "__main__":
    main()
