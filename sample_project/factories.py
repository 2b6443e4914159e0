"""Users and sessions of the demo: invented people, and sessions of the last month."""

import json
from datetime import UTC, datetime, timedelta

import factory
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password

from bff_sessions.contract import bound_values
from bff_sessions.models import Session
from bff_sessions.protection import seal, store_key

__all__ = ["PARTITION", "PREFIX", "USER_AGENTS", "SessionFactory", "UserFactory"]

ISSUER = settings.OIDC["ISSUER"] if settings.OIDC else "https://idp.example"
PARTITION = settings.BFF_SESSIONS["PARTITION"]
# Session IDs and user names begin with it, so that the next run finds what it replaces.
PREFIX = "demo-"
MONTH = 30 * 24 * 60 * 60  # seconds
LIFETIME = timedelta(days=7)
USER_AGENTS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.6 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36",
]
# Reserved for examples by RFC 5737 and RFC 3849.
ADDRESSES = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8:17::/48"]


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()

    username = factory.Sequence(lambda n: f"{PREFIX}{n:03}")
    first_name = factory.Faker("first_name")
    last_name = factory.Faker("last_name")
    # An unusable password: these users cannot sign in.
    password = factory.LazyFunction(lambda: make_password(None))


class SessionFactory(factory.Factory):
    """A session of `user` that began within the last month, live or expired."""

    class Meta:
        model = Session
        exclude = ("session_key", "now", "age", "used")

    class Params:
        user = None

    # Random, but the same in each run, so that the demo does not change. No browser has it.
    session_key = factory.Faker("hexify", text="^" * 40)
    now = factory.LazyFunction(lambda: datetime.now(UTC))
    # Seconds since the session began, and for how many of them it was used.
    age = factory.Faker("random_int", min=60, max=MONTH)
    used = factory.LazyAttributeSequence(lambda o, n: o.age * ((n * 37) % 100) // 100)

    key = factory.LazyAttribute(lambda o: store_key(PARTITION, o.session_key))
    partition = PARTITION
    issuer = ISSUER
    subject_id = factory.LazyAttribute(lambda o: f"sub-{o.user.username}")
    session_id = factory.Sequence(lambda n: f"{PREFIX}{n:06}")
    user_id = factory.LazyAttribute(lambda o: str(o.user.pk))
    sign_in_id = factory.Faker("hexify", text="^" * 32)
    created = factory.LazyAttribute(lambda o: o.now - timedelta(seconds=o.age))
    renewed = factory.LazyAttribute(lambda o: o.created + timedelta(seconds=o.used))
    expires = factory.LazyAttribute(lambda o: o.renewed + LIFETIME)
    ticket = factory.LazyAttribute(
        lambda o: seal(
            json.dumps({"_auth_user_id": o.user_id}).encode(),
            bound_to=(o.key, PARTITION, *bound_values(o)),
            purpose="ticket",
        )
    )
    user_agent = factory.Faker("random_element", elements=USER_AGENTS)
    address = factory.Faker("random_element", elements=ADDRESSES)
    last_seen = factory.SelfAttribute("renewed")
