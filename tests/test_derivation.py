"""The derivation: equations proved, code as in the notebook, the PDF current.

Under each displayed equation of derivation.tex stands its twin, a comment
`% holds: ...`, which says the same in Python. Two tests belong together: the
equation is its twin in another notation, and the twin holds.
"""

import functools
import itertools
import operator
import re

import build_derivation
import numpy as np
import pypdf
import pytest
import sympy as sp
from conftest import NOTEBOOK, needs, score
from numpy.testing import assert_allclose

BODY = build_derivation.SOURCE.read_text("utf-8").split(r"\begin{document}")[1]
ENVIRONMENT = r"(?:equation|align|gather\*)"
DISPLAYS = re.findall(  # of each the TeX, and the comment lines under it
    rf"\\(?:\[|begin\{{{ENVIRONMENT}\}})(.*?)\\(?:\]|end\{{{ENVIRONMENT}\}})\n"
    r"((?:%[^\n]*\n)*)",
    BODY,
    re.DOTALL,
)
EXAMPLE = {  # the worked example
    "X": np.array([[1, 2], [1, 0]]),
    "W": np.log(2) * np.array([[0, 1, 0], [2, 0, -1]]),
    "b": np.log(2) * np.array([[0], [0], [1]]),
    "Y_true": np.array([[1, 0], [0, 0], [0, 1]]),
}


def twins(comment):
    """Return the place ("", "at zero", ...) and the statement of each twin."""
    on_one_line = re.sub(r"\n%\s+(?!holds)", " ", comment)
    return re.findall(r"^% holds ?([a-z ]*): (.*)", on_one_line, re.MULTILINE)


TWINS = [twin for _, comment in DISPLAYS for twin in twins(comment)]


def test_no_displayed_equation_is_overlooked():
    """A new kind of environment has to be added to ENVIRONMENT above."""
    kinds = set(re.findall(r"\\begin\{(.*?)\}", BODY)) - {
        "tabular",
        "thebibliography",
    }
    assert all(re.fullmatch(ENVIRONMENT, kind) for kind in kinds), kinds
    begin = rf"\\\[|\$\$|\\begin\{{{ENVIRONMENT}"
    assert len(re.findall(begin, BODY)) == len(DISPLAYS)


# --- The equation is its twin in another notation ---
RANGES = {"i": "examples", "j": "classes", "k": "classes", "m": "inputs"}
NOTATION = [  # what the TeX has, and what a twin writes for it; in this order
    # What only places things: labels, reasons in the margin, spaces, sizes.
    (r"\\label\{[^}]*\}|&&.*|\\(display|text)style|\\cdot|\\,", ""),
    (r"\\(left|right|[bB]igg?[lr])(?=[()])", ""),
    (r"\\[bB]igl\[(.*?)\\[bB]igr\]", r"(\1)"),
    # Where one statement ends and the next begins; relations.
    (r"[,.]?\s*\\q?quad\s*(\\text\{and\}\s*\\qquad)?|,\s*\\\\", ";"),
    (r";\s*\(k = j\)", " if k == j"),
    (r";\s*\(k \\neq j\)", " if k != j"),
    (r"\\leftarrow", "<-"),
    (r"\\approx", "≈"),
    (r"\\ge\b", ">="),
    # Names.
    (r"\\T(?![A-Za-z])", ".T"),
    (r"\\bar\\x_j", "x_mean_of[:, [j]]"),
    (r"\\bar\\x\b", "x_mean"),
    (r"\\bar v", "v_mean"),
    (r"\\x_i", "X[:, [i]]"),
    (r"\\W_j", "W[:, [j]]"),
    (r"\bN_j", "count[j]"),
    (r"\bL_i", "losses[i]"),
    (r"\\direction", "v"),
    (r"\\bias", "b"),
    (r"\\(one_N|Loss|eta|delta|diag|[XYZWxyz])(?![A-Za-z])", r"\1"),
    (r"\\operatorname\{softmax\}", "softmax"),
    (r"([Yy])'", r"\1_true"),
    # Sums, indices, powers, functions.
    (r"\\sum_\{i=1\}\^N", "∑i"),
    (r"\\sum_\{?([ijkm])\}?", r"∑\1"),
    (r"_\{([ijkm])([ijkm])\}", r"[\1, \2]"),
    (r"_([ijkm])(?![a-z])", r"[\1]"),
    (r"\be\^\{([^{}]*)\}", r"exp(\1)"),
    (r"\be\^c", "exp(c)"),
    (r"\^2", "**2"),
    (r"\\log (2|[Yy]\w*\[[^]]*\]|∑[^-+=;]*)", r"log(\1)"),
    (r"\\t?frac(\d)([\dA-Z])", r"\\frac{\1}{\2}"),
    (r"\\t?(frac|pd)\{([^{}]*)\}\{([^{}]*)\}", r"\1(\2, \3)"),
    (r"\\dims\{([^{}]*)\}\{(\w)\}\{(\w)\}", r"dims(\1, \2, \3)"),
    (r"\\boxed\{([^{}]*)\}", r"\1"),
]


