#!/bin/sh
# Once, when the database is made: the login that Signalbox works by. It owns nothing; migrating lets it be the
# application's role, and it is nothing more.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$SIGNALBOX_DATABASE_PASSWORD" -U "$POSTGRES_USER" -d signalbox <<'SQL'
CREATE ROLE signalbox LOGIN PASSWORD :'password';
SQL
