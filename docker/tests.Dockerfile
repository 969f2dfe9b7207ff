# The image of the suite; docker-compose.test.yml builds and runs it.

# Keep only the dependencies. The settings of tools change more often, and must not make Docker install everything again.
FROM python:3.13-slim AS dependencies
COPY pyproject.toml ./
RUN sed -i '/^\[tool\./,$d' pyproject.toml

FROM python:3.13-slim

ENV HOME=/home/tests PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --home-dir "$HOME" tests && install -d -o tests -g tests /suite
WORKDIR /suite

# The slim image has no bytecode of the standard library. Without this, every process would compile each module that it imports.
RUN python -m compileall -q -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# The dependencies have their own layer. Docker builds it again only if they change.
COPY --from=dependencies pyproject.toml ./
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
        print(*p["build-system"]["requires"], *p["project"]["dependencies"], sep="\n")' >/tmp/requirements.txt \
    && pip install -r /tmp/requirements.txt --group tests

COPY --chown=tests:tests . ./
RUN pip install --no-deps --no-build-isolation .

ENTRYPOINT ["/suite/docker/tests-entrypoint.sh"]
# `docker stop` sends SIGINT, as Ctrl-C does, and pytest tears down its fixtures. At SIGTERM, Python would end at once. docker-init
# passes the signal on to xdist's workers; otherwise pytest would wait 5 s until execnet ends them.
STOPSIGNAL SIGINT
ENV TINI_KILL_PROCESS_GROUP=1
