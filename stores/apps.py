from django.apps import AppConfig


class StoresConfig(AppConfig):
    """The ground: accounts, people, merchants, stores, warehouses, keys."""

    name = "stores"
