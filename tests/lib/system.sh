# Sourced by tests/system/*.sh: TAP, a private folder, processes that end with the test.
set -u
: "${BUILD:?run through tests/run}" "${PERFTOP:?}"
export LC_ALL=C.UTF-8
T=$(mktemp -d /tmp/perftop-test.XXXXXX)
export TMUX_TMPDIR=$T SHELL=/bin/bash # tmux runs commands by the latter; an account may have none
started=()
status=0

finish() {
	local p
	for p in "${started[@]:-}"; do
		[ -n "$p" ] && kill "$p" 2>/dev/null
	done
	for p in "${started[@]:-}"; do
		[ -n "$p" ] && { sleep 0.05; kill -9 "$p" 2>/dev/null; wait "$p" 2>/dev/null; }
	done
	rm -rf "$T"
	exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

ok() { echo "ok - $*"; }
not_ok() { echo "not ok - $*"; status=1; }
skip() { echo "ok - $* # SKIP"; }
# jq -e, which is content with no input at all: a program that printed nothing has not passed.
jqe() {
	local out
	out=$(jq -e "$@") && [ -n "$out" ] && printf '%s\n' "$out"
}
# check "what" CMD...: ok when CMD succeeds; what it prints is not shown.
check() {
	local what=$1
	shift
	if "$@" >/dev/null; then ok "$what"; else not_ok "$what: $*"; fi
}
# equal "what" GOT WANT
equal() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1: got '$2', want '$3'"; fi; }
# between "what" GOT LOW HIGH, as decimal numbers
between() {
	if awk -v v="$2" -v a="$3" -v b="$4" 'BEGIN { exit !(v != "" && v >= a && v <= b) }'; then
		ok "$1 ($2)"
	else
		not_ok "$1: $2 is not in [$3, $4]"
	fi
}
# start NAME CMD...: in the background, output to $T/NAME.out; its pid in $pid
start() {
	local name=$1
	shift
	"$@" >"$T/$name.out" 2>"$T/$name.err" &
	pid=$!
	started+=("$pid")
}
# eventually SECONDS CMD...: retry until it succeeds; ten times as long where the machine is slow
eventually() {
	local end=$(($(date +%s%N) + $1 * 10000000000))
	shift
	while ! "$@" 2>/dev/null; do
		[ "$(date +%s%N)" -lt "$end" ] || return 1
		sleep 0.05
	done
}
# pass FILE N: until N more lines have come. Of two ticks the second has begun after this call.
pass() { eventually 10 has_lines "$1" $(($(wc -l <"$1") + $2)); }
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
# start_first NAME CMD...: as start, before other work of the machine where that is allowed. For
# targets whose share of a CPU is looked at.
start_first() {
	local name=$1
	shift
	start "$name" nice -n -15 "$@"
}
# runs_as NAME: until $pid has run execve, and is no longer the shell, or the wrapper, that forked
runs_as() { eventually 10 grep -qx "$1" "/proc/$pid/comm"; }
bpf_works() { [ "$(id -u)" = 0 ] && [ -r /sys/kernel/btf/vmlinux ]; }
# Tests that need BPF: where CI asks for it they run and so fail rather than skip.
need_bpf() {
	if ! bpf_works && [ "${PERFTOP_REQUIRE_BPF:-0}" != 1 ]; then
		skip "$(basename "$0"): eBPF needs root and BTF here"
		exit 0
	fi
}
# redis on a unix socket and a private port; $redis_pid, $redis_sock
start_redis() {
	local port=${1:-0}
	redis_sock=$T/redis.sock
	start redis redis-server --port "$port" --unixsocket "$redis_sock" --save '' --appendonly no \
		--dir "$T" --daemonize no
	redis_pid=$pid
	eventually 10 redis-cli -s "$redis_sock" ping >/dev/null || { not_ok "redis-server did not start"; exit 1; }
}
