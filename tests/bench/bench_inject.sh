#!/usr/bin/env bash
# How long a program stands still while a library is loaded into it: perftop, and gdb's call of
# dlopen, on the same kind of target in turn. The target's own clock measures, and so do we.
. "$(dirname "$0")/../lib/system.sh"
tool=$BUILD/tests/unit/test_inject
so=$BUILD/tests/targets/inject.so
heap=$BUILD/libperftop_heap.so
runs=${RUNS:-15}
limit_us=1000

# Other work on the machine can only lengthen a stop: the shortest is what the loader takes, and the
# median what was met.
least_and_median() { sort -n | awk '{ a[NR] = $1 } END { print (NR ? a[1] "/" a[int((NR + 1) / 2)] : "-") }'; }
row() { printf '%-42s %18s %20s  %s\n' "$@"; }
verdict() { awk -v v="${1%/*}" -v l="$limit_us" 'BEGIN { print (v + 0 > 0 && v <= l) ? "PASS" : "MISSED" }'; }

# gap NAME CMD...: its longest pause while CMD PID runs, as a program that never waits sees it
gap() {
	local out=$T/$1.gap
	shift
	mkfifo "$T/fifo"
	"$BUILD/tests/targets/inject_gap" <"$T/fifo" >"$T/gap.out" &
	local p=$!
	exec 9>"$T/fifo"
	sleep 0.1
	"$@" "$p" >"$T/answer" 2>&1
	exec 9>&-
	wait "$p"
	cat "$T/gap.out" >>"$out"
	sed -n 's/.*stop_us=\([0-9.]*\) .*/\1/p' "$T/answer" >>"$T/stops"
	rm -f "$T/fifo"
}
by_perftop() { "$tool" load "$1" "$so"; }
by_gdb() { gdb -q -nx -p "$1" -batch -ex "call (void *)dlopen(\"$so\", 2)"; }
nothing() { sleep 0.1; }

row "stop, us, least/median of $runs" perftop gdb "target: least <= $limit_us"
command -v gdb >/dev/null && have_gdb=1 || have_gdb=
for _ in $(seq "$runs"); do
	gap nothing nothing
	gap perftop by_perftop
	[ "$have_gdb" ] && gap gdb by_gdb
done
p=$(least_and_median <"$T/perftop.gap")
g=$([ "$have_gdb" ] && least_and_median <"$T/gdb.gap" || echo n/a)
row "a program that computes, by its own clock" "$p" "$g" "$(verdict "$p")"
row "the same, undisturbed" "$(least_and_median <"$T/nothing.gap")" "" ""
s=$(least_and_median <"$T/stops")
row "the same stop, by perftop's clock" "$s" "" "$(verdict "$s")"

sleeping() {
	for _ in $(seq "$runs"); do
		start sleeper sleep 100
		runs_as sleep
		"$tool" load "$pid" "$1" | sed -n 's/.*stop_us=\([0-9.]*\) .*/\1/p'
		kill "$pid"
	done | least_and_median
}
s=$(sleeping "$so")
row "a program that sleeps" "$s" "" "$(verdict "$s")"
if [ -e "$heap" ]; then
	s=$(sleeping "$heap")
	row "a program that sleeps, the heap sampler" "$s" "" "$(verdict "$s")"
fi

# Where its CPUs are busy, and the program with them, a stop must not wait for its turn.
busy_redis() {
	for _ in $(seq "$runs"); do
		start_redis
		start load redis-benchmark -s "$redis_sock" -c 20 -l -q -t get,set
		sleep 0.3
		"$tool" load "$redis_pid" "$heap" | sed -n 's/.*stop_us=\([0-9.]*\) .*/\1/p'
		kill "$pid" "$redis_pid"
		wait "$pid" "$redis_pid" 2>/dev/null
	done | least_and_median
}
if [ -e "$heap" ] && command -v redis-benchmark >/dev/null; then
	for i in $(seq "$(nproc)"); do start "spin$i" sh -c 'while :; do :; done'; done
	s=$(busy_redis)
	row "redis, each CPU busy, the heap sampler" "$s" "" "$(verdict "$s")"
fi
