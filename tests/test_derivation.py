"""The derivation: proved, equal to the code, and up to date.

The displayed equations are read from derivation.tex, and sympy evaluates each side of
each of them, derivatives included: it is the text itself that is proved.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys

import build_derivation
import numpy as np
import pypdf
import pytest
import sympy
from conftest import section

TEX = build_derivation.SOURCE.read_text(encoding="utf-8")


# --- The text, proved with sympy ------------------------------------------------------


def equations(tex):
    """Return a list of ([A, B, ...], condition), one for each A = B = ... displayed.

    Not among them are the update rule, which is no equation, and the worked example,
    which has a test of its own.
    """
    found = []
    body = tex.split(r"\begin{document}")[1].split(r"\section{A worked example}")[0]
    display = r"\\\[(.*?)\\\]|\\begin\{(?:equation|align)\}(.*?)\\end\{"
    for content in map("".join, re.findall(display, body, re.DOTALL)):
        condition = "zero parameters" if "{eq:zero}" in content else None
        # In an align, the words after && say why a step is allowed.
        formula = " ".join(row.split("&&")[0] for row in content.split(r"\\"))
        formula = " ".join(formula.replace(r"\notag", "").split())
        for part in re.split(r"\\label\{.*?\}|\\qquad|\\text\{and\}", formula):
            part = part.replace("_{i=1}^N", "_i").strip(" .,").removesuffix(r"\ge 0")
            part = re.sub(r"^\\boxed\{(.*)\}$", r"\1", part)
            if re.fullmatch(r"\(k .*j\)", part):
                found[-1] = found[-1][0], part
            elif "=" in part:
                found.append((part.split("="), condition))
    return found


class Model:
    """The quantities that the text names, as symbols and formulas for small d, K, N."""

    def __init__(self, d, K, N):
        def matrix(name, rows, columns):
            names = sympy.symbols(f"{name}:{rows}\\,:{columns}")
            return sympy.Matrix(rows, columns, names)

        X, W, b = matrix("x", d, N), matrix("w", d, K), matrix("b", K, 1)
        Z, truth, v = matrix("z", K, N), matrix("t", K, N), matrix("v", K, 1)
        for i in range(N):  # all that the text uses of the truth is that it sums to one
            truth[K - 1, i] = 1 - sum(truth[: K - 1, i])
        E = Z.applyfunc(sympy.exp)
        Y = sympy.Matrix(K, N, lambda j, i: E[j, i] / sum(E[:, i]))
        terms = truth.multiply_elementwise(Y.applyfunc(sympy.log))
        losses = sympy.Matrix([-sum(terms[:, i]) for i in range(N)])
        counts = truth * sympy.ones(N, 1)
        class_means = sympy.Matrix(d, K, lambda m, j: (X * truth.T)[m, j] / counts[j])
        x, z, y, y_true = (A[:, 0] for A in (X, Z, Y, truth))

        self.matrices = {r"\X": X, r"\W": W, r"\bias": b, r"\Z": Z, r"\Y": Y}
        self.matrices |= {r"\Y'": truth, r"\x": x, r"\z": z, r"\y": y, r"\y'": y_true}
        self.matrices |= {r"\direction": v, r"\bar\x": X * sympy.ones(N, 1) / N}
        self.entries = {"X": X, "W": W, "b": b, "Y": Y, "Y'": truth, "L": losses}
        self.entries |= {"x": x, "z": z, "y": y, "y'": y_true, "v": v}
        self.entries |= {r"\delta": sympy.eye(K), "N": counts}
        self.columns = {r"\W": W, r"\x": X, r"\bar\x": class_means}
        self.numbers = {"K": K, "N": N, "L": losses[0], r"\Loss": sum(losses) / N}
        self.numbers |= {"s": sum(E[:, 0]), "c": sympy.Symbol("c"), r"\barv": y.dot(v)}
        self.range = {"m": range(d), "j": range(K), "k": range(K), "i": range(N)}
        self.length = {"d": d, "K": K, "N": N, "1": 1}
        # Scores are symbols of their own, until it matters how they depend on W and b.
        self.scores = W.T * X + b * sympy.ones(1, N)
        self.Z = Z

    def derivative(self, f, v):
        """Return df/dv, in the shape of v, or as the Jacobian if both are columns."""
        if isinstance(v, sympy.Matrix):
            if isinstance(f, sympy.Matrix):
                return f.jacobian(v)
            return v.applyfunc(lambda entry: self.derivative(f, entry))
        if v in self.Z.free_symbols:
            return f.diff(v)
        # v is a weight or a bias: every score is a function of it.
        functions = [sympy.Function(str(z))(v) for z in self.Z]
        slopes = {
            function.diff(v): score.diff(v)
            for function, score in zip(functions, self.scores, strict=True)
        }
        result = f.xreplace(dict(zip(self.Z, functions, strict=True))).diff(v)
        result = result.xreplace(slopes)
        return result.xreplace(dict(zip(functions, self.Z, strict=True)))

    def equal(self, left, right, condition):
        """Say whether two numbers or matrices are the same for all parameters."""
        left, right = (sympy.Matrix([[value]]) for value in (left, right))
        if left.shape != right.shape:
            return False
        scores = dict(zip(self.Z, self.scores, strict=True))
        if condition == "zero parameters":
            scores = dict.fromkeys(self.Z, sympy.Integer(0))
            left, right = left.subs(scores), right.subs(scores)
        logs = {z: sympy.log(sympy.Dummy()) for z in self.Z}
        for a, b in zip(left, right, strict=True):
            # With a symbol for every exponential, the difference is a fraction of
            # polynomials, and zero if its numerator is.
            difference = sympy.expand_power_exp(a - b).replace(
                sympy.exp, lambda z: sympy.exp(z.xreplace(logs))
            )
            numerator, _ = sympy.fraction(sympy.together(difference.xreplace(scores)))
            if sympy.expand(numerator) != 0:
                return False
        return True


class Reader:
    """Evaluate TeX by recursive descent.

    A sum has terms between its signs; a term is a product of factors side by side; a
    factor is an atom with ⊤, a power or a subscript behind it; an atom is a name, a
    number, a macro with its arguments, or a sum in brackets. A Σ reaches to the end of
    its term.
    """

    TOKEN = re.compile(r"\\[a-zA-Z]+'?|[a-zA-Z]'?|[0-9]|[-+()\[\]{}^_]")
    LAYOUT = re.compile(r"\\(?:,|cdot|[bB]ig[lr]|textstyle|displaystyle)|&|\s")

    def __init__(self, model, tex, index):
        self.model, self.index = model, dict(index)
        tex = self.LAYOUT.sub(" ", tex)
        self.tokens = self.TOKEN.findall(tex)
        assert "".join(self.tokens) == tex.replace(" ", ""), f"cannot read {tex}"
        self.position = 0

    def value(self):
        value = self.sum()
        assert self.next() is None, f"cannot read {self.tokens[self.position :]}"
        return value

    def next(self):
        return (*self.tokens, None)[self.position]

    def take(self, expected=None):
        token = self.next()
        assert expected in (None, token), f"{expected} expected, found {token}"
        self.position += 1
        return token

    def sum(self):
        value = self.term()
        while self.next() in ("+", "-"):
            value += self.term()
        return value

    def term(self):
        sign = self.take() if self.next() in ("+", "-") else "+"
        return self.product() * (-1 if sign == "-" else 1)

    def product(self):
        value = self.factor()
        while self.next() not in (None, "+", "-", ")", "]", "}"):
            value = value * self.factor()
        return value

    def factor(self):
        value = self.atom()
        while self.next() in (r"\T", "^", "_"):
            token = self.take()
            if token == r"\T":
                value = value.T
            elif token == "^":
                value = value ** self.argument()
            else:
                value = value[self.subscript()]
        return value

    def atom(self):
        model, token = self.model, self.take()
        if token in "([":
            value = self.sum()
            self.take(")" if token == "(" else "]")
            return value
        if token == "e":
            self.take("^")
            return sympy.exp(self.argument())
        if token == r"\log":
            return sympy.log(self.factor())
        if token == r"\frac":
            return self.argument() / sympy.sympify(self.argument())
        if token == r"\diag":
            return sympy.diag(*self.atom())
        if token == r"\pd":
            return model.derivative(self.argument(), self.argument())
        if token == r"\sum":
            return self.total()
        if token == r"\dims":
            value = self.argument()
            shape = tuple(model.length[self.group()] for _ in "rc")
            if value.shape != shape:
                raise sympy.ShapeError(f"{value.shape} is written as {shape}")
            return value
        if token == r"\one":
            self.take("_")
            return sympy.ones(model.length[self.take()], 1)
        if token.isdigit():
            return sympy.Integer(token)
        if token == r"\bar":
            token += self.take()
        if self.next() == "_":
            self.take()
            if token in model.columns:
                return model.columns[token][:, self.subscript()]
            return model.entries[token][self.subscript()]
        return (model.matrices | model.numbers)[token]

    def total(self):
        """Return what follows in this term, summed over the index under the Σ."""
        self.take("_")
        name, start, summands = self.group(), self.position, []
        for number in self.model.range[name]:
            self.index[name], self.position = number, start
            summands.append(self.product())
        return sum(summands[1:], summands[0])

    def group(self):
        """Return the single token that comes next, in braces or without."""
        token = self.take()
        if token == "{":
            token = self.take()
            self.take("}")
        return token

    def argument(self):
        if self.next() != "{":
            return self.atom()
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def subscript(self):
        names = [self.take()]
        if names == ["{"]:
            names = list(iter(self.take, "}"))
        numbers = tuple(self.index[name] for name in names)
        return numbers if len(numbers) == 2 else numbers[0]


EQUATIONS = equations(TEX)
MODELS = {shape: Model(*shape) for shape in [(2, 3, 2), (3, 2, 4)]}  # d, K, N


def holds(sides, condition, model):
    """Say whether all sides of an equation are equal, for all values of its indices."""
    tex = "=".join(sides)
    bound = set(re.findall(r"\\sum_\{?(.)", tex))
    names = set("".join(re.findall(r"_\{?([mjki]+)", tex))) - bound
    for numbers in itertools.product(*(model.range[name] for name in names)):
        index = dict(zip(names, numbers, strict=True))
        same = index.get("k") == index.get("j")
        if (condition, same) in [("(k = j)", False), (r"(k \neq j)", True)]:
            continue
        try:
            first, *others = (Reader(model, side, index).value() for side in sides)
        except sympy.ShapeError:
            return False
        if not all(model.equal(first, other, condition) for other in others):
            return False
    return True


@pytest.mark.parametrize("shape", MODELS, ids=str)
@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: e[0][0].strip(" &"))
def test_every_equation_of_the_text_holds(equation, shape):
    assert holds(*equation, MODELS[shape])


def test_all_steps_are_among_the_equations():
    first_sides = [re.sub(r"\s|&|\\dims|\}\{\w\}", "", A) for (A, *_), _ in EQUATIONS]
    for quantity in [
        r"\pd{y_j}{z_k}",
        r"{\pd{\y}{\z}",
        r"\pd{L}{z_k}",
        r"{\pd{L}{\z}",
        r"\pd{L}{W_{mj}}",
        r"\pd{L}{b_j}",
        r"\pd{\Loss}{\W}",
        r"\pd{\Loss}{\bias}",
        r"\pd{\Loss}{\W_j}",
        r"\direction\T\bigl(\diag(\y)-\y\y\T\bigr)\direction",
    ]:
        assert any(side.startswith(quantity) for side in first_sides), quantity


@pytest.mark.parametrize(
    "formula, broken",
    [
        (r"\frac1N\, \X\, (\Y - \Y')\T", r"\X\, (\Y - \Y')\T"),
        (r"\frac1N\, \X\, (\Y - \Y')\T", r"\frac1N\, (\Y - \Y') \X\T"),
        (r"\frac1N\, \X\, (\Y - \Y')\T", r"\frac1N\, \X\, (\Y' - \Y)\T"),
        (r"\frac1N\, \dims{\X}{d}{N}", r"\dims{\X}{d}{N}"),
        (r"\dims{(\Y - \Y')\T}{N}{K}", r"\dims{(\Y' - \Y)\T}{N}{K}"),
        (r"\dims{(\Y - \Y')\T}{N}{K}", r"\dims{(\Y - \Y')}{N}{K}"),
        (r"\frac1N\, \dims{(\Y - \Y')}{K}{N}", r"\dims{(\Y - \Y')}{K}{N}"),
        (r"\dims{(\Y - \Y')}{K}{N}", r"\dims{(\Y' - \Y)}{K}{N}"),
        (r"\dims{\one_N}{N}{1}", r"\dims{\one_K}{N}{1}"),
        (r"\dims{\y - \y'}{K}{1}", r"\dims{\y' - \y}{K}{1}"),
        (r"\dims{\y - \y'}{K}{1}", r"\dims{\y - \y'}{1}{K}"),
        (r"\dims{\x}{d}{1}\, \dims{(\y - \y')\T}", r"\dims{(\y - \y')\T}"),
        (r"\dims{\diag(\y)}{K}{K} -", r"\dims{\diag(\y)}{K}{K} +"),
        (r"y_j\, (\delta_{jk} - y_k)", r"y_j\, (\delta_{jk} + y_k)"),
        (r"y_j\, (1 - y_j)", r"y_j\, (1 + y_j)"),
        (r"&= y_k - y'_k", r"&= y'_k - y_k"),
        (r"x_m (y_j - y'_j)", r"x_m (y'_j - y_j)"),
        (r"X_{mi} (Y_{ji} - Y'_{ji})", r"X_{mi} (Y_{ji} + Y'_{ji})"),
        (r"(v_j - \bar v)^2", r"(v_j + \bar v)^2"),
        (r"\frac1K\, \bar\x - \frac{N_j}{N}", r"\frac1K\, \bar\x - \frac1N"),
    ],
)
def test_a_broken_formula_is_noticed(formula, broken):
    assert formula in TEX
    changed = [e for e in equations(TEX.replace(formula, broken)) if e not in EQUATIONS]
    assert not any(holds(*equation, MODELS[2, 3, 2]) for equation in changed)
    assert changed


def test_dimensions_in_the_table_of_symbols():
    model, homework = MODELS[3, 2, 4], {"d": "784", "K": "10", "N": "N", "1": "1"}
    row = r"^\$(\\[a-zA-Z]+'?)\$ & .* & \$(\w) \\times (\w)\$ & \$(\w+) \\times (\w+)\$"
    rows = re.findall(row, TEX, re.MULTILINE)
    for name, r, c, *numbers in rows:
        assert model.matrices[name].shape == (model.length[r], model.length[c])
        assert numbers == [homework[r], homework[c]]
    assert len(rows) == 7


def test_the_numbers_of_the_worked_example_are_exact():
    model, value = MODELS[2, 3, 2], {}
    for name, A, unit in [
        (r"\X", build_derivation.X, 1),
        (r"\Y'", build_derivation.TRUTH, 1),
        (r"\W", build_derivation.W / build_derivation.UNIT, sympy.log(2)),
        (r"\bias", build_derivation.b / build_derivation.UNIT, sympy.log(2)),
    ]:
        integers = sympy.Matrix(np.rint(A).astype(int).tolist())
        value |= dict(zip(model.matrices[name], integers * unit, strict=True))
    scores = dict(zip(model.Z, model.scores, strict=True))
    printed = build_derivation.example()
    for macro, quantity in [
        ("Y", model.matrices[r"\Y"]),
        ("GradW", model.derivative(model.numbers[r"\Loss"], model.matrices[r"\W"])),
        ("GradB", model.derivative(model.numbers[r"\Loss"], model.matrices[r"\bias"])),
    ]:
        exact = quantity.subs(scores).subs(value)
        assert all(entry.is_rational for entry in exact)
        assert printed[macro] == build_derivation.tex(np.array(exact, float))
    assert printed["Slope"] == printed["SlopeDecimal"]
    assert float(printed["LossAfter"]) < float(printed["Loss"])


# --- The code, against differences, Theano and TensorFlow -----------------------------


def problem(seed):
    """Return random float64 X (d, N), one-hot Y (K, N), W (d, K) and b (K, 1).

    Every fourth batch has a single example; seed 0 gives the shapes of the homework.
    """
    rng = np.random.default_rng(seed)
    d, K, N = rng.integers([1, 2, 2], [8, 7, 9])
    if seed == 0:
        d, K, N = 784, 10, 100
    elif seed % 4 == 1:
        N = 1
    Y = np.eye(K)[:, rng.integers(K, size=N)]
    return rng.normal(size=(d, N)), Y, rng.normal(size=(d, K)), rng.normal(size=(K, 1))


def loss(X, Y, W, b):
    """Return the loss of the batch, as the text defines it."""
    Z = W.T @ X + b
    return -(Y * (Z - np.logaddexp.reduce(Z, axis=0))).sum() / X.shape[1]


def central_differences(X, Y, W, b, h=1e-5):
    """Return both gradients, measured by moving one parameter after the other."""
    W, b = W.copy(), b.copy()
    result = np.empty_like(W), np.empty_like(b)
    for parameter, slopes in zip((W, b), result, strict=True):
        for place in np.ndindex(parameter.shape):
            old = parameter[place]
            parameter[place] = old + h
            ahead = loss(X, Y, W, b)
            parameter[place] = old - h
            slopes[place] = (ahead - loss(X, Y, W, b)) / (2 * h)
            parameter[place] = old
    return result


def relative_error(found, expected):
    """Return the larger relative error of two gradients, one for W and one for b."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype == np.float64
    return max(
        np.linalg.norm(a - b) / np.linalg.norm(b)
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("seed", range(40))
def test_gradients_are_the_central_differences(level_3, seed):
    batch = problem(seed)
    measured = central_differences(*batch)
    assert relative_error(level_3["gradients"](*batch), measured) < 1e-7


@pytest.mark.parametrize(
    "broken",
    [
        lambda X, dW, db: (dW * X.shape[1], db * X.shape[1]),
        lambda X, dW, db: (-dW, -db),
        lambda X, dW, db: (dW, -db),
        lambda X, dW, db: (dW.T.reshape(dW.shape), db),
    ],
    ids=["no 1/N", "other sign", "other sign of b", "transposed"],
)
def test_broken_gradients_are_noticed(level_3, broken):
    batch = problem(seed=2)
    gradients = broken(batch[0], *level_3["gradients"](*batch))
    assert relative_error(gradients, central_differences(*batch)) > 0.1


@pytest.fixture(scope="module")
def theano_gradients(notebook):
    """`gradients`, differentiated by Theano, which is imported as the notebook does."""
    (cell,) = (cell for cell in notebook.cells if cell.id == "level-2-import")
    names = {}
    exec(cell.source, names)
    T = names["T"]
    X, Y, W, b = T.dmatrix(), T.dmatrix(), T.dmatrix(), T.dcol()
    E = T.exp(T.dot(W.T, X) + b)
    cost = -T.sum(Y * T.log(E / E.sum(axis=0))) / X.shape[1]
    return names["theano"].function([X, Y, W, b], T.grad(cost, [W, b]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gradients_are_those_of_theano(level_3, theano_gradients):
    for batch in map(problem, range(40)):
        expected = theano_gradients(*batch)
        assert relative_error(level_3["gradients"](*batch), expected) < 1e-12


def test_gradients_are_those_of_tensorflow(level_3, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    for batch in map(problem, range(40)):
        X, Y, W, b = map(tf.constant, batch)
        with tf.GradientTape() as tape:
            tape.watch([W, b])
            E = tf.exp(tf.matmul(W, X, transpose_a=True) + b)
            terms = Y * tf.math.log(E / tf.reduce_sum(E, axis=0))
            cost = -tf.reduce_sum(terms) / X.shape[1]
        expected = [gradient.numpy() for gradient in tape.gradient(cost, [W, b])]
        assert relative_error(level_3["gradients"](*batch), expected) < 1e-12


# --- What section 7 says --------------------------------------------------------------


def test_subtracting_the_maximum_changes_nothing_but_overflow(level_3):
    Z = np.random.default_rng(0).normal(size=(10, 5))
    Y = np.exp(Z) / np.exp(Z).sum(axis=0)
    np.testing.assert_allclose(level_3["softmax"](Z), Y)
    for dtype, macro in [(np.float32, "Single"), (np.float64, "Double")]:
        limit = int(build_derivation.example()[macro])
        with np.errstate(over="ignore"):
            powers = np.exp(np.array([limit - 1, limit + 1], dtype))
        assert np.isfinite(powers).tolist() == [True, False]
        shifted = (Z + limit + 1).astype(dtype)
        np.testing.assert_allclose(level_3["softmax"](shifted), Y, rtol=1e-4)


def test_the_loss_is_convex_with_many_minima(level_3):
    for seed in range(1, 40):
        X, Y, W, b = batch = problem(seed)
        rng = np.random.default_rng(seed)
        A, a = rng.normal(size=W.shape), rng.normal(size=b.shape)
        ends = loss(X, Y, W + A, b + a) + loss(X, Y, W - A, b - a)
        assert loss(*batch) <= ends / 2
        u, c = rng.normal(size=(len(X), 1)), rng.normal()
        np.testing.assert_allclose(loss(X, Y, W + u, b + c), loss(*batch))
        dW, db = level_3["gradients"](*batch)
        np.testing.assert_allclose(dW.sum(axis=1), 0, atol=1e-12)
        np.testing.assert_allclose(db.sum(), 0, atol=1e-12)


def test_the_gradient_at_zero_and_the_plateau_of_tiny_rates(level_3):
    rng = np.random.default_rng(0)
    d, K, N = 9, 4, 60
    labels = rng.permutation(np.repeat(np.arange(K), [17, 16, 14, 13]))
    patterns = 3 * rng.random((d, K))
    X, Y = patterns[:, labels] + rng.random((d, N)), np.eye(K)[:, labels]
    x = patterns[:, rng.integers(K, size=1000)] + rng.random((d, 1000))

    W, b = np.zeros((d, K)), np.zeros((K, 1))
    count, mean = Y.sum(axis=1), X @ Y.T / Y.sum(axis=1)
    dW, db = level_3["gradients"](X, Y, W, b)
    np.testing.assert_allclose(
        dW, X.mean(axis=1, keepdims=True) / K - count / N * mean, atol=1e-15
    )
    np.testing.assert_allclose(db[:, 0], 1 / K - count / N, atol=1e-15)

    for learning_rate in (1e-10, 1e-8, 1e-6):
        W, b = np.zeros((d, K)), np.zeros((K, 1))
        for batch in 10 * np.split(rng.permutation(N), 3):
            dW, db = level_3["gradients"](X[:, batch], Y[:, batch], W, b)
            W, b = W - learning_rate * dW, b - learning_rate * db
        scores = count[:, np.newaxis] * (mean.T @ x + 1)
        predicted = (W.T @ x + b).argmax(axis=0)
        assert (predicted == scores.argmax(axis=0)).all()
        assert len(set(predicted)) > 1
        np.testing.assert_allclose(loss(X, Y, W, b), np.log(K), rtol=1e-4)


def test_the_code_in_the_text_is_the_code_of_the_notebook(notebook):
    source = "\n".join(cell.source for cell in section(notebook, "6 Level 3", "code"))
    lines = re.findall(r"^\\verb\|(.*?)\| &", TEX, re.MULTILINE)
    assert len(lines) == 9
    for line in lines:
        assert re.search(rf"(?<![\w.]){re.escape(line)}(?![\w.(\[])", source), line


# --- The PDF --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def latexmk():
    """Skip what needs LaTeX where it is not installed; CI must have it."""
    if not shutil.which("latexmk"):
        message = f"latexmk is missing (Debian: {build_derivation.PACKAGES})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


def test_the_pdf_was_built_from_this_source():
    pdf = pypdf.PdfReader(build_derivation.PDF)
    *_, digest = build_derivation.sources()
    assert pdf.metadata["/SourceSHA256"] == digest, "run make derivation"
    assert pdf.metadata.title == "The gradient of softmax regression"
    assert 2 <= len(pdf.pages) <= 4


def test_building_twice_gives_the_same_bytes(latexmk, tmp_path):
    pdfs = [tmp_path / "first.pdf", tmp_path / "second.pdf"]
    for pdf in pdfs:
        command = [sys.executable, build_derivation.__file__, "--output", pdf]
        subprocess.run(command, check=True, cwd=tmp_path)
    assert pdfs[0].read_bytes() == pdfs[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == pdfs
    assert 2 <= len(pypdf.PdfReader(pdfs[0]).pages) <= 4


@pytest.mark.parametrize(
    "content, message",
    [
        (r"\noindent\rule{30cm}{1pt}", r"Overfull \hbox"),
        (r"See \ref{nowhere}.", "Reference `nowhere' on page 1 undefined"),
        (r"\char200", "Missing character: There is no"),
        (r"\nosuchmacro", "Undefined control sequence"),
    ],
)
def test_whatever_latex_warns_of_leaves_the_old_pdf(
    latexmk, content, message, tmp_path, monkeypatch
):
    source, output = tmp_path / "derivation.tex", tmp_path / "derivation.pdf"
    document = r"\documentclass{article}\begin{document}" + content + r"\end{document}"
    source.write_text(document)
    output.write_text("old")
    monkeypatch.setattr(build_derivation, "SOURCE", source)
    monkeypatch.setattr(sys, "argv", ["build_derivation.py", "--output", str(output)])
    with pytest.raises(SystemExit, match=re.escape(message)):
        build_derivation.main()
    assert output.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [output, source]


def test_without_latexmk_the_message_names_the_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="apt install latexmk texlive") as error:
        build_derivation.compile_pdf()
    assert "\n" not in str(error.value)
