"""What is handed in: formulas, quoted code, all images, the test set at the end."""

import hashlib
import re

import pytest
from cells import CODE, SOURCE, cells_of
from common import ROOT

TEX = (ROOT / "derivation" / "derivation.tex").read_text("utf-8")
FORMULAS = {  # without spaces; who rewrites one rewrites it here, too
    r"y_j=\frac{e^{z_j}}{\sum_ke^{z_k}}": SOURCE["problem"],
    r"=-\frac{1}{N}\sum_i\sum_jY'_{ji}\logY_{ji}": SOURCE["problem"],
    r"{\partialz_k}=-\sum_j\frac{y'_j}{y_j}y_j(\delta_{jk}-y_k)": SOURCE["derivation"],
    r"=\frac{1}{N}\mathbf{X}(\mathbf{Y}-\mathbf{Y}')^\top": SOURCE["derivation"],
    r"=\frac{1}{N}(\mathbf{Y}-\mathbf{Y}')\mathbf{1}": SOURCE["derivation"],
    r"\pd{\Loss}{\W}=\frac1N\X(\Y-\Y')\T": TEX,
    r"\pd{\Loss}{\bias}=\frac1N(\Y-\Y')\one_N": TEX,
}
SCORES = {  # cells that read the test set, and choose nothing by it
    *("load-data", "level-1-test", "level-2-main", "level-2-train", "level-3-test"),
    *("paired-test", "orders", "nearest"),
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_unchanged(formula):
    assert formula in re.sub(r"\s|\\,", "", FORMULAS[formula])


@pytest.mark.parametrize("code", re.findall(r"\\verb\|(.*?)\|", TEX))
def test_notebook_has_quoted_code(code):
    line = rf"^ *(return |.*, )?{re.escape(code)}(,.*|  #.*)?$"
    found = any(re.search(line, cell.source, re.MULTILINE) for cell in CODE)
    assert found, f"the derivation quotes {code}, but no line of the notebook has it"


def test_pdf_has_this_source():
    pdf = (ROOT / "derivation" / "derivation.pdf").read_bytes()
    built_from = re.search(rb"/SourceMD5 \((\w+)\)", pdf)[1].decode().lower()
    assert built_from == hashlib.md5(TEX.encode()).hexdigest(), "run make derivation"


@pytest.mark.parametrize("section", "4567")
def test_takes_all_images(section):
    """No forgotten [:1000] or [:few], but in the check of the gradients."""
    for cell_id in cells_of(section):
        found = re.search(r":\s*\w+\]", SOURCE[cell_id])
        assert not found or cell_id == "level-3-check", f"{cell_id} leaves images out"


def test_test_set_only_scores():
    for cell in CODE:
        scores = re.search(r"\b(X_test|y_test|test_set|main)\b", cell.source)
        assert not scores or cell.id in SCORES, f"{cell.id} reads the test set"


def test_stored_run_is_clean():
    counts = [cell.execution_count for cell in CODE]
    assert counts == [*range(1, len(CODE) + 1)], "make run stores it so"
    for cell in CODE:
        for output in cell.outputs:
            assert output.output_type != "error", f"{cell.id} failed"
            assert output.get("name") != "stderr", f"{cell.id} wrote a warning"
            assert set(output.get("data", {})) <= {"text/plain", "image/png"}, cell.id
