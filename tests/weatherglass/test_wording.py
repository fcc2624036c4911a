from __future__ import annotations

import pytest

from weatherglass.wording import counted


@pytest.mark.parametrize(("number", "said"), [(0, "0 alerts"), (1, "1 alert"), (20, "20 alerts")])
def test_one_is_not_many(number: int, said: str) -> None:
    assert counted(number, "alert") == said