def matrix(match):
    r"""Return the rows of a matrix, written `1 & 2 \\ 3 & 4`, as lists."""
    rows = [row.split("&") for row in match[1].split(r"\\")]
    return "mat([" + ",".join(f"[{','.join(row)}]" for row in rows) + "])"


def without_products(text):
    """Return the text without spaces, * and @: TeX writes no products."""
    return re.sub(r"\s|(?<!\*)[*@](?!\*)", "", text)


def with_sums(text):
    """Return the text with Python's sums: a ∑ reaches to the next + − or =."""
    while "∑" in text:
        before, _, after = text.rpartition("∑")
        index, body, depth = after[0], after[1:] + ";", 0
        for end, character in enumerate(body):  # noqa: B007
            depth += (character in "([") - (character in ")]")
            if depth < 0 or (depth == 0 and character in "+-=>,;"):
                break
        total = f"sum({body[:end]} for {index} in {RANGES[index]})"
        text = before + total + body[end:-1]
    return text


def as_twin(tex):
    """Return the TeX as a twin writes it, but for spaces and products."""
    text = re.sub(r"\\mat\{([^{}]*)\}", matrix, tex)
    for pattern, replacement in NOTATION:
        while re.search(pattern, text):  # from the inner brackets outwards
            text = re.sub(pattern, replacement, text)
    text = without_products(text.replace("&", "")).strip(".,;")
    return without_products(with_sums(text))


@pytest.mark.parametrize(("tex", "comment"), DISPLAYS)
def test_each_equation_is_its_twin(tex, comment):
    """Who changes the one has to change the other, `% holds:` under it."""
    statements = [statement for _, statement in twins(comment)]
    assert as_twin(tex) == without_products(";".join(statements))


# --- The twin holds ---
exp, log = (np.vectorize(f, otypes=[object]) for f in (sp.exp, sp.log))


def softmax(Z):
    """Return the softmax of each column, as the text defines it."""
    return exp(Z) / exp(Z).sum(axis=0)


def dims(A, rows, columns):
    """Return A, if it has this shape."""
    assert np.shape(A) == (rows, columns), f"{np.shape(A)}: {A}"
    return A


@functools.cache
def model(d, K, N):
    """Return what the names in the twins mean, as arrays of sympy's symbols.

    The scores z of the first image are symbols too, to differentiate by. For
    every other derivative they are what the model makes of X, W and b.
    """

    def symbols(name, *shape):
        indices = np.ndindex(shape)
        names = [name + "".join(map(str, index)) for index in indices]
        return np.array(sp.symbols(names)).reshape(shape)

    X, W, b = symbols("x", d, N), symbols("w", d, K), symbols("b", K, 1)
    Y_true, z, v = symbols("t", K, N), symbols("z", K, 1), symbols("v", K, 1)
    one_N = np.ones((N, 1), int)
    Z = W.T @ X + b @ one_N.T
    Y, y, y_true = softmax(Z), softmax(z), Y_true[:, [0]]
    losses = -(Y_true * log(Y)).sum(axis=0)
    count = Y_true @ one_N
    scores = dict(zip(z.flat, Z[:, 0], strict=True))

    @functools.partial(np.vectorize, otypes=[object])
    def derivative(f, v):
        return (f if v in scores else f.xreplace(scores)).diff(v)

    def pd(f, v):
        """Return ∂f/∂v in the shape of v, or of two columns the Jacobian."""
        columns = np.ndim(f) == np.ndim(v) == 2
        return derivative(f, v.T if columns else v)

    names = {"d": d, "K": K, "N": N, "X": X, "W": W, "b": b, "Y_true": Y_true}
    names |= {"Z": Z, "Y": Y, "losses": losses, "Loss": losses.sum() / N}
    names |= {"x": X[:, [0]], "z": z, "y": y, "y_true": y_true, "v": v}
    names |= {"s": exp(z).sum(), "L": -(y_true * log(y)).sum()}
    names |= {"inputs": range(d), "classes": range(K), "examples": range(N)}
    names |= {"delta": np.eye(K, dtype=int), "one_N": one_N, "count": count}
    names |= {"x_mean": X @ one_N / N, "x_mean_of": X @ Y_true.T / count.T}
    names |= {"v_mean": (y * v).sum()}
    names |= {name: symbols(name) for name in ("c", "eta", "T")}
    names |= {"pd": pd, "frac": operator.truediv, "exp": exp, "log": log}
    names |= {"diag": np.diagflat, "mat": np.array, "dims": dims}
    return names | {"softmax": softmax}


