"""TLS as a client: the other side's certificate is always checked, against its name."""

from __future__ import annotations

import ssl
from pathlib import Path

from edge_asd.errors import ConfigError


def client_context(setting: str, *, ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """A context, TLS 1.2 or newer.

    setting: section, for messages. ca_file: certificates trusted in place of the system's.
    cert_file, key_file: own certificate and its secret key (None: in the certificate's file).

    Raises ConfigError, naming the file.
    """
    if key_file is not None and cert_file is None:
        raise ConfigError(f"{setting}.key_file without {setting}.cert_file", remedy="name both")
    for key, name in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if name is not None and not Path(name).is_file():
            raise ConfigError(f"{setting}.{key}: {name} is no file", remedy="name a PEM file")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{setting}.ca_file: {ca_file}: {_reason(error)}", remedy="name a PEM file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        try:
            # A password would be asked for on a terminal nobody watches: an empty one makes it an error.
            context.load_cert_chain(cert_file, key_file, password="")
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"{setting}.cert_file: {cert_file}: {_reason(error)}", remedy="name a PEM file and its key, unencrypted"
            ) from error
    return context


def failure_in_words(error: OSError) -> str:
    """Why a connection failed, one line: for a certificate, what is wrong with it and what mends it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"bad certificate: {error.verify_message}; check ca_file, the host's name and this device's clock"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {_reason(error)}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return " ".join(str(error.strerror or error).split()) or type(error).__name__


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(reason).replace("_", " ").lower()
