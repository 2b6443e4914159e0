"""The options with which ``manage.py sessions`` selects sessions."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from bff_sessions.conf.guesses import closest
from bff_sessions.contract import ANY, UserSessionsFilter, check_text
from bff_sessions.oidc.registrations import known_issuers


def selecting() -> tuple[ArgumentParser, ArgumentParser]:
    """Return two parents of parsers: by the user, and also by the session."""
    whose = ArgumentParser(add_help=False)
    whose.add_argument("--subject", metavar="SUB", help="the provider's sub, exactly")
    whose.add_argument("--user", metavar="ID", help="primary key of Django's user")
    issuer = whose.add_mutually_exclusive_group()
    issuer.add_argument("--issuer", metavar="ISS", help="only sessions of this provider, exactly")
    issuer.add_argument("--local", action="store_true", help="only sessions without a provider")
    whose.add_argument("--partition", metavar="NAME", help="only sessions of this application")
    whose.add_argument("--json", action="store_true", help="write JSON")
    which = ArgumentParser(add_help=False, parents=[whose])
    which.add_argument("--sid", metavar="SID", help="the provider's sid, exactly")
    return whose, which


def to_filter(options: dict[str, Any]) -> UserSessionsFilter:
    """Return the filter that the options describe.

    Raises:
        ValueError: if one is not valid, or if they select nothing.
    """
    for name in ("subject", "sid", "user", "issuer", "partition"):
        # A script may pass an empty variable, and would then end more sessions than intended.
        if options[name] is not None and not options[name].strip():
            raise ValueError(f"--{name} must not be blank.")
        # So that the error names the option. The filter would name its field.
        check_text(f"--{name}", options[name], max_length=None)
    if all(options[name] is None for name in ("subject", "sid", "user")):
        raise ValueError("Give --subject, --sid or --user.")
    issuer = ANY if options["issuer"] is None else options["issuer"]
    return UserSessionsFilter(
        subject_id=options["subject"],
        session_id=options["sid"],
        user_id=options["user"],
        issuer=None if options["local"] else issuer,
        partition=ANY if options["partition"] is None else options["partition"],
    )


def guess(options: dict[str, Any]) -> str:
    """Return a question, after a blank, if an option may have been meant otherwise."""
    if options["user"] is not None and (key := _key_of(options["user"])) is not None:
        return f" Is {options['user']!r} a user name? Then give the primary key: --user {key}."
    if options["issuer"] is not None and options["issuer"] not in known_issuers():
        nearest = closest(options["issuer"], known_issuers())
        if nearest is not None:
            return f" Did you mean --issuer {nearest}?"
    return ""


def _key_of(username: str) -> str | None:
    """Return the primary key of the user with this name, as text; None without such a user."""
    if not apps.is_installed("django.contrib.auth"):
        return None
    model: Any = get_user_model()
    try:
        name = model._meta.get_field(model.USERNAME_FIELD).to_python(username)
    except ValidationError:
        return None  # Users have numbers for names, for example.
    user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    return None if user is None else str(user.pk)