def value(side, numbers):
    """Return a side of an equation, with these numbers for its symbols."""

    def number(expression):
        return float(sp.sympify(expression).xreplace(numbers))

    result = np.vectorize(number, otypes=[float])(side)
    return result.reshape(()) if result.size == 1 else result


def numbers_for(names, arrays):
    """Return the number of each symbol of these arrays, and of the scores z."""
    numbers = {}
    for name, array in arrays.items():
        numbers |= zip(np.ravel(names[name]), np.ravel(array), strict=True)
    scores = value(names["Z"][:, 0], numbers)
    return numbers | dict(zip(names["z"].flat, scores, strict=True))


def arrays_at(place, names):
    """Return what is given at that place of the text; the rest is random."""
    rng = np.random.default_rng(0)
    given = ("X", "W", "b", "Y_true", "v", "c", "eta", "T")
    free = {name: rng.uniform(size=np.shape(names[name])) for name in given}
    free["Y_true"] /= free["Y_true"].sum(axis=0)  # all that the text uses of it
    zero = {"W": np.zeros_like(free["W"]), "b": np.zeros_like(free["b"])}
    if place == "after tiny steps":  # T steps, each by the gradient at zero
        numbers = numbers_for(names, free | zero)
        for name in zero:
            gradient = value(names["pd"](names["Loss"], names[name]), numbers)
            free[name] = -free["eta"] * free["T"] * gradient
        return free
    return free | {"": {}, "at zero": zero, "in the example": EXAMPLE}[place]


@pytest.mark.parametrize(
    ("place", "statement"), [twin for twin in TWINS if "<-" not in twin[1]]
)
def test_each_twin_holds(place, statement):
    """In numbers: different formulas do not agree to ten digits by chance."""
    names = model(2 if place == "in the example" else 4, 3, 2)
    numbers = numbers_for(names, arrays_at(place, names))
    statement, _, condition = statement.partition(" if ")
    equation, _, bound = statement.partition(" >= ")
    indices = [each for each in RANGES if re.search(rf"\b{each}\b", equation)]
    for each in itertools.product(*(names[RANGES[index]] for index in indices)):
        here = names | dict(zip(indices, each, strict=True))
        if condition and not eval(condition, here):
            continue
        sides = [eval(side, here) for side in re.split(" [=≈] ", equation)]
        left, *others = (value(side, numbers) for side in sides)
        for right in others:
            assert_allclose(right, left, 1e-10, 1e-10)
            assert right.shape == left.shape
        assert not bound or left >= eval(bound, here)


def test_the_update_rule_lowers_the_loss():
    rules = dict(twin.split(" <- ") for _, twin in TWINS if "<-" in twin)
    assert sorted(rules) == ["W", "b"]
    names = model(4, 3, 2)
    arrays = arrays_at("", names)
    before = numbers_for(names, arrays)
    for name, rule in rules.items():
        step = {name: value(eval(rule, names.copy()), before)}
        after = numbers_for(names, arrays | step)
        assert value(names["Loss"], after) < value(names["Loss"], before)


# --- Shapes and numbers in the text ---
def test_shapes_in_the_table_of_symbols():
    row = r"^\$(\\[a-zA-Z]+'?)\$ & .* & \$(\w \\times \w)\$ & \$(.*?)\$"
    sizes = {r"\X": "d N", r"\W": "d K", r"\bias": "K 1", r"\x": "d 1"}
    sizes |= dict.fromkeys([r"\Z", r"\Y", r"\Y'"], "K N")
    for name, letters, numbers in re.findall(row, BODY, re.MULTILINE):
        assert letters == sizes.pop(name).replace(" ", r" \times "), name
        assert numbers == letters.replace("d", "784").replace("K", "10"), name
    assert not sizes, "the table of symbols has lost these"


