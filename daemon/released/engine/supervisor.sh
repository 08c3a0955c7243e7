# The release container's supervisor: POSIX sh, so that dash and busybox run it.
# Arguments: a nonce, then one shell line for each release command, from 0 on.
#
# It runs line i only after it has read "go i" from standard input, so that the
# daemon can record the start first, and opening a gate twice runs nothing twice.
# It stops at the first line that fails and exits with that line's status.

nonce=$1
shift
index=0
signalled=

# To both streams: each must tell by itself where a command's output ends.
mark() {
    printf '\036%s %s\n' "$nonce" "$1"
    printf '\036%s %s\n' "$nonce" "$1" >&2
}

# A stale or repeated gate is not the one waited for; a closed stdin never opens.
await_gate() {
    gate=
    until [ "$gate" = "go $index" ]; do
        read -r gate || [ -n "$signalled" ] || exit 1
        signalled=
    done
}

# A signal ends `wait` early: wait again. 127 says that there is nothing left to
# wait for, because the first status was the command's own.
await_command() {
    wait "$command"
    status=$?
    while [ -n "$signalled" ]; do
        signalled=
        wait "$command" 2>/dev/null
        again=$?
        [ "$again" -eq 127 ] || status=$again
    done
}

# Every other process in the container; this one lives on to report the status.
trap 'signalled=1; kill -TERM -1 2>/dev/null' TERM

mark ready
for line in "$@"; do
    await_gate
    mark "start $index"
    # In the background, since a shell defers its traps while it waits for a
    # foreground command. The nonce stays out of the command's environment.
    /bin/sh -c "$line" </dev/null &
    command=$!
    await_command
    mark "exit $index $status"
    [ "$status" -eq 0 ] || exit "$status"
    index=$((index + 1))
done
