"""Who may do what: every role against every need, and no open door."""

from __future__ import annotations

import pytest

from tiltmeter.domain.errors import ConfigError
from tiltmeter.service.access import Access, Role

KEYS = {Role.READ: "read-key", Role.OUTCOMES: "outcomes-key", Role.OPERATE: "operate-key"}


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ({}, Role.NONE),
        ({"authorization": "Bearer wrong"}, Role.NONE),
        ({"authorization": "Bearer read-key"}, Role.READ),
        ({"x-tiltmeter-key": "outcomes-key"}, Role.OUTCOMES),
        ({"authorization": "Bearer operate-key"}, Role.OPERATE),
        ({"authorization": "Bearer read-keyy"}, Role.NONE),
        ({"authorization": "Bearer réad-key"}, Role.NONE),
    ],
)
def test_a_key_opens_its_role_and_nothing_else(header, role):
    assert Access(KEYS).role_of(header)[0] is role


@pytest.mark.parametrize(
    ("role", "needed", "allowed"),
    [
        (Role.READ, Role.READ, True),
        (Role.READ, Role.OPERATE, False),
        (Role.READ, Role.OUTCOMES, False),
        (Role.OUTCOMES, Role.OUTCOMES, True),
        (Role.OUTCOMES, Role.READ, False),
        (Role.OPERATE, Role.READ, True),
        (Role.OPERATE, Role.OUTCOMES, True),
        (Role.NONE, Role.OUTCOMES, False),
    ],
)
def test_roles_allow_what_they_are_for(role, needed, allowed):
    assert role.allows(needed) is allowed


def test_a_trusted_header_names_the_person():
    assert Access(trusted_header="X-User").role_of({"x-user": "anna"}) == (Role.OPERATE, "anna")
    assert Access(trusted_header="X-User").role_of({})[0] is Role.NONE


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_an_open_api_listens_on_loopback_only(host):
    with pytest.raises(ConfigError, match="nothing protects"):
        Access().check_address(host)
    Access(KEYS).check_address(host)
    Access().check_address("127.0.0.1")
