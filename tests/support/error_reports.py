"""What error reports show of an exception, and secrets that are easy to recognize in them."""

import base64
import html
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from unittest import mock
from urllib.parse import quote

import django
import sentry_sdk
import sentry_sdk.serializer
from django.core import mail
from django.core.signals import got_request_exception
from django.test import override_settings
from django.utils.log import AdminEmailHandler
from django.views.debug import ExceptionReporter
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

__all__ = ["Reports", "Seeds", "collected"]

# Parts of a secret that are looked for: reports wrap and cut longer ones.
_CHARACTERS, _BYTES = 16, 8
# In all texts that are made here, so that a look at a report without them is a short one.
_MARK = "5eedf00d5eedf00d"


class Seeds:
    """Secrets, each with what it is, that no report may show in any encoding."""

    def __init__(self):
        self._made, self._added = {}, {}
        self._mark = _forms(_MARK.encode())

    def make(self, name):
        """Return a new secret text."""
        core = token_hex(_CHARACTERS // 2)
        self._made[name] = self._made.get(name, set()) | _forms(core.encode())
        return f"seeded {name}: {_MARK}{core}"

    def add(self, name, secret):
        """Look for a secret that was made elsewhere."""
        size = _CHARACTERS if isinstance(secret, str) else _BYTES
        value = secret.encode() if isinstance(secret, str) else bytes(secret)
        assert len(value) >= 2 * size, name
        parts = (value[:size], value[size : 2 * size])
        self._added[name] = self._added.get(name, set()).union(*map(_forms, parts))

    def found_in(self, text):
        """Return the names of the secrets that `text` shows."""
        secrets = self._added
        if any(mark in text for mark in self._mark):
            secrets = secrets | self._made
        return {name for name, parts in secrets.items() if any(part in text for part in parts)}


def _forms(part):
    forms = {part.hex(), part.hex().upper(), repr(part)[2:-1], quote(part)}
    forms.add(part.decode("latin-1"))
    # Where it may begin in groups of three bytes, without what depends on its neighbours.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + part).decode()
        inner = encoded[-(-offset * 8 // 6) : (offset + len(part)) * 8 // 6]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms


class _Capture(Transport):
    def __init__(self):
        super().__init__()
        self.events = []

    def capture_envelope(self, envelope):
        self.events += [item.payload.json for item in envelope.items if item.payload.json]


@contextmanager
def sentry():
    """Let Sentry record what it would send; the most that it can show of it."""
    transport = _Capture()
    with ExitStack() as stack:
        for limit in ("MAX_DATABAG_DEPTH", "MAX_DATABAG_BREADTH"):
            stack.enter_context(mock.patch.object(sentry_sdk.serializer, limit, 100))
        sentry_sdk.init(
            dsn="https://public@sentry.invalid/1",
            transport=transport,
            include_local_variables=True,
            max_value_length=1_000_000,
            max_request_body_size="always",
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[DjangoIntegration(), LoggingIntegration()],
        )
        try:
            yield transport
        finally:
            sentry_sdk.get_global_scope().set_client(None)


# Django 6.0 wants addresses, and those before pairs.
_ADMINS = ["admin@site.example"]
if django.VERSION < (6,):
    _ADMINS = [("Admin", address) for address in _ADMINS]


class _Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record):
        # Django's debug log of statements shows their parameters, as SECURITY.md says.
        if record.name != "django.db.backends":
            self.lines += [self.format(record), repr(record.args)]


class Reports:
    """What reports show of one call after the other.

    Django and Sentry need long to make theirs. So they make them once for each traceback that a
    report can show, and what is in its variables is looked at each time.
    """

    def __init__(self):
        self._seen = set()

    def of(self, prepare, *, debug):
        """Call what `prepare` returns; return what is shown, by the name of the report.

        Args:
            prepare: returns a context with the fault, and a function that takes a stream.
        """
        reports, errors = _attempt(*prepare())
        shape = {tuple(_lines(error)) for error in errors}
        if not shape <= self._seen:
            self._seen |= shape
            with sentry() as transport, _mail_to_admins(), override_settings(DEBUG=debug):
                more, _errors = _attempt(*prepare(), transport)
            reports |= {f"full {name}": text for name, text in more.items()}
        return {name: _plain(text) for name, text in reports.items()}, errors


def _attempt(context, action, transport=None):
    records, errors, output = _Records(), [], io.StringIO()

    def note(**kwargs):
        errors.append(sys.exception())

    logger = logging.getLogger()
    level = logger.level
    mail.outbox.clear()
    got_request_exception.connect(note)
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    reports = {}
    try:
        with context, sentry_sdk.isolation_scope():
            try:
                reports["answer"] = _content(action(output))
            except Exception as error:
                errors.append(error)
                if transport is not None:
                    sentry_sdk.capture_exception(error)
                    reports |= _of_django(error)
    finally:
        logger.setLevel(level)
        logger.removeHandler(records)
        got_request_exception.disconnect(note)
    reports["traceback"] = "".join(line for e in errors for line in traceback.format_exception(e))
    reports["variables"] = "\n".join(text for error in errors for text in _variables(error))
    reports["log"] = "\n".join(records.lines)
    reports["output"] = output.getvalue()
    if transport is not None:
        reports["mail"] = "\n".join(_mails())
        reports["sentry"] = "\n".join(_texts(transport.events))
    return reports, errors


def collected(reports, seeds):
    """Return the secrets that the reports show, each with the name of the report."""
    return {f"{s} in {name}" for name, text in reports.items() for s in seeds.found_in(text)}


@contextmanager
def _mail_to_admins():
    handler = AdminEmailHandler(include_html=True)
    handler.setLevel(logging.ERROR)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        with override_settings(ADMINS=_ADMINS), warnings.catch_warnings():
            # Django 6.1 wants MAILERS, which earlier releases do not know.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            yield
    finally:
        logger.removeHandler(handler)


def _mails():
    for message in mail.outbox:
        yield from (message.subject, message.body)
        yield from (str(alternative[0]) for alternative in message.alternatives)


def _lines(error):
    """Yield which error it is, and each line of the tracebacks that a report can show."""
    for one in _chain(error):
        yield type(one)
        for frame, line in traceback.walk_tb(one.__traceback__):
            yield frame.f_code, line


def _chain(error):
    """Return `error` and all that led to it, also what ``from None`` has put aside."""
    found, waiting = [], [error]
    while waiting:
        current = waiting.pop()
        if current is not None and current not in found:
            found.append(current)
            waiting += [current.__cause__, current.__context__]
            waiting += getattr(current, "exceptions", ())
    return found


def _content(response):
    if not hasattr(response, "headers"):
        return str(response)
    # The one place where a token belongs: OpenID Connect RP-Initiated Logout 1.0, 2.
    headers = re.sub(r"id_token_hint=[^&']*", "", str(dict(response.headers)))
    return f"{headers} {response.content.decode()}"


def _of_django(error):
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    return {"html": reporter.get_traceback_html(), "text": reporter.get_traceback_text()}


def _plain(text):
    """Return the text without its markup, and without the wraps of pprint."""
    return re.sub(r"['\"]\s*\n\s*b?['\"]", "", html.unescape(html.unescape(text)))


def _texts(value):
    """Yield all texts in a JSON value."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)


def _variables(error):
    """Yield what a report can show of variables."""
    for one in _chain(error):
        yield f"{one!r} {one}"
        for frame, _ in traceback.walk_tb(one.__traceback__):
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_qualname}: {name} = {_walk(value)}"


def _walk(value, depth=6):
    if depth and isinstance(value, Mapping):
        value = [part for item in list(value.items()) for part in item]
    if depth and isinstance(value, (Sequence, Set)) and not isinstance(value, (str, bytes)):
        return "\n".join(_walk(one, depth - 1) for one in list(value)[:1000])
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception as error:
        return f"no repr: {type(error).__name__}"
