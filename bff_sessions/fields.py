"""Columns that every database compares and returns in the same way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact, In
from django.db.models.sql.compiler import SQLCompiler

from bff_sessions.contract import can_be_kept


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """Text that equals itself only, on every database.

    The default collations of MySQL and MariaDB take 'Alice' for 'alice' and 'a' for 'a '.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            # NO PAD: trailing blanks count. Each has its own name for it.
            mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]
            parameters["collation"] = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
        return parameters

    def get_prep_value(self, value: Any) -> Any:
        # Every request comes by with plain text, which needs no conversion.
        return value if type(value) is str else super().get_prep_value(value)


@ExactCharField.register_lookup
class ExactText(Exact):
    """Finds nothing for text that no row can have, where a driver would raise an error."""

    def process_rhs(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(self.rhs, str) and not can_be_kept(self.rhs):
            raise EmptyResultSet
        return super().process_rhs(compiler, connection)


@ExactCharField.register_lookup
class ExactTexts(In):
    """Leaves out texts that no row can have, see ExactText."""

    def get_prep_lookup(self) -> Any:
        if self.rhs_is_direct_value():
            self.rhs = [text for text in self.rhs if not isinstance(text, str) or can_be_kept(text)]
        return super().get_prep_lookup()


class UTCDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """An aware moment in UTC for Python, whatever USE_TZ says and whatever the database keeps.

    A database without time zones keeps UTC, so that no hour of its own comes twice.
    """

    def get_internal_type(self) -> str:
        # Under the name of Django's field each database has conversions, which depend on
        # settings, on the way out; from_db_value() needs none of them.
        return "UTCDateTimeField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return models.DateTimeField().db_type(connection)

    def get_prep_value(self, value: Any) -> Any:
        # Not DateTimeField's: that one would warn of what it takes for a naive datetime.
        return models.Field.get_prep_value(self, value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        if not isinstance(value, datetime):
            return super().get_db_prep_value(value, connection, prepared)
        value = value.astimezone(UTC)
        if not connection.features.supports_timezones:
            value = value.replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(value)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if value is None or value.tzinfo is UTC:
            return value
        if value.tzinfo is not None:
            return value.astimezone(UTC)
        if connection.features.supports_timezones:
            # Django cuts the time zone of its connection off.
            return value.replace(tzinfo=ZoneInfo(connection.timezone_name)).astimezone(UTC)
        return value.replace(tzinfo=UTC)
