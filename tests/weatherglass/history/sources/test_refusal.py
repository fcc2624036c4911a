from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weatherglass.history.sources.refusal import Refusal, RefusalCode, RefusedError, Skipped, skipped

CODE = RefusalCode.NUMBER


@pytest.mark.parametrize(
    ("line", "column", "text"),
    [
        (None, None, "wrong"),
        (3, None, "line 3: wrong"),
        (None, "t", "column 't': wrong"),
        (3, "t", "line 3, column 't': wrong"),
    ],
)
def test_a_refusal_names_its_place(line: int | None, column: str | None, text: str) -> None:
    refusal = Refusal(CODE, "wrong", line, column)
    assert str(refusal) == text
    assert str(RefusedError(Path("s.csv"), refusal)) == f"s.csv: {text}"


def test_of_the_skipped_lines_the_first_five_are_named_and_all_are_counted() -> None:
    assert skipped(CODE, np.arange(2, 9), "t") == (Skipped(CODE, 7, (2, 3, 4, 5, 6, 7, 8), "t"),)
    assert skipped(CODE, np.arange(2, 9))[0].first_lines == "2, 3, 4, 5, 6, …"
    assert skipped(CODE, np.arange(2, 7))[0].first_lines == "2, 3, 4, 5, 6"
    assert skipped(CODE, [9]) == (Skipped(CODE, 1, (9,)),)
    assert skipped(CODE, []) == ()
