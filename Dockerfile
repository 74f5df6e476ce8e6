# One image for all our parts: the edge with its containers, the load generator, the dashboard.

ARG PYTHON_IMAGE=python:3.13.7-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# The dependencies alone: a change of our code does not install them again.
RUN python -m venv --without-pip /opt/venv \
 && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt -r requirements.txt
COPY target_app app/target_app
COPY flash app/flash
COPY loadgen app/loadgen
COPY dashboard app/dashboard
COPY stack/health.py app/stack/health.py
# Nothing can be written where it runs. Copied files have other times than these were compiled from.
RUN python -m compileall -q --invalidation-mode unchecked-hash app

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /build/app /app
# New volumes take over the owner of what they cover.
RUN mkdir -m 0750 /data /token && chown 10001:10001 /data /token
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "target_app"]
