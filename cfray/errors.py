"""The one exception that means: what the user asked for cannot be done as asked."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in a configuration, a file or a place. Jobs print it as one line and exit with code 2."""
