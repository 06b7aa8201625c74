"""The formulas hold, in the derivation and in the notebook; the PDF is current.

Under each displayed formula stands its twin, which says the same in Python:
`% holds: ...` in derivation.tex, `<!-- holds: ... -->` in the notebook. Both are read
sign by sign, and must be the same. The twin is proved, in numbers, on a small model
whose derivatives sympy knows; `model` below says what the names in it mean.
"""

import functools
import hashlib
import itertools
import operator
import re

import numpy as np
import pypdf
import pytest
import sympy as sp
from conftest import CODE, ROOT, TEXT
from numpy.testing import assert_allclose

DERIVATION = ROOT / "derivation" / "derivation.tex"
BODY = DERIVATION.read_text("utf-8").split(r"\begin{document}")[1]
TEXTS = [  # a twin may go on in the next line, after `%  ` or, in the notebook, spaces
    re.sub(r"\n(?:%  +|  +(?=[^<]*-->))", " ", text)
    for text in (BODY, *(cell.source for cell in TEXT))
]
TWIN = re.compile(r"^(?:%|<!--) holds ?([a-z ]*): (.*?)(?: *-->)?$", re.MULTILINE)
TWINS = [twin for text in TEXTS for twin in TWIN.findall(text)]
FORMULA = re.compile(
    r"(\$\$.*?\$\$|(?<!\\)\\\[.*?\\\]"
    r"|\\begin\{((?:equation|align|gather|multline)\*?)\}.*?\\end\{\2\})"
    r"\s*((?:(?:%|<!--) holds[^\n]*\n?)*)",
    re.DOTALL,
)
FORMULAS = [match.group(1, 3) for text in TEXTS for match in FORMULA.finditer(text)]


# --- A formula and its twin are the same, sign by sign ---
TEX = {  # what is no sign of a formula, and what can be written in several ways
    r"(\\q?quad *\\text|\\label|\\begin|\\end)\{[^{}]*\}|&&.*|\\[][]": " ",
    r"\\mathbf\{L\}": r"\\Loss ",
    r"\\mathbf\{1\}(_N)?": r"\\one_N ",
    r"\\mathbf\{(.)\}": r"\\\1 ",
    r"\{([a-z]{3,})\}": r"\\\1 ",  # {pred} is a word, {jk} are two indices
    r"\\(mathrm|operatorname|text|(display|text)style|notag|limits|q?quad|cdot"
    r"|left|right|[bB]igg?[lr]?)(?![A-Za-z])|\\[^A-Za-z]|[~$]": " ",
    r"(?:(i)=1\}\^\{?N|([jk])=1\}\^\{?(?:K|10)|(m)=1\}\^\{?(?:d|784))\}?": r"\1\2\3}",
    r"\\[td]?frac *\{ *\\partial": r"\\pd{",
    r"\\partial": "",
    r"\\boxed": "_",  # neither needs its {}
    r"(?<![A-Za-z\\])e\^": r"\\exp ",
    r"\\[A-Za-z]+|[A-Za-z]": r" \g<0> ",
}
NAMES = {  # of one thing, in TeX and in the twins
    "tfrac": "frac", "dfrac": "frac", "ln": "log", "top": "T", "approx": "≈",
    "ge": ">=", "geq": ">=", "ne": "!=", "neq": "!=", "==": "=", "leftarrow": "<-",
    "bias": "b", "direction": "v", "true": "'", "loss": "Loss", "losses": "L",
    "count": "N", "Ws": "W", "xs": "x",
}  # fmt: skip


def signs(text):
    """Return the signs, and in ⟨ ⟩ what TeX has in {}, unless it is one sign alone."""
    sign = r"[A-Za-z]+|\d|(?<=\d)\.(?=\d)|<-|[<>=!]=|[^\w\s.,:;*@&\\^]"
    text = " ".join(NAMES.get(each, each) for each in re.findall(sign, text))
    return re.sub(r"⟨ (\S+) ⟩", r"\1", text)


