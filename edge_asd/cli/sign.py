"""`edge-asd sign`: sign a bundle, check a signature, make keys."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from edge_asd.cli.parsing import Subparsers, new_command
from edge_asd.cli.progress import note
from edge_asd.errors import StorageError, UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = new_command(
        subparsers,
        "sign",
        summary="sign a bundle, so that a device takes no other",
        description="Where model.public_key is set, only bundles signed with its secret key are loaded. The signature "
        "stands beside the bundle, in FILE.asd.minisig, and goes wherever it goes. Sign on the workstation: the secret "
        "key has no place on a device.\n\n"
        "Keys and signatures are minisign's; `minisign -S` and `minisign -V` make and check them, too.",
        examples=(
            "edge-asd sign --new-key plant.key                # makes plant.key, and plant.pub for the devices",
            "edge-asd sign fan.asd --key plant.key            # makes fan.asd.minisig",
            "edge-asd sign fan.asd --check plant.pub",
        ),
    )
    parser.add_argument("bundles", nargs="*", type=Path, metavar="FILE.asd", help="bundles")
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument("--key", type=Path, metavar="FILE.key", help="sign with this secret key")
    actions.add_argument("--check", type=Path, metavar="FILE.pub", help="check the signatures with this public key")
    actions.add_argument("--new-key", type=Path, metavar="FILE.key", help="make a secret key, and FILE.pub with it")


def run(args: argparse.Namespace) -> int:
    """Do one of the three."""
    if args.new_key is not None:
        if args.bundles:
            raise UsageError("--new-key takes no bundle", remedy="sign it afterwards with --key")
        return _new_key(args.new_key)
    if not args.bundles:
        raise UsageError("no bundle given", remedy="name FILE.asd")
    return _sign(args.bundles, args.key) if args.key is not None else _check(args.bundles, args.check)


def _new_key(path: Path) -> int:
    from edge_asd.atomic import write_atomically
    from edge_asd.bundle.signing import SecretKey

    public = path.with_suffix(".pub")
    if public == path:
        raise UsageError(f"{path} is the name of a public key", remedy="give --new-key FILE.key")
    for taken in (path, public):
        if taken.exists():
            raise UsageError(f"{taken} exists", remedy="choose another name: a key written over is lost for ever")
    key = SecretKey.new()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key.text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror}") from error
    write_atomically(public, key.public.text.encode())
    print(f"{path}: the secret key; keep it here and safe\n{public}: for devices, as model.public_key")
    return 0


def _sign(bundles: list[Path], key_path: Path) -> int:
    from edge_asd.atomic import write_atomically
    from edge_asd.bundle.bundle import load_bundle
    from edge_asd.bundle.signing import SecretKey, read_text, signature_path

    key = SecretKey.parse(read_text(key_path), str(key_path))
    if key_path.stat().st_mode & 0o077:
        note(f"warning: other users can read {key_path}; mend it: chmod 600 {key_path}")
    for bundle in bundles:
        read: list[bytes] = []
        load_bundle(bundle, check=read.append)  # what is signed is a whole bundle, these very bytes
        comment = f"timestamp:{int(time.time())}\tfile:{bundle.name}\thashed"
        write_atomically(signature_path(bundle), key.sign(read[0], comment).encode())
        print(signature_path(bundle))
    return 0


def _check(bundles: list[Path], key_path: Path) -> int:
    from edge_asd.bundle.bundle import load_bundle
    from edge_asd.bundle.signing import PublicKey, read_text, signed_by

    key = PublicKey.parse(read_text(key_path), str(key_path))
    for bundle in bundles:
        load_bundle(bundle, check=signed_by(key, bundle))
        print(f"{bundle}: signed")
    return 0
