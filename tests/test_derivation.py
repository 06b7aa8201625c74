"""The derivation: each displayed equation proved, equal to the code, and up to date.

derivation.toml holds every displayed equation of the text beside the same statement in
sympy. Here the text is compared with the first, and the second is proved.
"""

import re
import tomllib

import build_derivation
import numpy as np
import pypdf
import pytest
import sympy as sp
from conftest import ROOT, code_of, needs, scores
from numpy.testing import assert_allclose

TEX = build_derivation.SOURCE.read_text("utf-8")
BODY = TEX.split(r"\begin{document}")[1]
TABLE = tomllib.loads((ROOT / "tests" / "derivation.toml").read_text("utf-8"))


# --- The text, proved with sympy ---
def softmax(Z):
    """Return the softmax of each column, as the text defines it."""
    E = Z.applyfunc(sp.exp)
    return sp.Matrix(*E.shape, lambda j, i: E[j, i] / sum(E[:, i]))


def D(f, v):  # noqa: N802
    """Return df/dv in the shape of v, or as the Jacobian where both are columns."""
    if isinstance(f, sp.Matrix):
        return f.jacobian(v)
    return v.applyfunc(f.diff) if isinstance(v, sp.Matrix) else f.diff(v)


def model(d, K, N):
    """Return the quantities that the text names, for these dimensions, and `value`.

    The column z of scores is free; `value` sets it to the first image's scores.
    """

    def matrix(name, rows, columns):
        return sp.Matrix(rows, columns, sp.symbols(f"{name}:{rows}:{columns}"))

    X, W, T = matrix("x", d, N), matrix("w", d, K), matrix("t", K, N)
    b, z, v, c = *(matrix(name, K, 1) for name in "bzv"), sp.Symbol("c")
    for i in range(N):  # all that the text uses of the truth is that it sums to one
        T[K - 1, i] = 1 - sum(T[: K - 1, i])
    one_N, x, t, y, e = sp.ones(N, 1), X[:, 0], T[:, 0], softmax(z), z.applyfunc(sp.exp)
    Z = W.T * X + b * one_N.T
    Y, s, L = softmax(Z), sum(e), -t.dot(y.applyfunc(sp.log))
    losses = [-T[:, i].dot(Y[:, i].applyfunc(sp.log)) for i in range(N)]
    Loss, count = sum(losses) / N, T * one_N
    xbar, xbar_of = X * one_N / N, X * T.T * sp.diag(*count).inv()
    delta = sp.eye(K)
    eX, eW = sp.Matrix([[1, 2], [1, 0]]), sp.log(2) * sp.Matrix([[0, 1, 0], [2, 0, -1]])
    eb, eT = sp.log(2) * sp.Matrix([[0], [0], [1]]), sp.Matrix([[1, 0], [0, 0], [0, 1]])
    eZ = eW.T * eX + eb * sp.ones(1, 2)

    def at_zero(f):
        return f.subs(dict.fromkeys([*W, *b], 0))

    def example(f):
        parts = [(X, eX), (W, eW), (b, eb), (T[: K - 1, :], eT[: K - 1, :])]
        return f.subs({n: e for A, E in parts for n, e in zip(A, E, strict=True)})

    # Different analytic functions do not agree to 12 digits at a random point.
    free = [*X, *W, *b, *T[: K - 1, :], *v, c]
    point = dict(zip(free, np.random.default_rng(d).uniform(size=99), strict=False))
    point |= dict(zip(z, Z[:, 0].subs(point), strict=True))

    def value(side):
        return sp.lambdify([*point], sp.Matrix([side]))(*map(float, point.values()))

    return locals()


def test_every_equation_is_in_the_table_as_it_stands(notebook):
    """Of the text, and of the notebook."""
    environment = r"\\\[(.*?)\\\]|\\begin\{(equation|align|gather\*)\}(.*?)\\end\{\2\}"
    found = re.findall(environment, BODY, re.DOTALL)
    displayed = [one or other for one, _, other in found]
    for cell in notebook.cells:
        displayed += re.findall(r"\$\$(.*?)\$\$", cell.source, re.DOTALL)
    expected = [row["tex"].split() for row in TABLE["equation"]]
    assert [each.split() for each in displayed] == expected


@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 3, 2)], ids=str)
def test_every_equation_of_the_table_holds(shape):
    """The worked example, which has the second shape, is checked there alone."""
    names = globals() | vars(sp) | model(*shape)
    for row in TABLE["equation"]:
        for chain in row["holds"]:
            if ("example" in chain or "eZ" in chain) != (shape == (2, 3, 2)):
                continue
            sides = " ".join(chain.split()).replace(" = ", ", ")
            chains = f"[[{sides}] {row.get('each', 'for _ in [0]')}]"
            for expected, *others in eval(chains, names):
                expected, *others = map(names["value"], (expected, *others))
                for other in others:
                    assert_allclose(other, expected, 1e-12, 1e-12, chain)


