"""Signed bundles: who made a bundle is checked before anything is made of its bytes.

Keys and signatures are minisign's (jedisct1.github.io/minisign, "Signature format"), so either program can make and
check them: Ed25519 over the BLAKE2b-512 of the file, and over that signature with its trusted comment. The arithmetic
is that of the package `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asd.errors import DataError, MissingInputError, StorageError, UnavailableError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SUFFIX = ".minisig"
"""After the bundle's name."""
KEY_ALGORITHM, SIGNATURE_ALGORITHM, OLD_ALGORITHM = b"Ed", b"ED", b"Ed"
NO_PASSWORD, CHECKSUM = b"\0\0", b"B2"
NUMBER_BYTES, SEED_BYTES, POINT_BYTES, SIGNATURE_BYTES = 8, 32, 32, 64
SECRET_HEAD_BYTES = 2 + 2 + 2 + 32 + 8 + 8
"""Of a secret key's file before the key's number: algorithms, salt and limits of a password's derivation."""
COMMENT, TRUSTED = "untrusted comment: ", "trusted comment: "
MAX_BYTES = 8192


@dataclass(frozen=True)
class PublicKey:
    """Checks signatures. number: tells keys apart; point: the key itself."""

    number: bytes
    point: bytes

    @classmethod
    def parse(cls, text: str, name: str) -> PublicKey:
        """From the text of its file. name: of that file, for messages. Raises DataError."""
        data = _decoded(text, 0, name, "public key")
        if len(data) != 2 + NUMBER_BYTES + POINT_BYTES or data[:2] != KEY_ALGORITHM:
            raise DataError(f"{name}: no public key", remedy="name the .pub file that edge-asd sign --new-key made")
        return cls(data[2 : 2 + NUMBER_BYTES], data[2 + NUMBER_BYTES :])

    def check(self, data: bytes, signature: str, name: str) -> str:
        """Check the text of a signature over `data` and give its trusted comment. name: of the signature's file.

        Raises DataError (not a signature, by another key, over other bytes), UnavailableError.
        """
        head = _decoded(signature, 0, name, "signature")
        lines = signature.splitlines()
        if len(head) != 2 + NUMBER_BYTES + SIGNATURE_BYTES or len(lines) < 4 or not lines[2].startswith(TRUSTED):
            raise DataError(f"{name}: no signature", remedy="sign the bundle again with edge-asd sign")
        algorithm, number, signed = head[:2], head[2 : 2 + NUMBER_BYTES], head[2 + NUMBER_BYTES :]
        if algorithm == OLD_ALGORITHM:
            raise DataError(f"{name}: a signature of minisign's old kind", remedy="sign the bundle again")
        if number != self.number:
            raise DataError(
                f"{name}: signed with key {_shown(number)}, and {_shown(self.number)} is trusted",
                remedy="sign the bundle with the trusted key, or set model.public_key to the other one",
            )
        comment = lines[2].removeprefix(TRUSTED)
        whole = _decoded(signature, 2, name, "signature")
        if algorithm != SIGNATURE_ALGORITHM or not (
            self._signed(signed, _digest(data)) and self._signed(whole, signed + comment.encode())
        ):
            raise DataError(
                f"{name}: the signature does not fit: the bundle, or its signature, is not as it was signed",
                remedy="copy both again, or do not trust them",
            )
        return comment

    def _signed(self, signature: bytes, data: bytes) -> bool:
        _need_cryptography()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.point).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def text(self) -> str:
        """What its file holds."""
        return _file(f"edge-asd public key {_shown(self.number)}", KEY_ALGORITHM + self.number + self.point)


