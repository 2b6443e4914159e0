"""Sessions of one month, which the database itself inserts."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection

from benchmarks.rows import without_indexes
from bff_sessions.models import Session

__all__ = ["ISSUER", "RARE", "add_sessions"]

ISSUER = "https://idp{}.example/realms/customers"
RARE = "wiki"
_DAYS = 30
_BATCH = 50_000
_USERS = 100_000

# n is the number of the row from 0 on, oldest first. Salts make the columns independent.
_ANONYMOUS = "n % 10 = 7"
_LOCAL = "n % 20 = 3"
_COLUMNS = {
    "key": "CONCAT(MD5(CONCAT('a', n)), MD5(CONCAT('b', n)))",
    # A partition with few old sessions, which is the hardest to find.
    "partition": (
        f"CASE WHEN n % 97 = 0 AND n < {{rows}} / 100 THEN '{RARE}'"
        " WHEN n % 10 < 6 THEN 'shop' WHEN n % 10 < 9 THEN 'portal' ELSE 'back-office' END"
    ),
    "issuer": (
        f"CASE WHEN {_ANONYMOUS} OR {_LOCAL} THEN NULL"
        f" ELSE CONCAT('https://idp', n % 3, '.example/realms/customers') END"
    ),
    "subject_id": (
        f"CASE WHEN {_ANONYMOUS} THEN NULL WHEN {_LOCAL} THEN CONCAT(n * 1013 % {{users}} + 1, '')"
        " ELSE MD5(CONCAT('subject', n * 1013 % {subjects})) END"
    ),
    "session_id": f"CASE WHEN {_ANONYMOUS} THEN NULL ELSE MD5(CONCAT('sid', n)) END",
    "user_id": f"CASE WHEN {_ANONYMOUS} THEN NULL ELSE CONCAT(n * 1013 % {{users}} + 1, '') END",
    "sign_in_id": "MD5(CONCAT('sign-in', n))",
    "created": "{begin}",
    "renewed": "{begin}",
    # One session in a thousand never expires.
    "expires": "CASE WHEN n % 1000 = 0 THEN NULL ELSE {end} END",
    "ticket": "{ticket}",
    "version": "1",
}
# Age in seconds: spread evenly, then denser in daytime and in the middle of the week.
_EVENLY = f"({{rows}} - n) * {_DAYS * 86_400.0} / {{rows}}"
_AGE = f"({_EVENLY} + 6900 * SIN({_EVENLY} / 13751) + 38500 * SIN({_EVENLY} / 96257))"
# Two weeks from a renewal, which is up to three weeks after the sign-in.
_KEPT = "(1209600 + n * 1013 % 1814400)"
_DIALECTS = {
    "postgresql": {
        "numbers": "generate_series({first}::bigint, {last}) AS n",
        "begin": f"now() - {_AGE} * interval '1 second'",
        "end": f"date_trunc('minute', now() - ({_AGE} - {_KEPT}) * interval '1 second')",
        "ticket": "decode(repeat(MD5(CONCAT('t', n)), {ticket}), 'hex')",
    },
    "mysql": {
        "numbers": "(SELECT seq AS n FROM seq_{first}_to_{last}) numbers",
        "begin": f"utc_timestamp(6) - INTERVAL {_AGE} SECOND",
        "end": f"utc_timestamp() - INTERVAL ({_AGE} - {_KEPT}) DIV 60 MINUTE",
        "ticket": "UNHEX(REPEAT(MD5(CONCAT('t', n)), {ticket}))",
    },
}


def add_sessions(rows: int, ticket: int) -> None:
    """Fill the tables of an empty database, and update its statistics.

    Args:
        ticket: the size of a ticket in bytes.
    """
    User.objects.bulk_create(
        [User(pk=pk, username=f"user-{pk}", password="!") for pk in range(1, _USERS + 1)],
        batch_size=5_000,
    )
    dialect = _DIALECTS[connection.vendor]
    columns = ", ".join(map(connection.ops.quote_name, _COLUMNS))
    # Five sessions of a subject and ten of a user, at least.
    subjects = max(2 * _USERS, rows // 5)
    texts = {"rows": rows, "subjects": subjects, "users": subjects // 2, "ticket": ticket // 16}
    dated = {name: dialect[name].format(**texts) for name in ("begin", "end", "ticket")}
    values = ", ".join(_COLUMNS.values()).format(**texts | dated)
    table = connection.ops.quote_name(Session._meta.db_table)
    with without_indexes(Session):
        for first in range(0, rows, _BATCH):
            numbers = dialect["numbers"].format(first=first, last=min(first + _BATCH, rows) - 1)
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {numbers}")
    with connection.cursor() as cursor:
        statement = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE"}
        cursor.execute(f"{statement[connection.vendor]} {table}")
