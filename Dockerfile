FROM python:3.13-slim AS packages
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STATIC_ROOT=/app/static_collected
RUN useradd --system --uid 10001 --no-create-home dropstream
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY manage.py .
COPY dropstream dropstream
COPY stores stores
COPY connections connections
COPY inventory_planner inventory_planner
COPY templates templates
COPY static static
# Values for this one command; the real ones come at start.
RUN SECRET_KEY=build SEALING_KEYS=build REDIS_URL=redis://build/0 \
    DATABASE_URL=postgresql://build@build/build \
    python manage.py collectstatic --noinput -v 0
USER 10001
EXPOSE 8000
CMD ["gunicorn", "dropstream.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
