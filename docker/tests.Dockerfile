# The suite in a container; docker-compose.test.yml builds and runs it.

# What tools are configured to do has no part in the dependencies, and changes more often.
FROM python:3.13-slim AS dependencies
COPY pyproject.toml ./
RUN sed -i '/^\[tool\./,$d' pyproject.toml

FROM python:3.13-slim

ENV HOME=/home/tests PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --home-dir "$HOME" tests && install -d -o tests -g tests /suite
WORKDIR /suite

# The slim image comes without bytecode of the standard library: each process of each run would compile what it imports of it.
RUN python -m compileall -q -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# Dependencies are a layer of their own, which nothing but a change of them makes again.
COPY --from=dependencies pyproject.toml ./
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
        print(*p["build-system"]["requires"], *p["project"]["dependencies"], sep="\n")' >/tmp/requirements.txt \
    && pip install -r /tmp/requirements.txt --group tests

COPY --chown=tests:tests . ./
RUN pip install --no-deps --no-build-isolation .

ENTRYPOINT ["/suite/docker/tests-entrypoint.sh"]
# `docker stop` is then what Ctrl-C in a terminal is: at SIGINT pytest tears down (at SIGTERM Python just ends), and docker-init
# sends it to xdist's workers too, for which pytest would otherwise wait until execnet ends them, after 5 s.
STOPSIGNAL SIGINT
ENV TINI_KILL_PROCESS_GROUP=1
