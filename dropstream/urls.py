"""Includes only."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from dropstream import operations
from dropstream.home import home
from dropstream.styleguide import styleguide

urlpatterns = [
    path("", home, name="home"),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.metrics_page, name="metrics"),
    path("", include("connections.urls")),
    path("people/", include("allauth.urls")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]

if settings.DEBUG:
    urlpatterns += [path("styleguide/", styleguide)]
