#!/usr/bin/env bash
# What perftop itself costs on a terminal, beside htop on the same target: CPU at the default
# interval, resident memory, time from start to the first full screen.
. "$(dirname "$0")/../lib/system.sh"
seconds=${SECONDS_EACH:-10}
sock=perftop-bench-$$
trap 'tmux -L "$sock" kill-server 2>/dev/null; finish' EXIT

# ns on CPU of every thread: clock ticks would be too coarse.
cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%d", n }'; }
# One program in a terminal of 120x40: its CPU in percent over the window, and its RSS in KiB.
measure() {
	local name=$1 pid before after
	shift
	tmux -L "$sock" -f /dev/null new-session -d -s "$name" -x 120 -y 40 "exec $*"
	# Past its start; perftop also reads the kernel's symbols once, at the first sample that needs them.
	redis-benchmark -s "$redis_sock" -n 50000 -q >/dev/null
	sleep 2
	pid=$(tmux -L "$sock" list-panes -t "$name" -F '#{pane_pid}')
	before=$(cpu_ns "$pid")
	sleep "$seconds"
	after=$(cpu_ns "$pid")
	cpu=$(awk -v a="$before" -v b="$after" -v s="$seconds" 'BEGIN { printf "%.3f", (b - a) / s / 1e7 }')
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	tmux -L "$sock" kill-session -t "$name"
}
# Median of five starts, from exec until the last thread of the lowest panel is drawn.
first_screen() {
	for _ in 1 2 3 4 5; do
		python3 "$(dirname "$0")/../lib/first_screen.py" "$@"
	done | sort -n | sed -n 3p
}
row() { printf '%-34s %10s %10s %8s  %s\n' "$@"; }
# What is half of what is not here?
beside() { awk -v a="$1" -v b="$2" 'BEGIN { print (b == "-") ? "N/A: no htop" : (a <= b / 2) ? "PASS" : "MISSED" }'; }
verdict() { awk -v v="$1" -v limit="$2" 'BEGIN { print (v <= limit) ? "PASS" : "MISSED" }'; }

start_redis
row "own cost, $seconds s each" perftop htop ratio ""
for load in idle busy; do
	if [ $load = busy ]; then
		start bench redis-benchmark -s "$redis_sock" -c 20 -l -q -t get,set
	fi
	cpu=- rss=-
	command -v htop >/dev/null && measure htop htop -p "$redis_pid"
	h=$cpu hr=$rss
	measure perftop "$PERFTOP" -p "$redis_pid"
	ratio=$(awk -v a="$cpu" -v b="$h" 'BEGIN { print (b > 0 ? sprintf("%.2f", a / b) : "-") }')
	row "CPU %, $load redis" "$cpu" "$h" "$ratio" "target 0.50 $(beside "$cpu" "$h")"
	row "RSS KiB, $load redis" "$rss" "$hr" "" "target 30720 $(verdict "$rss" 30720)"
	[ $load = busy ] && kill "$pid"
done
us=$(first_screen jemalloc_bg "$PERFTOP" -p "$redis_pid")
row "start to first full screen, us" "$us" "" "" "target 100000 $(verdict "$us" 100000)"
