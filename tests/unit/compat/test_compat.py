"""Each use of private API: fails when the dependency changes, before a user finds out."""

import asyncio
import inspect
import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from unittest import mock

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.core.handlers.base import BaseHandler
from django.core.management.base import OutputWrapper
from django.db import connection, models, transaction
from django.db.models.signals import pre_delete
from django.db.models.sql import InsertQuery, Query, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpResponse
from django.test import RequestFactory

from bff_sessions._compat import statements
from bff_sessions._compat.asgiref import release_thread
from bff_sessions._compat.django_commands import stream_of
from bff_sessions._compat.django_db import (
    close_unusable_connection,
    commits_each_statement,
    delete_rows,
    in_atomic_block,
    is_in_transaction,
    name_of_database,
)
from bff_sessions._compat.django_log import log_as_info
from bff_sessions._compat.django_redis_cache import link_of
from bff_sessions.contract import UPDATED, UserSession
from bff_sessions.engine import SessionStore
from bff_sessions.models import Session
from bff_sessions.stores.orm.statements import CREATE, DELETE, DELETE_ROW, GET, update_statement
from bff_sessions.testing import make_session
from tests.support.factories import SessionFactory


def parameters(function):
    return list(inspect.signature(function).parameters)


def values_of(session):
    return {field.name: getattr(session, field.name) for field in fields(UserSession)}


@pytest.mark.django_db
def test_compiled_statements_do_what_plain_ones_do(monkeypatch):
    results = []
    session, new = make_session(), make_session(expires=None)
    for is_plain in (False, True):
        monkeypatch.setattr(statements, "IS_PLAIN", is_plain)
        steps = [CREATE.execute("default", **values_of(session))]
        row = GET.fetch("default", key=session.key)
        steps.append({name: bytes(v) if name == "ticket" else v for name, v in row.items()})
        written = {name: getattr(new, name) for name in UPDATED} | {"version": 2}
        at = {"key": session.key, "if_version": 1}
        unchanged = frozenset({"issuer", "expires"})
        steps.append(update_statement(unchanged).execute("default", **at, **written))
        steps.append(update_statement().execute("default", **at, **written))
        at["if_version"] = 2
        moved = written | {"new_key": new.key, "version": 3}
        steps.append(update_statement(move=True).execute("default", **at, **moved))
        left = GET.fetch("default", key=new.key)
        steps.append({name: bytes(v) if name == "ticket" else v for name, v in left.items()})
        steps += [DELETE.execute("default", key=key) for key in (session.key, new.key, "\0")]
        SessionFactory(key=session.key)
        number = Session.objects.get(key=session.key).pk
        steps += [DELETE_ROW.execute("default", id=number) for _ in "12"]
        steps.append(GET.fetch("default", key="\0"))
        results.append(steps)
    assert results[0] == results[1]
    expected = replace(new, key=new.key, version=3)
    assert results[0][5] == values_of(expected)


def test_compiler_of_django_is_as_it_was_read():
    assert parameters(Query.get_compiler)[:3] == ["self", "using", "connection"]
    assert parameters(Query.chain) == ["self", "klass"]
    assert parameters(SQLCompiler.get_converters) == ["self", "expressions"]
    assert parameters(InsertQuery.insert_values) == ["self", "fields", "objs", "raw"]
    assert parameters(UpdateQuery.add_update_values) == ["self", "values"]


@pytest.mark.django_db
def test_rows_are_deleted_in_one_statement_whoever_listens(django_assert_num_queries):
    SessionFactory.create_batch(3)

    def listen(**kwargs):
        raise AssertionError("No row is read to tell a receiver of it.")

    pre_delete.connect(listen)
    try:
        with django_assert_num_queries(1):
            assert delete_rows(Session.objects.all()) == 3
    finally:
        pre_delete.disconnect(listen)
    assert parameters(models.QuerySet._raw_delete) == ["self", "using"]


@pytest.mark.django_db
def test_transaction_of_a_test_case_is_not_the_callers():
    assert connection.in_atomic_block
    assert not is_in_transaction(connection)
    with transaction.atomic():
        assert is_in_transaction(connection)
        with pytest.raises(RuntimeError), transaction.atomic(durable=True):
            pass
    with transaction.atomic(durable=True):
        pass


@pytest.mark.django_db(transaction=True)
def test_connections_of_django_are_as_they_were_read():
    using = connection.alias
    assert name_of_database(connection) == connection.settings_dict["NAME"]
    assert not in_atomic_block(using)
    assert commits_each_statement(using)
    with transaction.atomic():
        assert in_atomic_block(using)
        assert not commits_each_statement(using)
    connection.ensure_connection()
    transaction.set_autocommit(False)
    try:
        assert not commits_each_statement(using)
    finally:
        transaction.set_autocommit(True)
    connection.errors_occurred = True
    close_unusable_connection(using)
    assert not connection.errors_occurred
    connection.close()
    # Without connecting.
    assert commits_each_statement(using)
    if connection.vendor != "sqlite":
        assert connection.connection is None


