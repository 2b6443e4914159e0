"""Claims of a person who was signed in before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bff_sessions import conf
from bff_sessions.identity.claims import AUTH_USER_ID, BINDING, person_of
from bff_sessions.identity.id_tokens import ID_TOKEN, MOZILLA_TOKENS, read_claims

# A mapping with one of these keys holds claims or tokens.
_OF_SIGN_IN = frozenset({"iss", "sub", "access_token", "refresh_token", "id_token"})


def older_claims(
    data: Mapping[str, Any], before: Mapping[str, Any], written: Collection[str]
) -> list[str]:
    """Return the keys of `data` that hold claims of a person who was signed in before.

    A session belongs to one person. Claims are older if the user has changed and this request has
    not written them. They are also older if other claims have changed to another person since.

    Args:
        data: session data as it is going to be saved.
        before: session data as it was read. The serializer has read both.
        written: keys that this request has written for a sign-in.
    """
    user_id = data.get(AUTH_USER_ID)
    is_other_user = user_id is not None and user_id != before.get(AUTH_USER_ID)
    was, now = _sources(before), _sources(data)
    changed = {key for key in now if key not in was or was[key] != now[key]}
    fresh = changed.union(key for key in now if key in written)
    people = {now[key] for key in (fresh if is_other_user else changed)} - {None}
    if not (is_other_user or people):
        return []
    older = [key for key in now if key not in fresh and now[key] not in people]
    # The other tokens of mozilla-django-oidc belong to the ID token that was stored with them.
    has_other_token = ID_TOKEN in changed or ID_TOKEN in older
    if has_other_token or (is_other_user and ID_TOKEN not in now):
        others = [key for key in MOZILLA_TOKENS if key != ID_TOKEN and key in data]
        older += [key for key in others if key not in written]
    return older


def _sources(data: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None] | None]:
    """Return the keys that hold claims, each with its issuer and subject."""
    sources: dict[str, tuple[str | None, str | None] | None] = {}
    if (binding := data.get(BINDING)) is not None:
        sources[BINDING] = binding["iss"], binding["sub"]
    claims = data.get(conf.CLAIMS_KEY)
    # A project may store another mapping there.
    if isinstance(claims, Mapping) and not _OF_SIGN_IN.isdisjoint(claims):
        sources[conf.CLAIMS_KEY] = person_of(claims)
    if (token := data.get(ID_TOKEN)) is not None:
        try:
            sources[ID_TOKEN] = person_of(read_claims(token))
        except ValueError:
            sources[ID_TOKEN] = None
    return sources
