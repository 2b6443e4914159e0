"""The history, which tests switch on by the fixtures `history` and `installed_history`."""

from bff_sessions.history.apps import HistoryConfig


class QuietHistoryConfig(HistoryConfig):
    """The app with its table, which the package takes for a missing one."""

    def ready(self):
        from bff_sessions.history import reading

        reading.APP = "tests.no_history"