@dataclass(frozen=True)
class SecretKey:
    """Makes signatures. It does not show itself."""

    number: bytes
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls) -> SecretKey:
        """A key nobody has. Raises UnavailableError."""
        _need_cryptography()
        return cls(os.urandom(NUMBER_BYTES), os.urandom(SEED_BYTES))

    @classmethod
    def parse(cls, text: str, name: str) -> SecretKey:
        """From the text of its file. name: of that file, for messages. Raises DataError."""
        data = _decoded(text, 0, name, "secret key")
        if len(data) < SECRET_HEAD_BYTES + NUMBER_BYTES + SEED_BYTES or data[:2] != KEY_ALGORITHM:
            raise DataError(f"{name}: no secret key", remedy="make one with edge-asd sign --new-key")
        if data[2:4] != NO_PASSWORD:
            raise DataError(f"{name}: locked with a password", remedy="sign with: minisign -S -s KEY -m FILE.asd")
        start = SECRET_HEAD_BYTES + NUMBER_BYTES
        return cls(data[SECRET_HEAD_BYTES:start], data[start : start + SEED_BYTES])

    @property
    def public(self) -> PublicKey:
        """The key that checks its signatures."""
        return PublicKey(self.number, self._key().public_key().public_bytes_raw())

    def sign(self, data: bytes, comment: str) -> str:
        """The text of a signature over `data`. comment: signed with it, one line."""
        signed = self._key().sign(_digest(data))
        whole = self._key().sign(signed + comment.encode())
        head = _file(f"signature of edge-asd key {_shown(self.number)}", SIGNATURE_ALGORITHM + self.number + signed)
        return f"{head}{TRUSTED}{comment}\n{base64.b64encode(whole).decode()}\n"

    @property
    def text(self) -> str:
        """What its file holds; only its owner may read it."""
        head = KEY_ALGORITHM + NO_PASSWORD + CHECKSUM + bytes(SECRET_HEAD_BYTES - 6)
        checksum = bytes(32)  # of a key without a password it stays empty, and is not looked at
        data = head + self.number + self.seed + self.public.point + checksum
        return _file(f"edge-asd secret key {_shown(self.number)}: keep it off the device", data)

    def _key(self) -> Ed25519PrivateKey:
        _need_cryptography()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)


def signature_path(bundle: Path) -> Path:
    """Where a bundle's signature lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def signed_by(key: PublicKey, bundle: Path) -> Callable[[bytes], None]:
    """A check for `edge_asd.bundle.bundle.load_bundle`: the bytes of `bundle` are signed with the key of `key`.

    What it gives raises DataError (not signed, or not so), StorageError, UnavailableError.
    """

    def check(data: bytes) -> None:
        path = signature_path(bundle)
        try:
            text = read_text(path)
        except MissingInputError:
            raise DataError(
                f"{bundle} is not signed ({path.name} is missing), and only signed bundles are trusted here",
                remedy="sign it with edge-asd sign, or leave model.public_key unset",
            ) from None
        key.check(data, text, str(path))

    return check


def read_text(path: Path) -> str:
    """A key's or signature's file. Raises MissingInputError, StorageError, DataError (not such a file at all)."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingInputError(f"{path} does not exist", remedy="make keys with edge-asd sign --new-key") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: over {MAX_BYTES} bytes", remedy="this is no key and no signature")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text", remedy="this is no key and no signature") from None


def _decoded(text: str, comment_line: int, name: str, what: str) -> bytes:
    """The bytes under the comment in that line; empty where there is none."""
    lines = text.splitlines()
    wanted = COMMENT if comment_line == 0 else TRUSTED
    if len(lines) < comment_line + 2 or not lines[comment_line].startswith(wanted):
        raise DataError(f"{name}: no {what}", remedy="copy it again")
    try:
        return base64.b64decode(lines[comment_line + 1].strip(), validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"{name}: no {what}, or a damaged one", remedy="copy it again") from None


def _file(comment: str, data: bytes) -> str:
    return f"{COMMENT}{comment}\n{base64.b64encode(data).decode()}\n"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _shown(number: bytes) -> str:
    """As minisign shows a key's number."""
    return number[::-1].hex().upper()


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "signatures need the package cryptography, which is not installed",
            remedy="pip install 'edge-asd[signing]'",
        ) from error
