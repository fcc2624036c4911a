"""The generated files are up to date."""

from __future__ import annotations

import pytest

from weatherglass.cli.generate_docs import DOCS, pages
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable


@pytest.mark.parametrize("page", sorted(pages()), ids=lambda page: page.name)
def test_the_generated_file_is_up_to_date(page) -> None:  # type: ignore[no-untyped-def]
    assert page.read_text(encoding="utf-8") == pages()[page], "run `make reference`"


def test_every_setting_is_documented_and_has_a_description() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert all(f"`{variable(name)}`" in text and field.description for name, field in Settings.model_fields.items())
