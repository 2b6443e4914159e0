"""Factories of the tests. A session is live and alice's by default."""

from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex

import factory
from django.contrib.auth.models import User

from bff_sessions.models import Session

__all__ = ["SessionFactory", "UserFactory", "ago"]


def ago(**duration):
    """Return the time before this duration."""
    return datetime.now(UTC) - timedelta(**duration)


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    class Params:
        admin = factory.Trait(is_staff=True, is_superuser=True)

    username = factory.Sequence("user{}".format)


class SessionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Session

    class Params:
        expired = factory.Trait(expires=factory.LazyFunction(lambda: ago(hours=1)))
        endless = factory.Trait(expires=None)
        anonymous = factory.Trait(issuer=None, subject_id=None, session_id=None, user_id=None)

    key = factory.LazyFunction(lambda: token_hex(32))
    partition = "default"
    issuer = "https://idp.example"
    subject_id = "alice"
    session_id = factory.LazyFunction(lambda: token_hex(16))
    user_id = None
    sign_in_id = factory.LazyFunction(lambda: token_hex(16))
    created = factory.LazyFunction(lambda: ago(hours=2))
    renewed = factory.LazyFunction(lambda: ago(hours=1))
    expires = factory.LazyFunction(lambda: ago(hours=-1))
    ticket = factory.LazyFunction(lambda: token_bytes(64))
