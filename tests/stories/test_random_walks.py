"""Everything goes wrong at random for a while; then it is well again, and every result is the truth."""

from __future__ import annotations

import pytest

from tests.stories.walk import Walk


@pytest.mark.parametrize("tens", range(20))
def test_whatever_went_wrong_every_result_is_what_really_happened_and_nothing_is_left(tens: int):
    for seed in range(10 * tens, 10 * tens + 10):
        walk = Walk(seed)
        try:
            walk.go()
            walk.check()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