def test_output_of_commands_is_as_it_was_read():
    stream = io.StringIO()
    assert stream_of(OutputWrapper(stream)) is stream


def test_session_base_of_django_is_as_it_was_read():
    ours, theirs = set(vars(SessionStore)), set(dir(SessionBase))
    private = {name for name in ours & theirs if re.match("_[^_]", name)}
    assert private == {"_aget_session", "_get_session", "_session", "_session_key"}
    assert parameters(SessionBase._get_session) == ["self", "no_load"]
    assert parameters(SessionBase._aget_session) == ["self", "no_load"]
    # Attributes that it sets, and a property here.
    source = inspect.getsource(SessionBase)
    assert "self._session_key = session_key" in source
    assert "self._session_cache = " in source


@pytest.mark.database
@pytest.mark.skipif(connection.vendor != "postgresql", reason="about PostgreSQL")
def test_cursors_of_postgresql_are_as_they_were_read():
    from django.db.backends.postgresql import base

    assert base.is_psycopg3
    assert issubclass(base.ServerBindingCursor, base.CursorMixin)
    assert base.Format.BINARY == 1


# Among the tests of the servers, whose environment has the driver.
@pytest.mark.database
def test_redis_cache_of_django_is_as_it_was_read():
    redis = pytest.importorskip("redis")
    several = RedisCache("redis://127.0.0.1:1,redis://127.0.0.1:2", {})
    assert link_of(several) is None
    one = RedisCache("redis://127.0.0.1:1", {"OPTIONS": {"socket_timeout": 3}})
    link = link_of(one)
    assert type(one._cache) is RedisCacheClient
    assert one._cache._pool_class is redis.ConnectionPool is type(link._pool)
    assert one._cache.get_client().connection_pool.connection_kwargs["socket_timeout"] == 3
    assert link._pool.connection_kwargs["socket_timeout"] == 3
    assert link.setting({"name": 7}, 60) == [("SET", ":1:name", 7, "EX", 60)]
    with mock.patch.object(redis, "__version__", "5.3.1"):
        assert link_of(one) is None


def test_connections_of_redis_are_as_they_were_read():
    connection = pytest.importorskip("redis").Connection(host="127.0.0.1", port=1)
    assert "check_health" in parameters(connection.send_packed_command)
    assert parameters(connection.can_read)[0] == "timeout"


def test_other_caches_have_no_link():
    assert link_of(caches["default"]) is None


def test_thread_of_a_request_can_be_given_back():
    async def handle():
        async with ThreadSensitiveContext():
            first = await sync_to_async(threading.current_thread)()
            assert len(SyncToAsync.context_to_thread_executor) == 1
            release_thread()
            await asyncio.to_thread(first.join, 30)
            assert not first.is_alive()
            release_thread()
            second = await sync_to_async(threading.current_thread)()
            assert second not in (first, threading.current_thread())
        assert not second.is_alive()
        release_thread()

    asyncio.run(handle())


@pytest.mark.skipif(
    "executor" not in parameters(ThreadSensitiveContext), reason="asgiref takes no executor."
)
def test_thread_of_a_caller_is_left_alone():
    async def handle(executor):
        async with ThreadSensitiveContext(executor=executor):
            release_thread()
            return await sync_to_async(threading.current_thread)()

    with ThreadPoolExecutor(1) as executor:
        thread = executor.submit(threading.current_thread).result()
        assert asyncio.run(handle(executor)) is thread


def test_server_of_uvicorn_is_as_it_was_read():
    server = pytest.importorskip("uvicorn.server")
    assert "self.should_exit = True" in inspect.getsource(server.Server.handle_exit)
    assert "signal.signal(sig, self.handle_exit)" in inspect.getsource(server)


def test_worker_of_gunicorn_is_as_it_was_read():
    base = pytest.importorskip("gunicorn.workers.base")
    assert "self.alive = False" in inspect.getsource(base.Worker.handle_exit)
    assert "signal.signal(signal.SIGTERM, self.handle_exit)" in inspect.getsource(base.Worker)


@pytest.mark.parametrize("is_info", [False, True])
def test_response_is_logged_once_at_its_level(caplog, is_info):
    def view(request):
        response = HttpResponse(status=503)
        if is_info:
            log_as_info(request, response)
        return response

    caplog.set_level("INFO", "django.request")
    handler = BaseHandler()
    handler._middleware_chain = view
    handler.get_response(RequestFactory().get("/bff/events"))
    (record,) = caplog.records
    assert record.levelname == ("INFO" if is_info else "ERROR")
    assert record.getMessage() == "Service Unavailable: /bff/events"
