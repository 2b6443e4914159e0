"""Sessions of Django's own engine, which was used before."""

import io

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as OldStore
from django.core.management import call_command

from bff_sessions.protection import store_key
from bff_sessions.stores import get_store

__all__ = [
    "OLD",
    "OldStore",
    "import_sessions",
    "import_sessions_lines",
    "old_session",
    "old_sign_in",
    "row_of",
    "sign_in_data",
]

OLD = "django.contrib.sessions.backends.db"


def old_session(**data):
    """The key of a session that Django's own engine keeps."""
    session = OldStore()
    session.update(data)
    session.save()
    return session.session_key


def sign_in_data(user):
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


def old_sign_in(user, **data):
    return old_session(**sign_in_data(user), **data)


def import_sessions(*arguments, **options):
    """Return what the command says that it did, without what is to be done next."""
    return "".join(import_sessions_lines(*arguments, **options)[:1])


def import_sessions_lines(*arguments, **options):
    out = io.StringIO()
    call_command("import_sessions", *arguments, stdout=out, **options)
    return out.getvalue().splitlines()


def row_of(session_key):
    return get_store().get_user_session(store_key("default", session_key))