def test_numbers_of_the_worked_example():
    """Found by their form and order, whatever is said around them."""
    text = BODY.split(r"\section{A worked example}")[1]
    prose = text.split(r"\begin{thebibliography}")[0].split(r"\]")[-1]
    X, W, b, Y_true = EXAMPLE.values()
    E, labels = np.exp(W.T @ X + b), Y_true.argmax(axis=0)
    Y = E / E.sum(axis=0)
    dW, db = X @ (Y - Y_true).T / 2, (Y - Y_true) @ np.ones((2, 1)) / 2

    def loss(W, b):
        return score(X.T, labels, W, b)[0]

    index = tuple(
        int(i) - 1 for i in re.search(r"W_\{(\d)(\d)\}", prose).groups()
    )
    step = np.zeros((2, 3))
    step[index] = 0.01
    slope = (loss(W + step, b) - loss(W - step, b)) / 0.02
    after = loss(W - 0.5 * dW, b - 0.5 * db)
    decimals = [float(each) for each in re.findall(r"\d+\.\d+", prose)]
    expected = [loss(W, b), 0.01, 0.02, slope, dW[index], 0.5, after]
    assert decimals == pytest.approx(expected, abs=5e-5)
    fractions = re.findall(r"\\tfrac\{?(\d)\}?\{?(\d)\}?", prose)
    expected = [1 / 2, *Y[labels, [0, 1]], dW[index]]
    assert [int(a) / int(b) for a, b in fractions] == pytest.approx(expected)
    sums = re.search(r"\((\d) and (\d)\)", text).groups()
    assert [int(each) for each in sums] == pytest.approx(E.sum(axis=0))
    rows = [int(each) - 1 for each in re.findall(r"row~(\d)", text)]
    assert rows == [E[:, 1].argmax(), labels[1]], "guess and truth of image 2"


def test_numbers_of_the_other_sections():
    text = "".join(BODY.split()).replace(r"\times", "×")
    products = re.findall(r"\((\d+)×(\d+)\)\((\d+)×(\d+)\)=(\d+)×(\d+)", text)
    results = []
    for rows, inner, same, columns, *result in products:
        assert inner == same and [rows, columns] == result
        results.append(result)
    assert results == [["784", "10"], ["10", "1"]]
    limits = re.search(r"z\\approx(\d+)\$.*?\((\d+)indouble\)", text).groups()
    for limit, dtype in zip(limits, (np.float32, np.float64), strict=True):
        assert int(limit) == np.log(np.finfo(dtype).max).round()


# --- The notebook: its code, its formulas, its plateau ---
CODE_TABLE = re.findall(
    r"\\verb\|([^|]*)\|\s*&\s*([^&]*?)\s*&\s*([^&]*?)\s*&", BODY
)
MARKDOWN = "\n".join(
    c.source for c in NOTEBOOK.cells if c.cell_type == "markdown"
)
NOTEBOOK_NOTATION = [  # what the notebook has, and what the derivation
    (r"\\mathbf\{L\}(\(\\mathbf\{W\}, ?\\mathbf\{b\}\))?", r"\\Loss "),
    (r"\\mathbf\{1\}(_N)?", r"\\one_N "),
    (r"\\(?:mathbf|mathrm|operatorname|text)\{(\w+)\}", r"\1"),
    (r"\\frac\{\\partial (.+?)\}\{\\partial (.+?)\}", r"\\pd{\1}{\2}"),
    (r"\\partial (\S+?)\s*/\s*\\partial (\S+)", r"\\pd{\1}{\2}"),
    (r"\^(T|\{T\}|\\top)", r"\\T "),
    (r"_\{([a-z]), ?([a-z])\}", r"_{\1\2}"),
    (r"\^\{N\}", "^N"),
    (r"\\sum_\{j=1\}\^\{10\}", r"\\sum_j"),
]


@pytest.mark.parametrize("line", [line for line, _, _ in CODE_TABLE])
def test_code_in_the_text_is_the_notebook_s(line):
    """A line of Level 3, or a part of one, as it stands there."""
    code = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    source = "\n".join(c.source for c in code if c.id.startswith("level-3"))
    found = re.search(rf"(?<![\w.]){re.escape(line)}(?![\w.(\[])", source)
    assert found, f"Level 3 has no `{line}`: let the text show what it has"


