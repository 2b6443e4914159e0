"""End the sessions of Django's users who become inactive, are deleted or change the password.

The loaded password of a user is remembered, so that a save is compared without a statement. A save
of a user who is not active ends the sessions without a comparison. What a signal does not announce
is up to `bff_sessions.revocation.revoke_user_sessions()`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import get_hasher, identify_hasher, is_password_usable
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_init, post_save, pre_save

from bff_sessions import conf
from bff_sessions.conf.settings import DEACTIVATED, DELETED, PASSWORD_CHANGED
from bff_sessions.contract import Actor, EndReason
from bff_sessions.engine import SessionStore
from bff_sessions.engine.moves import can_follow
from bff_sessions.events import current_request
from bff_sessions.revocation import revoke_sessions
from bff_sessions.revocation.users import sessions_of_user
from bff_sessions.secret import hidden_frames

logger = logging.getLogger("bff_sessions.revocation")

_FIELDS: Final = ("is_active", "password")
# The attribute of a user that has the values in the database, as far as they are known.
_LOADED: Final = "_bff_sessions_loaded"
# The attribute of a user that has, during a save, what the save replaces.
_REPLACED: Final = "_bff_sessions_replaced"


def connect() -> None:
    """Watch the user model, and the models with which it shares rows.

    Each by its name: a receiver for all models would make every bulk delete of the project slow.
    """
    receivers = {
        post_init: _remember,
        pre_save: _prepare,
        post_save: _saved,
        post_delete: _deleted,
    }
    for model in _models():
        for signal, receiver in receivers.items():
            uid = f"bff_sessions.users.{receiver.__name__}"
            signal.connect(receiver, sender=model, dispatch_uid=uid)


def _models() -> Iterator[type[Model]]:
    try:
        users = get_user_model()
    except ImproperlyConfigured:
        return  # Without django.contrib.auth, for example.
    parents = users._meta.all_parents
    for model in apps.get_models():
        # Proxies and children save the same row, and so does a model that the user extends.
        if issubclass(model, users) or model in parents:
            yield model


def _remember(*, instance: Any, **kwargs: Any) -> None:
    # Without getattr(), which would load a deferred field.
    values = instance.__dict__
    values[_LOADED] = {name: values[name] for name in _FIELDS if name in values}


@hidden_frames()
def _prepare(
    *, instance: Any, using: str, update_fields: Collection[str] | None = None, **kwargs: Any
) -> None:
    """Find out what the save replaces, as far as the instance may not know it."""
    values = instance.__dict__
    values[_REPLACED] = {}
    if instance._state.adding:
        values[_LOADED] = {}  # It was not loaded, and may replace a row all the same.
        return
    password, loaded = _saved_of(values, update_fields).get("password"), values.get(_LOADED, {})
    is_set = getattr(instance, "_password", None) is not None
    if "password" in loaded and password not in (None, loaded["password"]) and not is_set:
        # refresh_from_db() sends no signal, so the row may have this password already.
        rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
        with suppress(FieldError):  # The model may have removed the column.
            values[_REPLACED] = rows.values("password").first() or {}


def _saved_of(values: dict[str, Any], update_fields: Collection[str] | None) -> dict[str, Any]:
    """Return those of `values` that a save writes."""
    saved = _FIELDS if update_fields is None else set(_FIELDS).intersection(update_fields)
    return {name: values[name] for name in saved if name in values}


def _saved(
    *,
    instance: Any,
    created: bool,
    using: str,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    values = instance.__dict__
    loaded = values.get(_LOADED, {})
    before = loaded | values.pop(_REPLACED, {})
    saved = _saved_of(values, update_fields)
    now = loaded | saved
    if now != loaded:
        # Not before the commit: after a rollback, the next save changes the row again.
        transaction.on_commit(lambda: values.update({_LOADED: now}), using=using)
    if created:
        return
    wanted = conf.END_WITH_USER
    # Without a comparison: another process may have activated the user since the instance was
    # loaded, and refresh_from_db() sends no signal.
    is_deactivated = not saved.get("is_active", True)
    # Without our middleware, it is not known which session changes the password. Then the others
    # end at their next request, as in Django.
    has_new_password = (
        "password" in saved and can_follow() and _changes_password(instance, before, update_fields)
    )
    if is_deactivated and DEACTIVATED in wanted:
        _end(instance, using, EndReason.USER_DEACTIVATED)
    elif has_new_password and PASSWORD_CHANGED in wanted:
        _end(instance, using, EndReason.SECURITY_EVENT)


def _deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    # The row of a child is deleted together with that of the user, which is announced, too.
    is_user = instance._meta.concrete_model is get_user_model()._meta.concrete_model
    if is_user and DELETED in conf.END_WITH_USER:
        _end(instance, using, EndReason.USER_DEACTIVATED)


def _changes_password(
    user: Any, before: dict[str, Any], update_fields: Collection[str] | None
) -> bool:
    """Return whether a save has changed the password, and not only how it is hashed."""
    after: str = user.password
    if after == before.get("password"):
        return False
    if getattr(user, "_password", None) is not None:  # set_password() was called.
        return True
    if "password" not in before:
        return False
    # check_password() stores a better hash of the same password in this way.
    is_alone = update_fields is not None and set(update_fields) == {"password"}
    was_weak = _is_weak(before["password"])
    is_upgrade = is_alone and was_weak and is_password_usable(after) and not _is_weak(after)
    return not is_upgrade


def _is_weak(encoded: str) -> bool:
    """Return whether Django would hash the password anew at the next sign-in."""
    preferred = get_hasher()
    try:
        hasher = identify_hasher(encoded)
        return hasher.algorithm != preferred.algorithm or bool(preferred.must_update(encoded))
    except Exception:  # Each hasher raises errors of its own at what it cannot read.
        return False  # No user can sign in with it.


def _end(user: Any, using: str, reason: EndReason) -> None:
    """End the sessions of `user` after the commit."""
    filter = sessions_of_user(user)  # Now: a deleted user loses the primary key.

    def end() -> None:
        session = _get_current()
        # The session that changes the password lives on. update_session_auth_hash() moves it to
        # another key, before or after the commit.
        is_spared = session is not None and reason is EndReason.SECURITY_EVENT
        key = session.store_key if session is not None and is_spared else None
        try:
            revoke_sessions(
                replace(filter, exclude_key=key), reason=reason, actor=_actor_of(session)
            )
        except Exception as error:
            # The user is saved. Only the class: the text may have a secret.
            logger.error(
                "The sessions of user %s may not have ended: %s. Call revoke_user_sessions().",
                filter.user_id,
                type(error).__name__,
            )

    transaction.on_commit(end, using=using)


def _get_current() -> SessionStore | None:
    """Return the session of the request that this code runs in; None if there is none."""
    session = getattr(current_request.get(), "session", None)
    return session if isinstance(session, SessionStore) else None


def _actor_of(session: SessionStore | None) -> Actor | None:
    if session is None or not session.is_loaded:  # Who acts is not worth a statement.
        return None
    current = session.get_user_session()
    return None if current is None else Actor.of_session(current)


def _reconnect(*, setting: str, **kwargs: Any) -> None:
    if setting == "AUTH_USER_MODEL":
        connect()


setting_changed.connect(_reconnect, dispatch_uid="bff_sessions.users")
