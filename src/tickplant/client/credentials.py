"""How a client shows its key."""

from __future__ import annotations

from tickplant.model.errors import InvalidParameter


def key_headers(key: str | None) -> dict[str, str]:
    """Return the headers that carry a key; none for None. Raises `InvalidParameter`."""
    if key is None:
        return {}
    text = key.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        # Not InvalidParameter's own sentence with the value: that is a secret.
        raise InvalidParameter("key", "what was given", "a key as `tickplant keys create` shows it")
    return {"Authorization": f"Bearer {text}"}