def test_dimensions_in_the_table_of_symbols():
    row = r"^\$(\\[a-zA-Z]+'?)\$ & .* & \$(\w \\times \w)\$ & \$(\w+ \\times \w+)\$"
    sizes = {r"\X": "d N", r"\W": "d K", r"\bias": "K 1", r"\x": "d 1"}
    sizes |= dict.fromkeys([r"\Z", r"\Y", r"\Y'"], "K N")
    for name, letters, numbers in re.findall(row, TEX, re.MULTILINE):
        assert letters == sizes.pop(name).replace(" ", r" \times ")
        assert numbers == letters.replace("d", "784").replace("K", "10")
    assert not sizes


def loss(X, y, W, b):
    return scores(X.T, y, W, b)[0]


def test_numbers_in_the_prose(kernel):
    log2, X, y = np.log(2), np.array([[1, 2], [1, 0]]), np.array([0, 2])
    W, b = log2 * np.array([[0, 1, 0], [2, 0, -1]]), log2 * np.array([[0], [0], [1]])
    dW, db = kernel(get="gradients(*batch)", batch=(X, np.eye(3)[:, y], W, b))
    before, after = loss(X, y, W, b), loss(X, y, W - dW / 2, b - db / 2)
    step = np.array([[0, 0.01, 0], [0, 0, 0]])
    slope = (loss(X, y, W + step, b) - loss(X, y, W - step, b)) / 0.02
    guesses = 1 + kernel(get="softmax(Z).argmax(axis=0)", Z=W.T @ X + b)
    assert guesses.tolist() == [1, 2] and dW[0, 1] == pytest.approx(5 / 7)
    text = " ".join(BODY.split())
    for sentence in (
        rf"\tfrac{{4}}{{7}} + \log \tfrac{{2}}{{7}} \bigr) = {before:.4f}$",
        rf"${slope:.4f}$, and the formula gave $\tfrac{{5}}{{7}} = {5 / 7:.4f}$",
        rf"lowers the loss from ${before:.4f}$ to ${after:.4f}$",
        "row~2 instead of row~3",
        "its sum (7 and 7)",
        r"$z \approx 89$ in single precision (710 in double)",
    ):
        assert sentence in text
    for limit, dtype in [(89, np.float32), (710, np.float64)]:
        assert np.log(np.finfo(dtype).max).round() == limit


# --- The code ---
@pytest.mark.parametrize("sizes", [(784, 10, 100), (3, 2, 1), (5, 4, 7)], ids=str)
def test_gradients_are_the_differences_of_the_loss(sizes, kernel):
    """In random directions. Two autodiffs confirm them in another file."""
    d, K, N = sizes
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(d, N)), rng.integers(K, size=N)
    W, b = rng.normal(size=(d, K)), rng.normal(size=(K, 1))
    dW, db = kernel(get="gradients(*batch)", batch=(X, np.eye(K)[:, y], W, b))
    for _ in range(5):
        V, v = 1e-5 * rng.normal(size=(d, K)), 1e-5 * rng.normal(size=(K, 1))
        measured = loss(X, y, W + V, b + v) - loss(X, y, W - V, b - v)
        assert 2 * (dW * V).sum() + 2 * (db * v).sum() == pytest.approx(measured, 1e-6)


def test_code_in_the_text_is_the_notebook_s(notebook):
    source = "\n".join(code_of(notebook, "6 Level 3"))
    lines = re.findall(r"^\\verb\|(.*?)\| &", TEX, re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        assert re.search(rf"(?<![\w.]){re.escape(line)}(?![\w.(\[])", source), line


def test_tiny_rates_predict_by_the_rule_of_the_text(kernel, data):
    """On MNIST; the nearest mean image is another rule, and predicts otherwise."""
    (X, y), (x, _) = data["train"], data["valid"]
    W, b, _ = kernel(get="sgd(X, Y, *validation, 1e-10, 250, 1)")
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    rule = (np.bincount(y) * (x @ means.T + 1)).argmax(axis=1)
    nearest = (x @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    predicted = (x @ W + b.T).argmax(axis=1)
    # 32 bits round the sum of 200 gradients: a few images on a border may fall over it.
    assert (predicted == rule).mean() > 0.999 > 0.9 > (predicted == nearest).mean()


def test_pdf_is_of_this_source_and_builds_again_to_the_same_bytes():
    stored = build_derivation.PDF.read_bytes()
    assert build_derivation.is_current(stored), "run make derivation"
    pdf = pypdf.PdfReader(build_derivation.PDF)
    assert pdf.metadata.title == "The gradient of softmax regression"
    assert 2 <= len(pdf.pages) <= 4
    needs("latexmk", build_derivation.PACKAGES)
    first, second = (build_derivation.compile_pdf() for _ in range(2))
    assert first == second and build_derivation.is_current(first)


def test_what_latex_complains_of_leaves_the_old_pdf(tmp_path, monkeypatch):
    needs("latexmk", build_derivation.PACKAGES)
    source, pdf = tmp_path / "derivation.tex", tmp_path / "derivation.pdf"
    pdf.write_text("old")
    monkeypatch.setattr(build_derivation, "SOURCE", source)
    monkeypatch.setattr(build_derivation, "PDF", pdf)
    body = r"\begin{document}\ref{a}\rule{30cm}{1pt}\end{document}"
    source.write_text(r"\documentclass{article}" + body)
    said = r"(?s)Reference `a' on page 1 undefined.*Overfull \\hbox"
    with pytest.raises(SystemExit, match=said):
        build_derivation.main()
    assert pdf.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
