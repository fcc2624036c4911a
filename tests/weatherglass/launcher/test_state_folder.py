"""The format and the lock of the state folder."""

from __future__ import annotations

import json

import pytest

from weatherglass.files import DamagedFileError
from weatherglass.launcher.errors import StateFolderError
from weatherglass.launcher.state_folder import FORMAT, FORMAT_FILE, LOCK_FILE_OF_FORMAT_1, check_format, launcher_lock
from weatherglass.launcher.up import up
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable


def test_first_start_writes_the_format_and_later_starts_accept_it(settings: Settings) -> None:
    check_format(settings)
    assert json.loads((settings.state_dir / FORMAT_FILE).read_text()) == {"format": FORMAT}
    check_format(settings)


def test_a_folder_of_version_0_1_is_refused_and_not_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / LOCK_FILE_OF_FORMAT_1).touch()
    assert up(settings, lambda _: pytest.fail("not running")) == 1
    output = capsys.readouterr().out
    assert str(settings.state_dir) in output
    assert variable("state_dir") in output
    assert [path.name for path in settings.state_dir.iterdir()] == [LOCK_FILE_OF_FORMAT_1]


def test_another_format_is_refused(settings: Settings) -> None:
    settings.state_dir.mkdir(parents=True)
    (settings.state_dir / FORMAT_FILE).write_text('{"format": 3}')
    with pytest.raises(StateFolderError, match=str(settings.state_dir)):
        check_format(settings)


@pytest.mark.parametrize("content", ["", '{"for', "{}", "[]", "not json"])
def test_a_damaged_format_file_is_named_and_removing_it_repairs_the_folder(
    settings: Settings, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.state_dir.mkdir(parents=True)
    file = settings.state_dir / FORMAT_FILE
    file.write_text(content)
    with pytest.raises(DamagedFileError) as error:
        check_format(settings)
    assert error.value.file == file
    assert up(settings, lambda _: pytest.fail("not running")) == 1
    assert str(file) in capsys.readouterr().out
    file.unlink()
    check_format(settings)


def test_only_one_launcher_gets_the_lock(settings: Settings) -> None:
    check_format(settings)
    with launcher_lock(settings) as first:
        assert first
        with launcher_lock(settings) as second:
            assert not second
    with launcher_lock(settings) as again:
        assert again


def test_up_shows_the_status_if_another_launcher_is_running(settings: Settings) -> None:
    shown: list[Settings] = []
    check_format(settings)
    with launcher_lock(settings):
        assert up(settings, lambda current: shown.append(current) or 0) == 0
    assert shown == [settings]
