"""Run Level 2 on few images: test_levels.py starts this where g++ is hidden."""

from conftest import SECTION_3, run_cells, sets

names = run_cells({}, *SECTION_3)
parts = "import", "model", "epochs", "main"
run_cells(names, *(f"level-2-{part}" for part in parts))
few = [(X[:n], y[:n]) for (X, y), n in zip(sets(names), (1030, 290, 300), strict=True)]
print(names["main"](*few, 1.0, 250, 2)[2])
