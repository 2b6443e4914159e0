"""What the server of the demo logs."""

import logging


class NoPolls(logging.Filter):
    """Drop successful polls of the single-page front end: an open page sends one every 3 s."""

    def filter(self, record):
        return not ("slide=false" in record.getMessage() and record.levelno < logging.WARNING)
