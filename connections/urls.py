"""What staff and merchants see."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "connections"
urlpatterns: list[URLPattern] = []