def from_within(brackets, replace, text):
    """Replace the innermost brackets, and then again, until there are none."""
    found = True
    while found:
        text, found = re.subn(brackets, replace, text)
    return text


def signs_of_formula(tex):
    def group(match):
        before, bracket, inside = match.groups()
        if before:  # an index is one without brackets, too
            return f"{before} {inside} "
        return f"⟨{inside}⟩" if bracket == "{" else f"[{inside}]"

    tex = re.sub(r"\\mat\{.*?\}", lambda rows: rows[0].replace(r"\\", "}{"), tex)
    for pattern, sign in TEX.items():
        tex = re.sub(pattern, sign, tex)
    tex = tex.replace("[", "(").replace("]", ")")
    return signs(from_within(r"(\\log|[_^])? *([{(])([^{}()]*)[)}]", group, tex))


def signs_of_twin(twin):
    def call(match):
        name, inside = match.groups()
        if name in ("sum", "argmax"):
            inside, *indices = re.split(r" for (\w) in \w+", inside)
            return "".join(f"{name} {index} " for index in indices[::2]) + inside
        if name in ("frac", "pd", "exp", "dims", "mat"):
            return name + "".join(f"⟨{part}⟩" for part in inside.split(","))
        return f"log {inside}" if name == "log" else f"{name}[{inside}]"

    twin = re.sub(r" if (.*)", r" (\1)", twin)
    twin = re.sub(r"\[(.*?)\]", lambda index: f" {index[1].replace(',', ' ')} ", twin)
    return signs(from_within(r"(\w*)\(([^()]*)\)", call, twin))


@pytest.mark.parametrize(("formula", "comment"), FORMULAS)
def test_each_displayed_formula_has_its_twin(formula, comment):
    twins = [statement for _, statement in TWIN.findall(comment)]
    assert signs_of_formula(formula) == " ".join(map(signs_of_twin, twins)), (
        "A formula (left) and its twin differ. Correct the wrong one, or write below "
        "the formula what it says in Python, its signs and brackets in its order: "
        "`% holds: ...` in derivation.tex, `<!-- holds: ... -->` in the notebook.\n"
        f"{formula}\n{twins}"
    )


# --- The twins hold ---
RANGES = {"i": "examples", "j": "classes", "k": "classes", "m": "inputs"}
PLACES = {  # what is given there
    "": {},
    "at zero": {"W": np.zeros((4, 3)), "b": np.zeros((3, 1))},
    "after tiny steps": {},
    "in the example": {
        "X": np.array([[1, 2], [1, 0]]),
        "W": np.log(2) * np.array([[0, 1, 0], [2, 0, -1]]),
        "b": np.log(2) * np.array([[0], [0], [1]]),
        "Y_true": np.array([[1, 0], [0, 0], [0, 1]]),
    },
}
exp, log = (np.vectorize(f, otypes=[object]) for f in (sp.exp, sp.log))


def softmax(Z):
    """Return the softmax of each column, as the text defines it."""
    return exp(Z) / exp(Z).sum(axis=0)


def argmax(column):
    """Return the row of its largest entry."""
    entries = np.ravel(list(column))
    largest = [sp.And(*(entry >= other for other in entries)) for entry in entries]
    return sp.Piecewise(*enumerate(largest))


def dims(A, rows, columns):
    """Return A, if it has this shape."""
    shape = np.shape(A)
    assert shape == (rows, columns), f"a shape is {shape}, not {(rows, columns)}"
    return A


