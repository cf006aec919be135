# Saves the database, then the files of runs, into $BACKUP: so every file that the saved database names is there. Files
# of runs do not change, so that only new ones are copied; those that were deleted since are kept.
set -eu
umask 077
now=$(date -u +%Y-%m-%dT%H%M%SZ)
mkdir -p "$BACKUP/database"
cd "$BACKUP/database"
find . -name '*.part' -mtime +0 -delete # of dumps that were broken off
pg_dump --format=custom --file="$now.part"
mv "$now.part" "$now.dump"
sha256sum "$now.dump" > "$now.sha256"
if [ -d "$ARTIFACTS" ]; then
    mkdir -p "$BACKUP/artifacts"
    # A copy that was broken off is newer than its source, so that it would stay: one that is whole has the same time.
    (cd "$BACKUP/artifacts" && find . -type f) | while IFS= read -r name; do
        if [ -e "$ARTIFACTS/$name" ] && [ "$BACKUP/artifacts/$name" -nt "$ARTIFACTS/$name" ]; then
            rm "$BACKUP/artifacts/$name"
        fi
    done
    cp --recursive --update --preserve=timestamps "$ARTIFACTS/." "$BACKUP/artifacts/"
fi
ls -r ./*.dump | tail -n +"$((KEPT + 1))" | while read -r old; do rm -f "$old" "${old%.dump}.sha256"; done
echo "Saved as $now: $(du -sh "$BACKUP" | cut -f1) in all, $(ls ./*.dump | wc -l) databases."
