/**
 * What makes a sandbox from inside its namespaces, for sh. In files of their own they would have to be found beside the
 * compiled program; as text they are an argument.
 */

/** Folders of the set-up's own programs, which PATH may lack. */
const programs = 'theirs=$PATH\nPATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin';

/** When memory ends, the system ends a build, and not Signalbox. */
export const endsFirst = 'echo 1000 >/proc/self/oom_score_adj 2>/dev/null || :; exec "$@"';

/**
 * As root of a mount and a process namespace: makes the view, moves into it, and runs the command with all else unmounted.
 * Stays as its first process: when it ends, all others do.
 * Arguments: an empty folder; the table of mounts; files and links to make, as lines; where to run; the command.
 * Ends with 75 when it could not be made: that says nothing about the command.
 */
export const enterAsRoot = `set -eu
${programs}
root=$1 table=$2 files=$3 links=$4 cwd=$5
shift 5
trap 'echo "the sandbox could not be made" >&2; exit 75' EXIT
umask 022
mount -n -t tmpfs -o size=8m,mode=755 tmpfs "$root"
mkdir "$root/.old" "$root/dev"
printf '%s\\n' "$files" | while IFS= read -r file; do
  mkdir -p "$root\${file%/*}"
  : >"$root$file"
done
printf '%s\\n' "$links" | while IFS=' ' read -r link to; do
  ln -s "$to" "$root$link"
done
printf '%s\\n' "$table" >"$root/.table"
mount -n -a -T "$root/.table"
rm "$root/.table"
echo 1000 >/proc/self/oom_score_adj || :
ip link set lo up 2>/dev/null || :
cd "$root"
pivot_root . .old
umount -n -l /.old
rmdir /.old
mount -n -o remount,bind,ro /
cd "$cwd"
PATH=$theirs
trap - EXIT
set +e
"$@"
exit $?
`;

/**
 * As root of a mount namespace: covers the state directory by an empty folder in which only what the target itself has there
 * is to be found, and what else holds secrets by an empty file or folder, and becomes the command.
 * Arguments: the state directory; where to run; folders that stay and files to cover, as lines; the command.
 */
export const hideFromHooks = `set -eu
${programs}
state=$1 cwd=$2 own=$3 keys=$4
shift 4
trap 'echo "the state directory could not be hidden from the command" >&2; exit 75' EXIT
cover=$state/work
mount -n -t tmpfs -o size=1m,mode=755 tmpfs "$cover"
if [ -n "$own" ]; then
  printf '%s\\n' "$own" | while IFS= read -r path; do
    if [ -d "$path" ]; then
      mkdir -p "$cover\${path#"$state"}"
    else
      mkdir -p "$cover$(dirname "\${path#"$state"}")"
      : >"$cover\${path#"$state"}"
    fi
    mount -n --rbind "$path" "$cover\${path#"$state"}"
  done
fi
if [ -n "$keys" ]; then
  printf '%s\\n' "$keys" | while IFS= read -r path; do
    if [ -d "$path" ]; then
      mount -n -t tmpfs -o ro,size=64k,mode=555 tmpfs "$path"
    else
      mount -n --bind /dev/null "$path"
    fi
  done
fi
mount -n --move "$cover" "$state"
mount -n -o remount,bind,ro "$state"
cd "$cwd"
PATH=$theirs
trap - EXIT
exec "$@"
`;
