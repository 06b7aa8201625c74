"""tools/bench.py fills its page from what was measured. Nothing is trained here."""

import shutil

import bench
import pytest


def planted(name, seed, images=50_000):
    """Return contender n's history: it starts up for 10 s, then n seconds an epoch."""
    n = 1 + list(bench.CONTENDERS).index(name)
    seconds = n * 2 * images / 50_000 if images != 50_000 else n  # twice per image
    slow = 10 if seed == 3 else 1  # the machine is, in one round
    ticks = [100, 110 + slow * seconds, 110 + 2 * slow * seconds]
    return {"valid_accuracy": [0.92 + n / 1000, 0.5], "ticks": ticks}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A copy of the page, to be filled with what was planted."""
    copy = shutil.copy(bench.PAGE, tmp_path / "bench.md")
    monkeypatch.setattr(bench, "PAGE", copy)
    monkeypatch.setattr(bench, "train", planted)
    return copy


def test_the_page_is_filled_from_what_was_measured(page):
    bench.main()
    text = page.read_text("utf-8")
    for n, name in enumerate(bench.CONTENDERS, 1):
        row = [
            name,
            f"{n}.000",
            f"{n / 2:.2f}",
            f"{10 + 2 * n}.0",
            f"{92 + n / 10:.2f}%",
        ]
        if name == bench.FLOOR:
            row[3:] = ["–", "–"]
        assert f"| {' | '.join(row)} |" in text
    assert "2.00 with 5,000, 2.00 with 20,000, 2.00 with 100,000" in text
    for value in bench.values(bench.measure()).values():
        assert f"-->{value}<!--/-->" in text, "the page has no place for this value"


def test_a_contender_that_learns_too_little_is_named(page, monkeypatch):
    before = page.read_bytes()
    monkeypatch.setattr(bench, "TARGET", 0.93)
    with pytest.raises(SystemExit, match=r"Level 3, numpy.* reached 92.20%"):
        bench.main()
    assert page.read_bytes() == before, "numbers were written all the same"
