# The release container's supervisor: POSIX sh, so that dash and busybox run it.
# Arguments: a nonce, then one for each release command, from 0 on: `=` and its shell
# line; `-` and its shell line if it may fail; nothing if it is not to be run.
#
# It runs line i only after it has read "go i" from standard input, so that the
# daemon can record the start first, and opening a gate twice runs nothing twice.
# It stops at the first line that fails and may not, and exits with that line's status.
#
# A variable that came in from the environment is passed on with whatever is
# assigned to it here. Hence the long names: the application has none of them.

__releasephase_nonce=$1
shift
__releasephase_index=0
__releasephase_signalled=
__releasephase_stopped=
__releasephase_answers=0

# To both streams: each must tell by itself where a command's output ends.
mark() {
    printf '\036%s %s\n' "$__releasephase_nonce" "$1"
    printf '\036%s %s\n' "$__releasephase_nonce" "$1" >&2
}

# A stale or repeated gate is not the one waited for; a closed stdin never opens.
# Whoever was told to stop opens none any more.
await_gate() {
    __releasephase_gate=
    until [ "$__releasephase_gate" = "go $__releasephase_index" ]; do
        [ -z "$__releasephase_stopped" ] || exit 143
        read -r __releasephase_gate || [ -n "$__releasephase_signalled" ] || exit 1
        __releasephase_signalled=
    done
    [ -z "$__releasephase_stopped" ] || exit 143
}

# A signal ends `wait` early: wait again. 127 says that there is nothing left to
# wait for, because the first status was the command's own; unless that was 151,
# for URG, of which nobody dies: then it is. bash says -1 when it has lost the
# status of a command that ended together with the signal.
await_command() {
    wait "$__releasephase_command" 2>/dev/null
    __releasephase_status=$?
    while [ -n "$__releasephase_signalled" ]; do
        __releasephase_signalled=
        wait "$__releasephase_command" 2>/dev/null
        __releasephase_again=$?
        case $__releasephase_status,$__releasephase_again in
            151,127) __releasephase_status=127 ;;
            *,-1 | *,127) ;;
            *) __releasephase_status=$__releasephase_again ;;
        esac
    done
}

# Every other process in the container; this one lives on to report the status.
# Once: an entrypoint that is an init gets it too, and sends it back to us. Then
# nothing interrupts the second `wait`, either.
forward() {
    trap '' TERM
    __releasephase_signalled=1
    __releasephase_stopped=' stopped'
    kill -TERM -1 2>/dev/null
}
trap forward TERM

# A daemon that comes back asks where the streams are: the answer is the same place
# in the live streams and in the engine's log. URG, since who does not know it ignores it.
answer() {
    __releasephase_signalled=1
    mark "here $__releasephase_answers"
    __releasephase_answers=$((__releasephase_answers + 1))
}
trap answer URG

mark ready
for __releasephase_line in "$@"; do
    if [ -z "$__releasephase_line" ]; then
        __releasephase_index=$((__releasephase_index + 1))
        continue
    fi
    await_gate
    # Again, should somebody have sent it before: what is ignored here stays ignored in a command.
    trap forward TERM
    mark "start $__releasephase_index"
    # In the background, since a shell defers its traps while it waits for a
    # foreground command.
    /bin/sh -c "${__releasephase_line#?}" </dev/null &
    __releasephase_command=$!
    await_command
    mark "exit $__releasephase_index $__releasephase_status$__releasephase_stopped"
    if [ "$__releasephase_status" -ne 0 ]; then
        case $__releasephase_line in
            -*) [ -z "$__releasephase_stopped" ] || exit "$__releasephase_status" ;;
            *) exit "$__releasephase_status" ;;
        esac
    fi
    __releasephase_index=$((__releasephase_index + 1))
done
