"""The SBOM lists what the locks contain."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from weatherglass.settings import PROJECT_ROOT

REQUIREMENTS = PROJECT_ROOT / "requirements"

LISTING = """
The following files have been resolved:
   org.apache.kafka:kafka-clients:jar:4.3.1:compile -- module kafka.clients (auto)
   io.netty:netty-transport-native-epoll:jar:linux-x86_64:4.2.0:runtime
"""


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", REQUIREMENTS / "sbom.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_group_of_a_jar_comes_from_maven(sbom: ModuleType) -> None:
    assert {name: str(purl) for name, purl in sbom.maven_coordinates(LISTING).items()} == {
        "kafka-clients-4.3.1.jar": "pkg:maven/org.apache.kafka/kafka-clients@4.3.1",
        "netty-transport-native-epoll-4.2.0-linux-x86_64.jar": (
            "pkg:maven/io.netty/netty-transport-native-epoll@4.2.0?classifier=linux-x86_64"
        ),
    }


def test_a_jar_that_maven_does_not_list_ends_in_an_error(
    sbom: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"{hashlib.sha256(b'a').hexdigest()}  spark/unknown-1.0.jar\n")
    monkeypatch.setattr(sbom, "_dependency_list", lambda _: LISTING)
    with pytest.raises(sbom.SbomError):
        sbom.jar_components(lock)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_every_package_and_jar_of_the_images_is_listed_with_its_checksum(sbom: ModuleType, tmp_path: Path) -> None:
    sbom.write_sbom(tmp_path / "sbom.json")
    components = json.loads((tmp_path / "sbom.json").read_text())["components"]
    packages = {
        (component["name"].lower(), component["version"])
        for component in components
        if component["purl"].startswith("pkg:pypi/")
    }
    lock = (REQUIREMENTS / "image.lock").read_text()
    assert packages == {(name, version) for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE)}
    jars = {
        checksum["content"]
        for component in components
        if component["purl"].startswith("pkg:maven/")
        for checksum in component["hashes"]
    }
    assert jars == {line.split()[0] for line in (REQUIREMENTS / "jars.lock").read_text().splitlines()}
