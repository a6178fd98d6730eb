from django.apps import AppConfig


class ConnectionsConfig(AppConfig):
    """A connection and all that flows through it."""

    name = "connections"
