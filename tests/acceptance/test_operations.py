"""The pages for operators name what the package has, and their examples work."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection

from bff_sessions.models import Session, TokenRevocation
from bff_sessions.oidc.logout.tokens import Reason
from bff_sessions.oidc.options.event_types import EVENT_TYPES
from bff_sessions.oidc.shared_signals.tokens import Reason as EventReason
from bff_sessions.stores import get_store
from bff_sessions.testing import make_session

ROOT = Path(__file__).parents[2]
SOURCE = "".join(path.read_text() for path in sorted((ROOT / "bff_sessions").rglob("*.py")))


def page(name):
    return (ROOT / "docs" / "how-to" / f"{name}.md").read_text()


def examples(name, language="python"):
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


def run_example(name, part):
    (example,) = [text for text in examples(name) if part in text]
    namespace = {"env": lambda name: "a secret of the deployment that is long enough: 0123456789"}
    exec(example, namespace)
    return namespace


def test_each_refusal_of_a_logout_has_a_row():
    refusals = [reason.value for reason in Reason]
    refusals += re.findall(r'_BadRequest\("([^"]+)"\)', SOURCE)
    assert [text for text in refusals if text not in page("troubleshooting")] == []


def test_each_refusal_of_a_security_event_has_a_row_with_its_code():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", page("shared-signals"), re.MULTILINE)
    for reason in EventReason:
        assert [code for code, texts in rows if reason.description in texts] == [reason.code]
    refusals = re.findall(r'_RequestInvalid\("([^"]+)"\)', SOURCE)
    assert len(refusals) == 3
    assert [text for text in refusals if text not in page("shared-signals")] == []


def test_each_security_event_has_a_row_with_its_action():
    rows = re.findall(r"^\| (\S+ `.*?) \| (\w+)", page("shared-signals"), re.MULTILINE)
    actions = {name: action for names, action in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert actions == {kind.name: kind.action for kind in EVENT_TYPES.values()} | {
        "verification": "logged",
        "stream-updated": "logged",
    }


def test_each_reason_to_sign_in_has_a_row():
    raised = re.findall(r'SignIn(?:Required|Ended)\(\s*f?"([^"]+?[.,])', SOURCE)
    assert len(raised) >= 5
    # That the session has ended is what other pages are about.
    raised.remove("The session has ended.")
    assert [text for text in raised if text not in page("troubleshooting")] == []


def test_each_logger_has_a_row():
    loggers = set(re.findall(r'getLogger\("([\w.]+)"\)', SOURCE))
    assert loggers == {
        name
        for row in re.findall(r"^\| (`[\w.]+`(?:, `[\w.]+`)*) \|", page("logging"), re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", row)
    }


def test_lines_to_alert_on_are_logged():
    lines = re.findall(r'^\| .*?`[\w.]+` "([^"]+)" \|', page("logging"), re.MULTILINE)
    assert len(lines) >= 8
    source = re.sub(r'"\s*\n\s*"', "", SOURCE)
    assert [line for line in lines if line not in source] == []


def test_example_of_logging_writes_time_level_and_logger():
    (example,) = [text for text in examples("logging") if "LOGGING" in text]
    code = (
        f"{example}\nimport logging.config\nlogging.config.dictConfig(LOGGING)\n"
        "logging.getLogger('bff_sessions.logout').info('done')\n"
        "logging.getLogger('django.security.SuspiciousSession').warning('refused')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = run.stderr.splitlines()
    assert first.endswith(" INFO bff_sessions.logout done")
    assert second.endswith(" WARNING django.security.SuspiciousSession refused")


def test_settings_of_a_deployment_satisfy_the_checks(settings):
    for name, value in run_example("deploy", "__Host-").items():
        if name.isupper():
            setattr(settings, name, value)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    found = run_checks(include_deployment_checks=True)
    assert [message for message in found if message.id.startswith("bff_sessions.")] == []


@pytest.mark.django_db
def test_health_check_of_a_deployment_reads_no_session(rf, django_assert_num_queries):
    health = run_example("deploy", "def health")["health"]
    with django_assert_num_queries(0):
        assert health(rf.get("/")).content == b"ok"
    assert health.login_required is False


@pytest.mark.django_db
def test_scheduled_commands_take_their_options():
    calls = set(re.findall(r'call_command\("(\w+)", max_seconds=(\d+)', page("schedule")))
    assert {name for name, _ in calls} == {"cleanup_sessions", "revoke_tokens"}
    for name, seconds in calls:
        call_command(name, max_seconds=float(seconds), verbosity=0)
    for line in re.findall(r"/manage\.py (.+)$", page("schedule"), re.MULTILINE):
        call_command(*line.split())


@pytest.fixture
def backlog(db):
    """Two sessions that should have been deleted, and a token that has waited for an hour."""
    now = datetime.now(UTC)
    for hours in (3, 5):
        get_store().create_user_session(make_session(expires=now - timedelta(hours=hours)))
    TokenRevocation.objects.create(
        digest="d",
        issuer="https://idp.example",
        token=b"t",
        created=now - timedelta(hours=1),
        due=now,
    )


def test_figures_to_monitor_count_the_backlog(backlog):
    figures = run_example("monitor", "def session_figures")["session_figures"]()
    assert figures["expired_sessions"] == 2
    assert figures["waiting_tokens"] == 1
    assert 3600 <= figures["oldest_token_seconds"] < 7200


def test_statements_to_monitor_count_the_backlog(backlog):
    comments = {"postgresql": "PostgreSQL", "mysql": "MariaDB, MySQL"}
    statements = [
        (comment, " ".join(statement.split()))
        for block in examples("monitor", "sql")
        for comment, statement in re.findall(r"^-- (.+)$([^;]+);", block, re.MULTILINE)
    ]
    assert {comment for comment, _ in statements} == set(comments.values())
    tables = set(re.findall(r"FROM (bff_\w+)", str(statements)))
    assert tables == {Session._meta.db_table, TokenRevocation._meta.db_table}
    # SQLite has none of its own.
    own = [sql for comment, sql in statements if comment == comments.get(connection.vendor)]
    with connection.cursor() as cursor:
        for sql, number in zip(own, [2, 1] if own else [], strict=True):
            cursor.execute(sql)
            assert cursor.fetchone()[0] == number
