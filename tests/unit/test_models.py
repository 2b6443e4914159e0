from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.management import call_command

from bff_sessions.models import Session
from tests.support.factories import SessionFactory

SIMILAR = ["alice", "Alice", "ALICE", "alice ", "alice  ", " alice", "alicé", "alice\u0301", "a"]
EXACT = ["partition", "issuer", "subject_id", "session_id", "user_id"]
MOMENTS = ["created", "renewed", "expires"]


@pytest.mark.parametrize("shown", [str, repr])
@pytest.mark.parametrize("whose", [{}, {"issuer": None}, {"anonymous": True}])
def test_the_text_of_a_row_shows_neither_key_nor_ticket(shown, whose):
    session = SessionFactory.build(ticket=b"the encrypted data", **whose)
    text = shown(session)
    assert session.key not in text
    assert session.key[:8] not in text
    assert "encrypted" not in text
    assert session.ticket.hex() not in text


def test_the_text_of_a_row_names_subject_sid_and_issuer():
    row = SessionFactory.build(session_id="5f3a")
    assert str(row) == "alice (sid 5f3a, https://idp.example)"
    assert str(SessionFactory.build(issuer=None, session_id=None)) == "alice"
    # The admin's log has room for 200 characters.
    text = str(SessionFactory.build(subject_id="s" * 255, session_id="i" * 255, issuer="p" * 255))
    assert len(text) <= 200
    assert "iii, ppp" in text
    assert str(SessionFactory.build(anonymous=True)) == "anonymous session"


@pytest.mark.django_db
@pytest.mark.parametrize("name", EXACT)
def test_text_equals_itself_only(name):
    rows = {text: SessionFactory(**{name: text}).pk for text in SIMILAR}
    for text, pk in rows.items():
        assert list(Session.objects.filter(**{name: text}).values_list("pk", flat=True)) == [pk]


@pytest.mark.django_db
def test_keys_that_differ_in_case_only_are_two_keys():
    lower, upper = SessionFactory(key="ab" * 32), SessionFactory(key="AB" * 32)
    assert Session.objects.get(key="ab" * 32) == lower
    assert Session.objects.get(key="AB" * 32) == upper


@pytest.mark.django_db
@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin", "America/Chicago"])
@pytest.mark.parametrize("use_tz", [True, False])
# The second and third are one local time in Berlin, the hour that the end of summer repeats.
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2030, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
        datetime(2030, 10, 27, 0, 30, 0, 1, tzinfo=UTC),
        datetime(2030, 10, 27, 1, 30, 0, 1, tzinfo=UTC),
        datetime(2030, 7, 1, 12, 0, 0, 999999, tzinfo=timezone(timedelta(hours=5.5))),
    ],
)
def test_moments_come_back_aware_and_in_utc(settings, use_tz, time_zone, moment):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, time_zone
    pk = SessionFactory(**dict.fromkeys(MOMENTS, moment)).pk
    session = Session.objects.get(pk=pk)
    for name in MOMENTS:
        assert getattr(session, name) == moment
        assert getattr(session, name).tzinfo is UTC


@pytest.mark.django_db
@pytest.mark.parametrize("time_zone", ["UTC", "America/Chicago"])
@pytest.mark.parametrize(("written", "read"), [(True, False), (False, True)])
def test_moments_mean_the_same_after_use_tz_was_changed(settings, written, read, time_zone):
    moment = datetime(2030, 7, 1, 12, 0, 0, 1, tzinfo=UTC)
    settings.TIME_ZONE = time_zone
    settings.USE_TZ = written
    pk = SessionFactory(expires=moment).pk
    settings.USE_TZ = read
    assert Session.objects.get(pk=pk).expires == moment


@pytest.mark.django_db
@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("use_tz", [True, False])
def test_moments_are_compared_in_the_database_to_the_microsecond(settings, use_tz, time_zone):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, time_zone
    moment = datetime(2030, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    SessionFactory(expires=moment)
    tick = timedelta(microseconds=1)
    assert Session.objects.filter(expires=moment).exists()
    assert Session.objects.filter(expires__lte=moment).exists()
    assert not Session.objects.filter(expires__lt=moment).exists()
    assert Session.objects.filter(expires__gt=moment - tick).exists()
    assert not Session.objects.filter(expires__gt=moment).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("use_tz", [True, False])
def test_a_session_without_expiry_has_none(settings, use_tz):
    settings.USE_TZ = use_tz
    pk = SessionFactory(endless=True).pk
    assert Session.objects.get(pk=pk).expires is None


@pytest.mark.django_db
def test_there_is_no_migration_to_make(capsys):
    call_command("makemigrations", "bff_sessions", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.django_db(transaction=True)
def test_migration_of_verbose_names_has_no_sql(capsys):
    call_command("sqlmigrate", "bff_sessions", "0009")
    statements = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line and not line.startswith("--") and line not in ("BEGIN;", "COMMIT;")
    ]
    assert statements == []