@functools.cache
def model(d, K, N):
    """Return what the names in the twins mean, as arrays of sympy's symbols.

    The scores z of the first image are symbols too, to differentiate by. For
    every other derivative they are what the model makes of X, W and b.
    """

    def symbols(name, *shape):
        names = [name + "".join(map(str, index)) for index in np.ndindex(shape)]
        return np.array(sp.symbols(names)).reshape(shape)

    X, W, b = symbols("x", d, N), symbols("w", d, K), symbols("b", K, 1)
    Y_true, z, v = symbols("t", K, N), symbols("z", K, 1), symbols("v", K, 1)
    one_N = np.ones((N, 1), int)

    def losses(W, b):
        return -(Y_true * log(softmax(W.T @ X + b @ one_N.T))).sum(axis=0)

    def loss(W, b):
        return losses(W, b).sum() / N

    Z = W.T @ X + b @ one_N.T
    y, y_true, count = softmax(z), Y_true[:, [0]], Y_true @ one_N
    meaning_of_z = dict(zip(z.flat, Z[:, 0], strict=True))

    @functools.partial(np.vectorize, otypes=[object])
    def derivative(f, v):
        return (f if v in meaning_of_z else f.xreplace(meaning_of_z)).diff(v)

    def pd(f, v):
        """Return ∂f/∂v in the shape of v, or of two columns the Jacobian."""
        return derivative(f, v.T if np.ndim(f) == np.ndim(v) == 2 else v)

    names = {"d": d, "K": K, "N": N, "X": X, "W": W, "b": b, "Y_true": Y_true}
    names |= {"Z": Z, "Y": softmax(Z), "losses": losses(W, b)}
    names |= {"loss": loss, "Loss": loss(W, b)}
    names |= {"x": X[:, [0]], "z": z, "y": y, "y_true": y_true, "y_pred": argmax(z)}
    names |= {"s": exp(z).sum(), "L": -(y_true * log(y)).sum()}
    names |= {"inputs": range(d), "classes": range(K), "examples": range(N)}
    names |= {"delta": np.eye(K, dtype=int), "one_N": one_N, "count": count}
    names |= {"xs": np.split(X, N, axis=1), "Ws": np.split(W, K, axis=1)}
    names |= {"bar_x": X @ one_N / N}
    names |= {"bar_xs": np.split(X @ Y_true.T / count.T, K, axis=1)}
    names |= {"v": v, "bar_v": (y * v).sum()}
    names |= {name: symbols(name) for name in ("c", "eta", "T")}
    names |= {"pd": pd, "frac": operator.truediv, "exp": exp, "log": log}
    names |= {"diag": np.diagflat, "mat": lambda *rows: np.array(rows), "dims": dims}
    return names | {"softmax": softmax, "argmax": argmax}


def value(side, numbers):
    """Return a side of an equation, with these numbers for its symbols."""
    result = np.vectorize(lambda f: float(sp.sympify(f).xreplace(numbers)))(side)
    return result.reshape(()) if result.size == 1 else result


def numbers_at(place, names):
    """Return a number for each symbol: random, but for what is given there."""
    rng = np.random.default_rng(0)
    free = ("X", "W", "b", "Y_true", "v", "c", "eta", "T")
    arrays = {name: rng.uniform(size=np.shape(names[name])) for name in free}
    arrays["Y_true"] /= arrays["Y_true"].sum(axis=0)  # all that the text uses of it
    arrays |= PLACES[place]
    if place == "after tiny steps":  # T steps, each by the gradient at zero
        at_zero = numbers_at("at zero", names)
        for name in ("W", "b"):
            gradient = value(names["pd"](names["Loss"], names[name]), at_zero)
            arrays[name] = -arrays["eta"] * arrays["T"] * gradient
    arrays["z"] = arrays["W"].T @ arrays["X"][:, [0]] + arrays["b"]
    numbers = {}
    for name, array in arrays.items():
        numbers |= zip(np.ravel(names[name]), np.ravel(array), strict=True)
    return numbers


