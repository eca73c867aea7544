"""Certificates for tests: an authority of its own, and what it signs."""

from __future__ import annotations

from pathlib import Path

import trustme


class Authority:
    """Signs certificates; its own is `ca`, a file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._ca = trustme.CA()
        self.ca = str(directory / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate for an address or a DNS name, and its key, as files."""
        certificate = self._ca.issue_cert(name)
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}-key.pem"
        certificate.cert_chain_pems[0].write_to_path(cert)
        certificate.private_key_pem.write_to_path(key)
        return str(cert), str(key)

    def client(self, name: str) -> dict[str, str]:
        """The options of a client with a certificate for this DNS name."""
        cert, key = self.issue(name)
        return {"ca": self.ca, "client_cert": cert, "client_key": key}

    def server(self) -> tuple[str, ...]:
        """The arguments of a server at 127.0.0.1, which takes this authority's word for its clients."""
        cert, key = self.issue("127.0.0.1")
        return ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", self.ca)
