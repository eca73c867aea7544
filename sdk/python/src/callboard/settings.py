"""Where to connect and as whom: options, the environment, defaults."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_ADDRESS = "http://127.0.0.1:7470"
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT = 30.0

_HOST_PORT = re.compile(r"(?:(?P<host>[^\s:/\[\]]+)|\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Address:
    """One server to try."""

    url: str
    host: str
    port: int
    secure: bool

    @property
    def target(self) -> str:
        """What gRPC is asked to connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"dns:///{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine: then no proxy stands between."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class HostPort:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Parses a comma-separated list of URLs; raises ValueError that names the one that is wrong."""
    urls = [part.strip() for part in text.split(",") if part.strip()]
    if not urls:
        raise ValueError(f"address {text!r} is empty: give one like {DEFAULT_ADDRESS}")
    return tuple(parse_address(url) for url in urls)


def parse_address(url: str) -> Address:
    """Parses one URL."""

    def wrong(fault: str) -> ValueError:
        return ValueError(f"address {url!r} {fault}: give one like {DEFAULT_ADDRESS}")

    scheme, separator, _ = url.partition("://")
    if not separator:
        raise wrong("has no scheme")
    if scheme.lower() not in ("http", "https"):
        raise wrong(f"has the scheme {scheme!r}, not http or https")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong("is not a URL") from None
    if not parts.hostname:
        raise wrong("has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise wrong("has more than scheme, host and port")
    secure = parts.scheme == "https"
    return Address(url, parts.hostname, port if port is not None else (443 if secure else 80), secure)


def resolve_addresses(
    address: str | None, environment: Mapping[str, str] = os.environ
) -> tuple[Address, ...]:
    """The addresses from the option, else the environment, else the default."""
    return parse_addresses(_first(address, environment.get("CALLBOARD_ADDRESS"), DEFAULT_ADDRESS))


def resolve_health(health: str | None, environment: Mapping[str, str] = os.environ) -> HostPort | None:
    """Where an agent answers probes, from the option, else the environment; None for nowhere. Raises
    ValueError that names it when it is no such place."""
    text = _first(health, environment.get("CALLBOARD_HEALTH"), "")
    if not text:
        return None
    parts = _HOST_PORT.fullmatch(text)
    if parts is None or int(parts["port"]) > 65535:
        raise ValueError(f"health {text!r} is not a host and a port: give them like 127.0.0.1:8080")
    return HostPort(parts["host"] or parts["ipv6"], int(parts["port"]))


def resolve_namespace(namespace: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The namespace from the option, else the environment, else the default."""
    return _first(namespace, environment.get("CALLBOARD_NAMESPACE"), DEFAULT_NAMESPACE)


def resolve_agent_name(
    name: str | None,
    agent_type: str,
    random_hex: Callable[[], str],
    environment: Mapping[str, str] = os.environ,
) -> str:
    """The agent's name from the option, else the environment, else one that no other agent has."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in socket.gethostname())
    suffix = f"-{os.getpid()}-{random_hex()}"
    # Names are at most 128 characters; what makes this one unique stands at the end.
    made_up = f"{agent_type}-{host}"[: 128 - len(suffix)] + suffix
    return _first(name, environment.get("CALLBOARD_AGENT_NAME"), made_up)


def _first(option: str | None, environment: str | None, default: str) -> str:
    # An option that is given wins, even when empty; an empty variable counts as unset.
    return option if option is not None else (environment or default)
