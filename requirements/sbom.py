"""Write a CycloneDX SBOM of what runs: the Python packages of image.lock and the jars of jars.lock, with checksums.

    python requirements/sbom.py dist/sbom.cdx.json

Maven gives the group of each jar, which its file name lacks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

FOLDER = Path(__file__).resolve().parent


class SbomError(RuntimeError):
    """The locks and Maven do not agree, or the result is not valid."""


def locked_jars(lock: Path) -> dict[str, dict[str, str]]:
    """Profile -> file name -> SHA-256, from jars.lock."""
    jars: dict[str, dict[str, str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        checksum, _, path = line.partition("  ")
        profile, _, name = path.partition("/")
        jars.setdefault(profile, {})[name] = checksum
    return jars


def maven_coordinates(listing: str) -> dict[str, PackageURL]:
    """File name -> package URL, from the output of `dependency:list`."""
    coordinates = {}
    for line in listing.splitlines():
        # group:artifact:type[:classifier]:version:scope, possibly followed by the Java module
        fields = line.partition(" -- ")[0].strip().split(":")
        if len(fields) not in (5, 6):
            continue
        group, artifact, kind, *classifier, version, _scope = fields
        suffix = "".join(f"-{part}" for part in classifier)
        qualifiers = {"classifier": classifier[0]} if classifier else None
        coordinates[f"{artifact}-{version}{suffix}.{kind}"] = PackageURL("maven", group, artifact, version, qualifiers)
    return coordinates


def jar_components(lock: Path) -> list[Component]:
    """One component for each jar; a jar of several profiles is listed once.

    Raises:
        SbomError: Maven does not know a jar of the lock.
    """
    components: dict[str, Component] = {}
    for profile, jars in locked_jars(lock).items():
        coordinates = maven_coordinates(_dependency_list(profile))
        if missing := jars.keys() - coordinates.keys():
            raise SbomError(f"Maven does not list {', '.join(sorted(missing))} for {profile}; run: make lock")
        for name, checksum in jars.items():
            purl = coordinates[name]
            components[str(purl)] = Component(
                type=ComponentType.LIBRARY,
                bom_ref=str(purl),
                group=purl.namespace,
                name=purl.name,
                version=purl.version,
                purl=purl,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)],
            )
    return list(components.values())


def _dependency_list(profile: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "list"
        subprocess.run(
            ["mvn", "-q", "-B", f"-P{profile}", "dependency:list", f"-DoutputFile={file}"],
            cwd=FOLDER.parent,
            check=True,
        )
        return file.read_text(encoding="utf-8")


def python_bom(lock: Path) -> Bom:
    """The packages of a lock with their checksums."""
    command = ["requirements", str(lock), "--output-reproducible", "--short-PURLs", "--output-format", "JSON"]
    output = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", *command], check=True, capture_output=True, text=True
    ).stdout
    bom: Bom = Bom.from_json(json.loads(output))  # type: ignore[attr-defined]
    return bom


def write_sbom(output: Path) -> None:
    """Write the SBOM.

    Raises:
        SbomError: the document does not fit its schema.
    """
    bom = python_bom(FOLDER / "image.lock")
    bom.components.update(jar_components(FOLDER / "jars.lock"))
    document = JsonV1Dot6(bom).output_as_string(indent=2)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(document):
        raise SbomError(str(problem))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(document + "\n", encoding="utf-8")
    print(f"{output}: {len(bom.components)} components")


if __name__ == "__main__":
    write_sbom(Path(sys.argv[1]))
