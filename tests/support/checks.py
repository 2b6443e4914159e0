"""What the system checks of this package report."""

from django.core.checks import ERROR, run_checks


def messages(*, deploy=False):
    """What the checks of this package say."""
    found = run_checks(include_deployment_checks=deploy)
    return [message for message in found if message.id.startswith("bff_sessions.")]


def only_message(id, *, deploy=False):
    """The one message there is; it has `id` and a hint."""
    (message,) = messages(deploy=deploy)
    assert message.id == f"bff_sessions.{id}"
    assert message.msg.endswith(".")
    assert message.hint
    assert message.is_serious(ERROR) == id.startswith("E")
    return message
