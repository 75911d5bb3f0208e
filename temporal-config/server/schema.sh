#!/bin/sh
# Makes Temporal's two databases and brings their schemas up to what this version of temporal-sql-tool carries.
# Safe to repeat; run it before a new version of the server starts.
#
# Needs POSTGRES_HOST, POSTGRES_USER, POSTGRES_PWD; optional POSTGRES_PORT, POSTGRES_CA.
set -eu

: "${POSTGRES_HOST:?the database server}" "${POSTGRES_USER:?a login that may make databases}" "${POSTGRES_PWD:?its password}"
export SQL_PLUGIN=postgres12_pgx SQL_HOST="$POSTGRES_HOST" SQL_PORT="${POSTGRES_PORT:-5432}"
export SQL_USER="$POSTGRES_USER" SQL_PASSWORD="$POSTGRES_PWD"
if [ -n "${POSTGRES_CA:-}" ]; then
  export SQL_TLS=true SQL_TLS_CA_FILE="$POSTGRES_CA" SQL_TLS_SERVER_NAME="$POSTGRES_HOST"
fi

for database in temporal temporal_visibility; do
  schema=${database#temporal_}
  # One that is there already is no error.
  temporal-sql-tool --database "$database" create-database --defaultdb postgres
  # Lays the tables of versions only where there are none.
  temporal-sql-tool --database "$database" setup-schema --version 0.0
  temporal-sql-tool --database "$database" update-schema --schema-name "postgresql/v12/$schema"
done
