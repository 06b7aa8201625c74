"""tools/bench.py: a contender that trains, and then fails."""

import bench
import pytest


def test_contender_trains_the_notebook_s_level_and_one_that_fails_is_named(
    capfd,
):
    process = bench.start(bench.level_3)
    times, (accuracy,) = bench.train(process, epochs=1, whole=True)
    assert len(times) == 1 and accuracy > 0.9
    with pytest.raises(SystemExit, match="The contender level_3 failed"):
        bench.train(process, epochs=0)
    assert "epochs=0" in capfd.readouterr().err
