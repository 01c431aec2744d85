#!/usr/bin/env bash
# Rates of tests/targets/storm_events, which perftop must not have slowed for good. $events is that program,
# $storm the name that what runs was started by.

# Events a CPU second of the target between lines $1 and the last of its output.
rate() { awk -v a="$1" 'NR == a { c = $1; t = $2 } END { print ($1 - c) * 1e9 / ($2 - t) }' "$T/$storm.out"; }
lines() { wc -l <"$T/$storm.out"; }
ratio_below() { awk -v a="$1" -v b="$2" -v r="$3" 'BEGIN { exit !(a < b * r) }'; }
says_lines() { [ "$(lines)" -ge "$1" ]; }
says_lines_or_ends() { says_lines "$1" || over "$pid"; }
# rate_again KIND: the rate without perftop, into $after; one far below $before is compared with that of
# another that was never watched, on the same CPU at the same time: machines have slow minutes.
rate_again() {
	local n=$(($(lines) + 2)) target=$pid watched=$storm cpu

	eventually 5 says_lines $((n + 8))
	after=$(rate "$n")
	ratio_below "$after" "$before" 0.7 || return
	start fresh "${events:?}" "$1" "$T/blocks"
	cpu=$(awk '{ print $39 }' "/proc/$target/stat")
	taskset -apc "$cpu" "$target" >"$T/taskset"
	taskset -apc "$cpu" "$pid" >"$T/taskset"
	sleep 0.3
	n=$(lines)
	storm=fresh
	local m=$(($(lines) + 2))
	eventually 10 says_lines $((m + 12))
	before=$(rate "$m")
	storm=$watched
	after=$(rate $((n + 2)))
	over_with "$pid"
	pid=$target
}
