"""Some hundred damaged files; `python -m tests.mutated_files` tries them for an hour."""

import numpy as np
import pytest

from tests.mutated_files import trial


@pytest.mark.usefixtures("scratch_cache")
@pytest.mark.parametrize("start", range(0, 300, 60))
def test_nothing_crashes_and_nothing_is_lost_in_silence(start, tmp_path):
    problems = [trial(np.random.default_rng([1, at]), tmp_path) for at in range(start, start + 60)]
    assert [problem for problem in problems if problem] == []
