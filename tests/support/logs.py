"""What was logged."""

import logging


def errors(caplog):
    """Return what an operator may get a mail for: logger and text of each line."""
    return [
        (record.name, record.getMessage())
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]
