# Brings back the database that $DUMP names, or else the newest, and the files of runs. MLflow must be stopped.
set -eu
cd "$BACKUP/database"
dump=${DUMP:-$(ls -r ./*.dump | head -n 1)}
dump=$(basename "$dump" .dump)
sha256sum --check --quiet "$dump.sha256" || {
    echo "$dump.dump is not what was saved: its sha256 differs. Name another one in DUMP: $(ls ./*.dump | tr '\n' ' ')" >&2
    exit 65
}
others=$(psql --no-align --tuples-only --command="SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
if [ "$others" != 0 ]; then
    echo "$others clients use the database. Stop MLflow first: kubectl scale deployment/mlflow --replicas=0" >&2
    exit 75
fi
pg_restore --clean --if-exists --exit-on-error --single-transaction --no-owner --dbname="$PGDATABASE" "$dump.dump"
if [ -d "$ARTIFACTS" ]; then
    cp --recursive --preserve=timestamps "$BACKUP/artifacts/." "$ARTIFACTS/"
fi
echo "Restored $dump. Start MLflow again: kubectl scale deployment/mlflow --replicas=1"
