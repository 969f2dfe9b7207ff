#!/usr/bin/env bash
# The entrypoint of the stand-in for the official PostgreSQL image. It has the same variables, the same /docker-entrypoint-initdb.d
# and the same last log lines. Every test run waits for it, so it starts few programs.
set -Eeuo pipefail
shopt -s nullglob

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

die() {
    say "$*" >&2
    exit 1
}

# from_file NAME [DEFAULT]: print the value of NAME, else the content of the file that NAME_FILE names, else DEFAULT.
from_file() {
    local file="$1_FILE"
    if [[ -n ${!1:-} && -n ${!file:-} ]]; then die "both $1 and $file are set. Set only one of them"; fi
    if [[ -n ${!1:-} ]]; then printf '%s' "${!1}"; elif [[ -n ${!file:-} ]]; then cat -- "${!file}"; else printf '%s' "${2:-}"; fi
}

prepare_directories() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA" 2>/dev/null || true # a volume may belong to another user; then postgres prints the error
    chmod 3775 /var/run/postgresql 2>/dev/null || true
    [[ $EUID -ne 0 ]] || find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres:postgres {} +
}

check_settings() {
    [[ -n $password || ${POSTGRES_HOST_AUTH_METHOD:-} == trust ]] || die \
        "Database is uninitialized and superuser password is not specified. Set POSTGRES_PASSWORD to a non-empty value," \
        "or POSTGRES_HOST_AUTH_METHOD=trust to let everyone in without one."
}

make_cluster() {
    local arguments=()
    [[ -z $password ]] || arguments+=(--pwfile=/dev/fd/3)
    eval "arguments+=(${POSTGRES_INITDB_ARGS:-})"
    initdb --username="$user" "${arguments[@]}" 3<<<"$password"
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
}

# Polls every 10 ms. pg_ctl would poll every 100 ms, when it starts the server and again when it stops it.
start_temporary_server() {
    "$@" -c listen_addresses='' -p "${PGPORT:-5432}" &
    server=$!
    until is_ready; do
        kill -0 "$server" 2>/dev/null || die "the temporary server did not start. Its output is above"
        sleep 0.01
    done
}

# Reads the file that pg_ctl reads. An attempt to connect before the server is ready would leave an error in the log.
is_ready() {
    local line
    [[ -r $PGDATA/postmaster.pid ]] && mapfile -t line <"$PGDATA/postmaster.pid" && [[ ${line[7]:-} == ready* ]]
}

stop_temporary_server() {
    kill -INT "$server"
    wait "$server" || die "the temporary server did not stop cleanly. Its output is above"
}

# Like the official entrypoint: connect by the socket, even if PGHOST is set, and stop at the first error.
psql_in() { PGHOST='' PGHOSTADDR='' PGPASSWORD=$password psql -qX -v ON_ERROR_STOP=1 --no-password -U "$user" -d "$@"; }

# Init scripts that are sourced call it by this name.
docker_process_sql() { psql_in "$database" "$@"; }

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        say "running $file"
        case $file in
            *.sh) run_script "$file" ;;
            *.sql) docker_process_sql -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | docker_process_sql ;;
            *) say "ignoring it: not .sh, .sql or .sql.gz" ;;
        esac
    done
}

# A script that is not executable is sourced.
# shellcheck source=/dev/null
run_script() { if [[ -x $1 ]]; then "$1"; else . "$1"; fi; }

init() {
    user=$(from_file POSTGRES_USER postgres)
    password=$(from_file POSTGRES_PASSWORD)
    database=$(from_file POSTGRES_DB "$user")
    check_settings
    make_cluster
    # Init scripts use these variables, as they do with the official image.
    export POSTGRES_USER=$user POSTGRES_PASSWORD=$password POSTGRES_DB=$database PGPASSWORD=$password
    start_temporary_server "$@"
    [[ $database == postgres ]] || psql_in postgres -v name="$database" <<<'CREATE DATABASE :"name"'
    run_init_files
    stop_temporary_server
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

wants_help() {
    local argument
    for argument; do
        case $argument in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
    done
    return 1
}

[[ ${1:-} != -* ]] || set -- postgres "$@"
if [[ ${1:-} == postgres ]] && ! wants_help "$@"; then
    prepare_directories
    [[ $EUID -ne 0 ]] || exec gosu postgres "$0" "$@"
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
        init "$@"
    fi
fi
exec "$@"
