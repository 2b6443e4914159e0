"""A factory of sessions, for factory-boy."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from bff_sessions import conf
from bff_sessions.contract import UserSession
from bff_sessions.oidc.registrations import known_issuers
from bff_sessions.stores import get_store
from bff_sessions.testing.fixtures import ago, sealed

try:
    import factory
except ModuleNotFoundError:
    raise ImportError(
        "The package factory-boy is not installed. Run pip install factory-boy."
    ) from None


class SessionFactory(factory.Factory):  # type: ignore[misc]
    """Create a session in the configured store, by default a live session of alice.

        SessionFactory(user=user, session_id="laptop")
        SessionFactory(subject_id="bob", data={"cart": [1]})
        SessionFactory(expired=True)
        SessionFactory(anonymous=True)

    It returns the `UserSession`. ``SessionFactory.build()`` stores nothing. No browser has this
    session: to sign a test client in, use `bff_sessions.testing.sign_in()`.
    """

    class Meta:
        model = UserSession

    class Params:
        user = None
        """The user of Django; `user_id` and `subject_id` are derived from it."""
        expired = factory.Trait(
            created=factory.LazyFunction(lambda: ago(7200)),
            expires=factory.LazyFunction(lambda: ago(3600)),
        )
        anonymous = factory.Trait(issuer=None, subject_id=None, session_id=None)

    key = factory.LazyFunction(lambda: token_hex(32))
    partition = factory.LazyFunction(lambda: conf.PARTITION)
    issuer = factory.LazyFunction(lambda: next(iter(known_issuers()), "https://idp.example"))
    subject_id = factory.LazyAttribute(lambda o: o.user.get_username() if o.user else "alice")
    session_id = factory.LazyFunction(lambda: token_hex(16))
    user_id = factory.LazyAttribute(lambda o: str(o.user.pk) if o.user else None)
    sign_in_id = factory.LazyFunction(lambda: token_hex(16))
    created = factory.LazyFunction(lambda: ago(0))
    renewed = factory.SelfAttribute("created")
    expires = factory.LazyFunction(lambda: ago(-3600))
    ticket = b""
    data: Any = factory.LazyFunction(dict)

    @classmethod
    def _build(cls, model_class: type[UserSession], *args: Any, **kwargs: Any) -> UserSession:
        data = import_string(settings.SESSION_SERIALIZER)().dumps(kwargs.pop("data"))
        return sealed(model_class(*args, **kwargs), data)

    @classmethod
    def _create(cls, model_class: type[UserSession], *args: Any, **kwargs: Any) -> UserSession:
        session = cls._build(model_class, *args, **kwargs)
        get_store().create_user_session(session)
        return session
