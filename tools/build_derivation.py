"""Build derivation/derivation.pdf from derivation/derivation.tex.

The same source always gives the same bytes. pdfTeX writes the MD5 sum of the
source into the PDF, which tells whether the committed PDF is up to date.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from run import ROOT, write_atomically

SOURCE = ROOT / "derivation" / "derivation.tex"
PDF = SOURCE.with_suffix(".pdf")
PACKAGES = "latexmk texlive-latex-recommended texlive-latex-extra lmodern"
COMMAND = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "derivation"]


def is_current(pdf):
    """Say whether the bytes `pdf` are a PDF built from the present source."""
    try:
        metadata = PdfReader(io.BytesIO(pdf), strict=True).metadata or {}
    except PyPdfError:
        return False
    digest = hashlib.md5(SOURCE.read_bytes()).hexdigest()
    return metadata.get("/SourceMD5", "").lower() == digest


def compile_pdf():
    """Return the PDF's bytes; exit with a message if LaTeX fails or warns."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "derivation.tex").write_bytes(SOURCE.read_bytes())
        # Long lines keep each message of the log on a line of its own.
        environment = os.environ | {"max_print_line": "1000"}
        try:
            ran = subprocess.run(
                COMMAND, cwd=folder, env=environment, capture_output=True
            )
        except FileNotFoundError:
            sys.exit(f"latexmk is missing. On Debian: apt install {PACKAGES}")
        log = Path(folder) / "derivation.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        problem = r"^(?:! .*|.*Warning: .*|Overfull .*|Missing character: .*)"
        problems = re.findall(problem, text, re.MULTILINE)
        if ran.returncode or problems:
            said = ["LaTeX complains about derivation.tex:", *problems]
            hint = f"If a file is missing, on Debian: apt install {PACKAGES}"
            sys.exit("\n".join([*said, hint]))
        return (Path(folder) / "derivation.pdf").read_bytes()


def main():
    """Write the PDF, or leave the old one as it is."""
    try:
        pdf = compile_pdf()
        write_atomically(PDF, pdf)
    except OSError as error:
        sys.exit(f"{PDF} cannot be written: {error}")
    print(f"{PDF}: {len(pdf):,} bytes")


if __name__ == "__main__":
    main()
