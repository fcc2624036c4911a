"""Reading one file of a zip; the faulty zips are made by hand, because `zipfile` writes only valid ones."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weatherglass.history.sources import zip_member
from weatherglass.history.sources.zip_member import ZipError, ZipErrorCode, read_member

CONTENT = b"datetime,Oslo\n2013-01-01 00:00:00,280\n"


def make_zip(path: Path, names: list[str], method: int = zipfile.ZIP_DEFLATED, content: bytes = CONTENT) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def patch_headers(path: Path, *, flags: int | None = None, method: int | None = None, size: int | None = None) -> Path:
    """Change fields of the local header and of the directory of a zip with one file (APPNOTE.TXT, 4.3.7 and 4.3.12)."""
    data = bytearray(path.read_bytes())
    for start, shift in ((data.index(b"PK\x03\x04"), 0), (data.index(b"PK\x01\x02"), 2)):
        for value, offset, form in ((flags, 6, "<H"), (method, 8, "<H"), (size, 22, "<I")):
            if value is not None:
                struct.pack_into(form, data, start + offset + shift, value)
    path.write_bytes(data)
    return path


def code_of(path: Path) -> ZipErrorCode:
    with pytest.raises(ZipError) as caught:
        read_member(path, "temperature.csv")
    assert path.name in str(caught.value)
    assert caught.value.member == "temperature.csv"
    return caught.value.code


@pytest.mark.parametrize(
    "name",
    ["temperature.csv", "archive/temperature.csv", "a/b/Temperature.CSV", "data\\temperature.csv", "./temperature.csv"],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_is_found_in_any_folder_and_case(tmp_path: Path, name: str, method: int) -> None:
    names = ["other.csv", name, "__MACOSX/temperature.csv", "__MACOSX/._temperature.csv"]
    assert read_member(make_zip(tmp_path / "k.zip", names, method), "temperature.csv") == CONTENT


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([], ZipErrorCode.NO_MEMBER),
        (["temperature.csv.bak", "xtemperature.csv"], ZipErrorCode.NO_MEMBER),
        (["../temperature.csv"], ZipErrorCode.NO_MEMBER),
        (["a\\..\\temperature.csv"], ZipErrorCode.NO_MEMBER),
        (["a/temperature.csv", "b/temperature.csv"], ZipErrorCode.SEVERAL_MEMBERS),
        (["temperature.csv", "Temperature.csv"], ZipErrorCode.SEVERAL_MEMBERS),
    ],
)
def test_a_file_that_is_not_there_once_is_an_error(tmp_path: Path, names: list[str], code: ZipErrorCode) -> None:
    assert code_of(make_zip(tmp_path / "k.zip", names)) is code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": 9}, ZipErrorCode.COMPRESSION),  # Deflate64
        ({"method": 93}, ZipErrorCode.COMPRESSION),
        ({"method": 1234}, ZipErrorCode.COMPRESSION),
        ({"flags": 0x1}, ZipErrorCode.ENCRYPTED),
        ({"size": 0xFFFFFFF0}, ZipErrorCode.TOO_LARGE),
        ({"size": len(CONTENT) - 9}, ZipErrorCode.DAMAGED),  # expands to more than it claims
    ],
)
def test_a_file_that_cannot_be_extracted_is_an_error(
    tmp_path: Path, fields: dict[str, int], code: ZipErrorCode
) -> None:
    assert code_of(patch_headers(make_zip(tmp_path / "k.zip", ["temperature.csv"]), **fields)) is code


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_on_memory_are_not_supported(tmp_path: Path, method: int) -> None:
    assert code_of(make_zip(tmp_path / "k.zip", ["temperature.csv"], method)) is ZipErrorCode.COMPRESSION


def test_a_zip_bomb_is_too_large(tmp_path: Path) -> None:
    bomb = tmp_path / "k.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("temperature.csv", "w") as file:
        for _ in range(zip_member.MAX_MEMBER_BYTES // 1_000_000 + 1):
            file.write(bytes(1_000_000))
    assert bomb.stat().st_size < 1_000_000
    assert code_of(bomb) is ZipErrorCode.TOO_LARGE


def test_a_huge_zip_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_member, "MAX_ZIP_BYTES", 100)
    assert code_of(make_zip(tmp_path / "k.zip", ["temperature.csv"])) is ZipErrorCode.TOO_LARGE


def test_a_truncated_zip_is_not_a_zip(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "k.zip", ["temperature.csv"]).read_bytes()
    truncated = tmp_path / "truncated.zip"
    for length in (0, 4, len(whole) // 2, len(whole) - 1):
        truncated.write_bytes(whole[:length])
        assert code_of(truncated) is ZipErrorCode.NO_ZIP
    assert code_of(tmp_path / "none.zip") is ZipErrorCode.NO_FILE
    assert code_of(tmp_path) is ZipErrorCode.DAMAGED  # a folder


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_found_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    path = make_zip(tmp_path / "k.zip", ["temperature.csv"], content=CONTENT * 20)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged)
    with contextlib.suppress(ZipError):
        assert read_member(path, "temperature.csv") == CONTENT * 20
