"""App configs of the roof."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class DropstreamConfig(AppConfig):
    """Makes the Celery application the current one in every process."""

    name = "dropstream"

    def ready(self) -> None:
        from dropstream import celery, checks  # noqa: F401  imported for their effect


class AdminConfig(DjangoAdminConfig):
    """The onboarding team's admin is the default site."""

    default_site = "dropstream.admin_site.OnboardingAdminSite"
