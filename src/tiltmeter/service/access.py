"""Who may do what over HTTP: keys by role, or a header that a reverse proxy vouches for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from hmac import compare_digest
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(IntEnum):
    """What a caller may do; `operate` includes reading, `outcomes` may only report outcomes."""

    NONE = 0
    OUTCOMES = 1
    READ = 2
    OPERATE = 3

    def allows(self, needed: Role) -> bool:
        """Whether this role is enough."""
        if needed is Role.OUTCOMES:
            return self in (Role.OUTCOMES, Role.OPERATE)
        return self >= needed


@dataclass(frozen=True, slots=True)
class Access:
    """The keys that open the API.

    Args:
        keys: secret by role; none at all leaves the API open, which only a loopback address may be.
        trusted_header: header with the name of the person, set by a reverse proxy that signs people in.
    """

    keys: Mapping[Role, str] = field(default_factory=dict)
    trusted_header: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches the address may do everything."""
        return not self.keys and self.trusted_header is None

    def role_of(self, headers: Mapping[str, str]) -> tuple[Role, str]:
        """Role and name of a caller.

        Args:
            headers: lower-case names.
        """
        if self.is_open:
            return Role.OPERATE, "local"
        if self.trusted_header and headers.get(self.trusted_header.lower()):
            return Role.OPERATE, headers[self.trusted_header.lower()][:100]
        given = headers.get("authorization", "").removeprefix("Bearer ").strip() or headers.get("x-tiltmeter-key", "")
        best = Role.NONE
        for role, key in self.keys.items():
            # Every key is compared, in constant time: neither the number of right characters nor the role leaks.
            if compare_digest(given.encode(), key.encode()) and role > best:
                best = role
        return best, f"key:{best.name.lower()}"

    def check_address(self, host: str, *, setting: str = "server.host") -> None:
        """Refuse to listen where others could reach an open API or open pages.

        Raises:
            ConfigError: the address is not loopback and there is neither a key nor a trusted header.
        """
        if self.is_open and host not in ("127.0.0.1", "::1", "localhost"):
            raise ConfigError(
                f"{setting} is {host} and nothing protects what listens there",
                hint="set server.keys (read, outcomes, operate) or server.trusted_header, or listen on 127.0.0.1",
            )
