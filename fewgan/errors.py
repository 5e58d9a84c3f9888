"""The two errors that carry a message for the user."""

from __future__ import annotations


class FewganError(Exception):
    """Something failed. The message is one line for the user: what, where, what to do. Exit code 1."""


class UsageError(FewganError):
    """The request itself cannot be served; the message says what can. Exit code 2."""