def test_code_in_the_text_computes_what_stands_beside_it(level_3):
    """The value and the shape, on small arrays."""
    rng, d, K, N, eta = np.random.default_rng(0), 5, 3, 2, 0.5
    X, W, b = (rng.normal(size=size) for size in [(d, N), (d, K), (K, 1)])
    Y_true, Z = np.eye(K)[:, [2, 0]], W.T @ X + b
    Y = np.exp(Z) / np.exp(Z).sum(axis=0)
    G = (Y - Y_true) / N
    dW, db = X @ G.T, G @ np.ones((N, 1))
    meaning = {
        "e^{z_j + c}": np.exp(Z - Z.max(axis=0)),
        r"\Z": Z,
        r"\Y": Y,
        r"\frac1N (\Y - \Y')": G,
        r"\partial \Loss / \partial \W": dW,
        r"\partial \Loss / \partial \bias": db,
        r"\W - \eta\, \partial \Loss / \partial \W": W - eta * dW,
        r"\bias - \eta\, \partial \Loss / \partial \bias": b - eta * db,
    }
    sizes = {"d": d, "K": K, "N": N, "1": 1}
    here = level_3 | {"X": X, "Y_true": Y_true, "W": W, "b": b, "Z": Z}
    here |= {"batch": slice(None), "learning_rate": eta}
    for line, *cells in CODE_TABLE:
        assigned = re.match(r"(.+?) -?= ", line)
        if assigned:
            exec(line, here)
        result = assigned[1] if assigned else line.removeprefix("return ")
        result = eval(f"[{result}]", here)
        formulas, shapes = (re.findall(r"\$(.*?)\$", cell) for cell in cells)
        for array, formula, shape in zip(result, formulas, shapes, strict=True):
            assert_allclose(array, meaning[formula], err_msg=line)
            expected = [sizes[size] for size in shape.split(r" \times ")]
            assert list(array.shape) == expected, line


def statements_of_the_notebook():
    """Return those of its formulas that say something about the model."""
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", MARKDOWN, re.DOTALL)
    parts = re.split(r"\\q?quad", r"\quad".join(map("".join, formulas)))
    model = r"\\partial|\\log (?!\d)|\be\^|\\eta|\\frac|softmax"
    model += r"|=.*\\mathbf\{\w\}.*\\mathbf\{\w\}"
    return [
        part.strip()
        for part in parts
        if re.search(r"=|\\leftarrow", part) and re.search(model, part)
    ]


def proven_statements():
    """Return what the twins say, in pairs of sides, as the notebook has it."""
    proven = set()
    for twin in (twin for place, twin in TWINS if not place):
        text = re.sub(r"dims\((.*?),\w,\w\)", r"\1", without_products(twin))
        text = text.replace("bone_N.T", "b")  # numpy repeats b by itself
        pairs = itertools.combinations(text.split("="), 2)
        proven |= {f"{left}={right}" for left, right in pairs} or {text}
    return proven


@pytest.mark.parametrize("formula", statements_of_the_notebook())
def test_the_notebook_s_formulas_are_proven_in_the_derivation(formula):
    """If it is right, write it in the derivation's letters, or add it there."""
    for pattern, replacement in NOTEBOOK_NOTATION:
        formula = re.sub(pattern, replacement, formula)
    sides = as_twin(formula).split("=")
    pairs = itertools.pairwise(sides)
    said = {f"{left}={right}" for left, right in pairs} or set(sides)
    assert said <= proven_statements()


def test_the_notebook_states_both_gradients():
    stated = "".join(statements_of_the_notebook())
    for letter in "Wb":
        gradient = r"\frac{\partial \mathbf{L}}{\partial \mathbf{_}} ="
        assert gradient.replace("_", letter) in stated, "missing in section 6.1"


def test_tiny_rates_predict_by_the_rule_of_the_text(level_3):
    """The nearest mean image is another rule, and predicts otherwise."""
    X, y = level_3["X_train"][:1000], level_3["y_train"][:1000]
    images = np.vstack([level_3["X_valid"], level_3["X_test"]])
    truth = np.eye(10, dtype=np.float32)[:, y]
    W, b, *_ = level_3["sgd"](X.T, truth, X.T, truth, 1e-10, 250, 1)
    means = np.array([X[y == digit].mean(axis=0) for digit in range(10)])
    rule = (np.bincount(y) * (images @ means.T + 1)).argmax(axis=1)
    nearest = (images @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    predicted = (images @ W + b.T).argmax(axis=1)
    # In 32 bits an image on the border of two classes may fall over it.
    assert (
        (predicted == rule).mean() > 0.99 > 0.9 > (predicted == nearest).mean()
    )


# --- The PDF ---
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


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(build_derivation, "PDF", tmp_path / "nowhere" / "a.pdf")
    monkeypatch.setattr(build_derivation, "compile_pdf", lambda: b"pdf")
    with pytest.raises(SystemExit, match="cannot be written"):
        build_derivation.main()
