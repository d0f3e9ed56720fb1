"""What is seen for the first time, against a set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raystudy.distinct import Seen

numbers = st.integers(0, 40) | st.integers(2**64 - 20, 2**64 - 1)


@given(st.lists(st.lists(numbers, max_size=30), max_size=20))
def test_first_occurrences_are_those_of_a_set(parts: list[list[int]]) -> None:
    seen, known = Seen(), set()
    for part in parts:
        expected = []
        for number in part:
            expected.append(number not in known)
            known.add(number)
        assert seen.first(np.array(part, dtype=np.uint64)).tolist() == expected
