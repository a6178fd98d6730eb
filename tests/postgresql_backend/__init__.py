"""Django's PostgreSQL backend with a flush that gets past the audit triggers."""
