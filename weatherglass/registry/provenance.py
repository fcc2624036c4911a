"""Where a file comes from: its SHA-256, and a detached Ed25519 signature of its producer.

Keys are PEM files and a signature is the 64 bytes of RFC 8032 in `<file>.sig`, as `openssl` reads and writes them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from weatherglass.files import file_digest, write_atomically

SIGNATURE_BYTES = 64
MAX_KEY_BYTES = 1 << 16


class ProvenanceError(ValueError):
    """A file is not what its producer published, or a key or signature cannot be used.

    Attributes:
        file: the file that is wrong: the signed file, its signature, or a key.
    """

    def __init__(self, file: Path, problem: str):
        super().__init__(f"{file}: {problem}")
        self.file = file


def check_sha256(file: Path, expected: str) -> None:
    """Compare the SHA-256 of a file with the one that its producer published.

    Raises:
        ProvenanceError: they differ.
    """
    if (found := file_digest(file)) != expected.lower():
        raise ProvenanceError(file, f"the SHA-256 is {found}, expected {expected.lower()}")


def signature_file(file: Path) -> Path:
    """Return the path of a file's signature."""
    return file.with_name(f"{file.name}.sig")


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        ProvenanceError: the file cannot be read, or holds no Ed25519 private key without a password.
    """
    try:
        key = load_pem_private_key(_key_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ProvenanceError(path, "not an Ed25519 private key in PEM format without a password")
    return key


def sign(file: Path, key: Ed25519PrivateKey) -> Path:
    """Write the signature of a file next to it and return its path."""
    with _mapped(file) as content:
        write_atomically(signature_file(file), key.sign(content))
    return signature_file(file)


def check_signature(file: Path, public_key: Path) -> None:
    """Check that the owner of a public key signed a file that is not empty.

    Raises:
        ProvenanceError: the signature is missing or of another file or key, or the key cannot be used.
    """
    try:
        key = load_pem_public_key(_key_file(public_key))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ProvenanceError(public_key, "not an Ed25519 public key in PEM format")
    path = signature_file(file)
    try:
        signature = _first_bytes(path, SIGNATURE_BYTES + 1)
    except OSError as error:
        raise ProvenanceError(path, f"the signature cannot be read: {error.strerror}") from None
    with _mapped(file) as content:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            raise ProvenanceError(path, f"not a signature of {file.name} with the key {public_key.name}") from None


@contextmanager
def _mapped(file: Path) -> Iterator[memoryview]:
    """The content of a file that is not empty; it is not copied into memory."""
    with (
        file.open("rb") as content,
        mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        yield view


def _key_file(path: Path) -> bytes:
    try:
        return _first_bytes(path, MAX_KEY_BYTES)
    except OSError as error:
        raise ProvenanceError(path, f"the key cannot be read: {error.strerror}") from None


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)
