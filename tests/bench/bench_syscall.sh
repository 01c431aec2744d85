#!/usr/bin/env bash
# What a system call pays for being counted or timed: CPU ns of a pread of one cached byte, in
# alternation with the same program unwatched, by perftop and by the tools that answer the same.
. "$(dirname "$0")/../lib/system.sh"
rounds=${ROUNDS:-5} calls=${CALLS:-200000}
mkfifo "$T/in"
exec 7<>"$T/in" # both ways: neither end waits for the other
: >"$T/calls.out"
"$BUILD/tests/targets/io_calls" "$T/file" <&7 >"$T/calls.out" &
target=$!
started+=("$target")

answered() { [ "$(wc -l <"$T/calls.out")" -gt "$1" ]; }
# ns a call, of $1 calls
cost() {
	local lines
	lines=$(wc -l <"$T/calls.out")
	echo "cost $1" >&7
	eventually 60 answered "$lines" || exit 1
	tail -1 "$T/calls.out" | cut -d= -f2
}
# Until the watcher is at work: it says so in its output, or its programs are attached.
ours() { # ours OPTIONS...
	start watcher "$PERFTOP" -p "$target" --json -d 200ms --no-offcpu --hz 0 "$@"
	watcher=$pid
	eventually 10 test -s "$T/watcher.out"
	sleep 0.3
}
theirs() { # theirs SECONDS CMD...
	local wait=$1
	shift
	start watcher "$@"
	watcher=$pid
	sleep "$wait"
}
watch_with() {
	case $1 in
	"perftop --syscalls=count") ours --syscalls=count ;;
	"perftop --syscalls=full") ours --syscalls=full ;;
	"perftop (default)") ours ;;
	"bpftrace count()") theirs 3 bpftrace -e "tracepoint:raw_syscalls:sys_exit /pid == $target/ { @[args->id] = count(); }" ;;
	"bpftrace hist()") theirs 3 bpftrace -e "tracepoint:raw_syscalls:sys_enter /pid == $target/ { @s[tid] = nsecs; }
		tracepoint:raw_syscalls:sys_exit /pid == $target && @s[tid]/ {
			@[args->id] = hist(nsecs - @s[tid]); delete(@s[tid]); }" ;;
	"strace -c") theirs 1 strace -c -p "$target" ;;
	"perf trace -s") theirs 2 perf trace -s -p "$target" ;;
	esac
}
can() {
	case $1 in
	perftop*) return 0 ;;
	# These read tracefs, which a machine may have not mounted.
	"perf "* | bpftrace*) command -v "${1%% *}" >/dev/null && [ -e /sys/kernel/tracing/events ] ;;
	*) command -v "${1%% *}" >/dev/null ;;
	esac
}
ways=("perftop --syscalls=count" "perftop --syscalls=full" "perftop (default)" "bpftrace count()"
	"bpftrace hist()" "strace -c" "perf trace -s")
cost "$calls" >/dev/null
declare -A least
bare=
less() { awk -v a="$1" -v b="${2:-1e9}" 'BEGIN { print a < b ? a : b }'; }
for ((r = 0; r < rounds; r++)); do
	for w in "${ways[@]}"; do
		can "$w" || continue
		n=$calls
		case $w in strace* | "perf trace"*) n=$((calls / 20)) ;; esac
		bare=$(less "$(cost "$calls")" "$bare")
		watch_with "$w"
		# Until the rate is steady: perftop times its own programs while it changes.
		cost $((n * 5)) >/dev/null
		least[$w]=$(less "$(cost "$n")" "${least[$w]:-}")
		kill -INT "$watcher"
		wait "$watcher" 2>/dev/null
	done
done
more() { awk -v a="${least[$1]:-}" -v b="$bare" 'BEGIN { if (a == "") print ""; else printf "%.0f", a - b }'; }
printf '%-32s %12s %12s\n' "pread of one byte, best of $rounds" "ns a call" "more"
printf '%-32s %12.0f\n' "not watched" "$bare"
for w in "${ways[@]}"; do
	if [ -n "${least[$w]:-}" ]; then
		printf '%-32s %12.0f %12s\n' "$w" "${least[$w]}" "$(more "$w")"
	else
		printf '%-32s %12s\n' "$w" "not here"
	fi
done
# verdict WHAT OURS THEIRS LIMIT
verdict() {
	[ -n "$2" ] && [ -n "$3" ] || { printf '%-52s N/A\n' "$1"; return; }
	awk -v what="$1" -v a="$2" -v b="$3" -v limit="$4" 'BEGIN {
		printf "%-52s %.2f, target %.2f: %s\n", what, a / b, limit, a / b <= limit ? "PASS" : "MISSED" }'
}
verdict "latency of every call, of bpftrace's histogram" "$(more "perftop --syscalls=full")" "$(more "bpftrace hist()")" 0.50
verdict "count of every call, of bpftrace's count" "$(more "perftop --syscalls=count")" "$(more "bpftrace count()")" 1.00
