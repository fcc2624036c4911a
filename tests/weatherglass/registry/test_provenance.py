"""SHA-256 and signatures of files, against the test vectors of RFC 8032 and FIPS 180."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from weatherglass.registry.provenance import (
    ProvenanceError,
    check_sha256,
    check_signature,
    load_private_key,
    sign,
    signature_file,
)

SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
MESSAGE = b"\x72"
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
"""RFC 8032, section 7.1, test 2."""
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def private_pem(key: Ed25519PrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def message(tmp_path: Path) -> Path:
    """A file with `MESSAGE`, its signature, and the keys `key.pem` and `public.pem` next to it."""
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    (tmp_path / "key.pem").write_bytes(private_pem(key))
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "message.sig").write_bytes(SIGNATURE)
    return tmp_path / "message"


def test_a_signature_is_that_of_rfc_8032(message: Path) -> None:
    check_signature(message, message.with_name("public.pem"))
    signature_file(message).unlink()
    assert sign(message, load_private_key(message.with_name("key.pem"))) == signature_file(message)
    assert signature_file(message).read_bytes() == SIGNATURE


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\n", SIGNATURE[::-1], bytes(64)])
def test_another_signature_is_rejected(message: Path, signature: bytes) -> None:
    signature_file(message).write_bytes(signature)
    with pytest.raises(ProvenanceError) as raised:
        check_signature(message, message.with_name("public.pem"))
    assert raised.value.file == signature_file(message)


def test_a_missing_signature_another_key_and_another_message_are_rejected(message: Path) -> None:
    other = message.with_name("other.pem")
    other.write_bytes(public_pem(Ed25519PrivateKey.generate()))
    with pytest.raises(ProvenanceError):
        check_signature(message, other)
    message.write_bytes(MESSAGE + b"x")
    with pytest.raises(ProvenanceError):
        check_signature(message, message.with_name("public.pem"))
    signature_file(message).unlink()
    with pytest.raises(ProvenanceError) as raised:
        check_signature(message, message.with_name("public.pem"))
    assert raised.value.file == signature_file(message)


def test_a_file_that_is_not_a_usable_key_is_rejected_with_its_name(message: Path) -> None:
    path = message.with_name("bad.pem")
    key = Ed25519PrivateKey.generate()
    other_kind = generate_private_key(SECP256R1())
    contents = {
        "private": [
            b"",
            b"text",
            public_pem(key),
            private_pem(key, BestAvailableEncryption(b"password")),
            other_kind.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ],
        "public": [
            b"",
            b"text",
            private_pem(key),
            other_kind.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ],
    }
    for content in contents["private"]:
        path.write_bytes(content)
        with pytest.raises(ProvenanceError) as raised:
            load_private_key(path)
        assert raised.value.file == path
    for content in contents["public"]:
        path.write_bytes(content)
        with pytest.raises(ProvenanceError) as raised:
            check_signature(message, path)
        assert raised.value.file == path
    for missing in (path.with_name("missing.pem"), path.parent):
        with pytest.raises(ProvenanceError):
            load_private_key(missing)
        with pytest.raises(ProvenanceError):
            check_signature(message, missing)


def test_sha256_is_that_of_fips_180_in_either_case(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    check_sha256(file, ABC_SHA256.upper())
    for other in ("0" * 64, ABC_SHA256[:-1], ""):
        with pytest.raises(ProvenanceError) as raised:
            check_sha256(file, other)
        assert raised.value.file == file
