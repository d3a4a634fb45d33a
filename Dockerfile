# syntax=docker/dockerfile:1
# A plant in a container: `docker build -t tickplant .`; docs/how-to/containers.md says the rest.

FROM node:22-slim AS page
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY tools/charts tools/charts
COPY src/tickplant/gateway/web src/tickplant/gateway/web
# Without them the page shows its plain chart, and the image is built all the same.
RUN python3 tools/charts/build.py && mkdir -p src/tickplant/gateway/web/built

FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/tickplant \
    && /opt/tickplant/bin/pip install --no-cache-dir --no-deps --only-binary :all: -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY --from=page /build/src/tickplant/gateway/web/built src/tickplant/gateway/web/built
RUN /opt/tickplant/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/tickplant/bin/pip uninstall --yes pip

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin tickplant \
    && install --directory --owner tickplant --group tickplant --mode 0750 /data
COPY --from=build /opt/tickplant /opt/tickplant
ENV PATH=/opt/tickplant/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TICKPLANT_DATA=/data \
    TICKPLANT_SERVER_HOST=0.0.0.0
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Ready is asked by whoever sends traffic; this is whether the process and its disk are well.
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 CMD ["tickplant", "health"]
ENTRYPOINT ["tickplant"]
CMD ["serve", "--log-format", "json"]
