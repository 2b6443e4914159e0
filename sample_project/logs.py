"""What the server of the demo logs."""

import logging


class NoPolls(logging.Filter):
    """Drop successful requests of open pages, which a page repeats by itself."""

    def filter(self, record):
        is_poll = any(text in record.getMessage() for text in ("slide=false", "/bff/events"))
        return not (is_poll and record.levelno < logging.WARNING)
