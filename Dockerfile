# The federator as a small image that runs as an ordinary user.
# Build: docker build -t federator .    Run: see docs/quickstart.md, "In a container".
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY federator federator
RUN python -m venv /opt/federator \
 && /opt/federator/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/federator --create-home federator
COPY --from=build /opt/federator /opt/federator
ENV PATH=/opt/federator/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/opt/federator-compiled
RUN install -d -o 10001 /opt/federator-compiled
USER 10001
WORKDIR /var/lib/federator
# The planner's loops, compiled once for the processors that the image is for.
RUN ["python", "-m", "federator.engine.warm"]
VOLUME /var/lib/federator
EXPOSE 8642
# /readyz needs no token; in a container the daemon listens where its configuration says.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD \
  ["python", "-c", "import os, urllib.request as u; u.urlopen(os.environ.get('FEDERATOR_HEALTH_URL', 'http://127.0.0.1:8642/readyz'), timeout=4)"]
ENTRYPOINT ["federator"]
CMD ["run", "--config", "/etc/federator/config.yaml"]
