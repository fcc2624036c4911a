"""A release names its base images by digest. Needs no Docker engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from weatherglass.settings import PROJECT_ROOT

DIGEST = f"registry.example/image:1@sha256:{'0123456789abcdef' * 4}"
NAMES = ("BASE_IMAGE", "POSTGRES_IMAGE", "PROMETHEUS_IMAGE", "ALERTMANAGER_IMAGE")


def check(tmp_path: Path, images: dict[str, str]) -> subprocess.CompletedProcess[str]:
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}={image}\n" for name, image in images.items()))
    command = [PROJECT_ROOT / "docker" / "check-digests", file]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_images_with_digests_are_accepted(tmp_path: Path) -> None:
    assert check(tmp_path, dict.fromkeys(NAMES, DIGEST)).returncode == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("image", ["postgres:17", "", DIGEST[:-1], f"{DIGEST}0", DIGEST.partition("@")[2], None])
def test_an_image_without_digest_is_named(tmp_path: Path, name: str, image: str | None) -> None:
    images = dict.fromkeys(NAMES, DIGEST) | ({name: image} if image is not None else {})
    if image is None:
        del images[name]
    done = check(tmp_path, images)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stderr.splitlines()] == [name]
