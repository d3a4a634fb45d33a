"""What was configured for a venue: addresses, accounts, and the venue's own keys.

    [[feeds]] ─► feeds.supervisor.configured ─► VenueOptions ─► make(options) of the venue ─► Venue

Secrets stand in accounts only. They never print: not in a repr, a log, an error or an address that
is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """What a venue knows us by. What a venue does not need is None; nothing here is ever shown.

    `key` names the account (an API key), `secret` signs, `token` is an access token of a session,
    `password` what some venues ask for besides.
    """

    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """What a factory `make(options) -> Venue` gets.

    `url` and `http_url` stand in for the venue's own addresses, None keeps those. `accounts` may be
    empty, for public data. `extra` holds the keys that `catalogue.KNOWN` lists for the venue, by
    name, as TOML gives them: the factory checks their values and raises `ConfigError`.
    """

    url: str | None = None
    http_url: str | None = None
    accounts: tuple[Account, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def whole(self, key: str) -> Any:
        """Return the venue's own key, a text of digits as a number: so the command line gives it.

        None where it is not configured; whether the value is allowed is the venue's to say.
        """
        value = self.extra.get(key)
        is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
        return int(value[:9]) if isinstance(value, str) and is_digits else value

    @property
    def account(self) -> Account:
        """The first account; one of Nones where there is none."""
        return self.accounts[0] if self.accounts else Account()