@pytest.mark.parametrize(("place", "statement"), [t for t in TWINS if "<-" not in t[1]])
def test_each_twin_holds(place, statement):
    """In numbers: different formulas do not agree to ten digits by chance."""
    names = model(2 if place == "in the example" else 4, 3, 2)
    numbers = numbers_at(place, names)
    equation, _, condition = statement.partition(" if ")
    equation, _, bound = equation.partition(" >= ")
    wrong = f"Correct the formula and its twin, which does not hold: {statement}"
    indices = [each for each in RANGES if re.search(rf"\b{each}\b", equation)]
    for each in itertools.product(*(names[RANGES[index]] for index in indices)):
        here = names | dict(zip(indices, each, strict=True))
        if condition and not eval(condition, here):
            continue
        left, *others = re.split(" ([=≈]) ", equation)
        assert others, f"A twin is `left = right`, not: {statement}"
        left = value(eval(left, here), numbers)
        for sign, right in zip(others[::2], others[1::2], strict=True):
            right = value(eval(right, here), numbers)
            assert right.shape == left.shape, wrong
            precision = 5e-5 if sign == "≈" else 1e-10
            assert_allclose(right, left, 1e-10, precision, err_msg=wrong)
        assert not bound or left >= eval(bound, here), wrong


@pytest.mark.parametrize("rule", [twin for _, twin in TWINS if "<-" in twin])
def test_each_update_lowers_the_loss(rule):
    names = model(4, 3, 2)
    name, new = rule.split(" <- ")
    old, numbers = {"W": names["W"], "b": names["b"]}, numbers_at("", names)
    moved = names["loss"](**old | {name: eval(new, names.copy())})
    assert value(moved, numbers) < value(names["Loss"], numbers), (
        f"This update does not lower the loss: {rule}"
    )


# --- The text beside the formulas ---
def test_shapes_in_the_tables_of_symbols():
    """In a row with a symbol of the model each cell `784 × 10` is its shape."""
    names, sizes = model(4, 3, 2), {"784": 4, "d": 4, "10": 3, "K": 3, "N": 2, "1": 1}
    row = r"^(?:\| )?\$\\?(?:mathbf\{)?(\w+)\}?('?)(.*)"
    shape = r"[|&] \$?(\w+) (?:×|\\times) (\w+)\$? (?=[|&\\])"
    wrong = "Correct the shape in this row of the table, it is not that of the model"
    lines = re.sub(r"\n +&", " &", "\n".join(TEXTS))
    for symbol, prime, cells in re.findall(row, lines, re.MULTILINE):
        name = symbol.replace("bias", "b") + prime.replace("'", "_true")
        for size in re.findall(shape, cells) if name in names else []:
            assert tuple(map(sizes.get, size)) == np.shape(names[name]), (
                f"{wrong}: {name}{cells}"
            )


@pytest.mark.parametrize("code", re.findall(r"\\verb\|(.*?)\|", BODY))
def test_code_in_the_derivation_is_the_notebook_s(code):
    whole = re.escape(code) + r"(?![\w.])"  # `X @ G` is not `X @ G.T`
    assert any(re.search(whole, cell.source) for cell in CODE), (
        f"No cell has `{code}`: let the derivation show what the notebook has"
    )


def test_tiny_rates_predict_by_the_rule_of_the_text(level_3):
    """The nearest mean image is another rule, and predicts otherwise."""
    X, y = level_3["X_train"][:1000], level_3["y_train"][:1000]
    images = np.vstack([level_3["X_train"], level_3["X_valid"]])
    train = X.T, level_3["one_hot"](y)
    W, b, _ = level_3["sgd"](train, train, 1e-10, 250, 1)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    rule = (np.bincount(y) * (images @ means.T + 1)).argmax(axis=1)
    nearest = (images @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    predicted = (images @ W + b.T).argmax(axis=1)
    # In 32 bits an image on the border of two classes may fall over it.
    assert (predicted == rule).mean() > 0.99 > 0.9 > (predicted == nearest).mean()


def test_pdf_is_built_from_this_source():
    """pdfTeX writes the MD5 sum of the source into the PDF."""
    pdf = pypdf.PdfReader(DERIVATION.with_suffix(".pdf"))
    digest = hashlib.md5(DERIVATION.read_bytes()).hexdigest()
    assert pdf.metadata["/SourceMD5"].lower() == digest, "run make derivation"
