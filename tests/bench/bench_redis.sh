#!/usr/bin/env bash
# What a redis-server under load pays for being watched: its CPU time a request, attached and not,
# in alternation. The first column of each round is the same redis with nothing attached.
. "$(dirname "$0")/../lib/system.sh"
rounds=${ROUNDS:-3} requests=${REQUESTS:-300000}
start_redis

# ns of CPU a request, of the thread that serves them
load() {
	local before after
	before=$(awk '{ print $1 }' "/proc/$redis_pid/schedstat")
	redis-benchmark -s "$redis_sock" -c 20 -n "$requests" -t get -q "$@" >/dev/null
	after=$(awk '{ print $1 }' "/proc/$redis_pid/schedstat")
	echo $(((after - before) / requests))
}
attached() {
	start top "$PERFTOP" -p "$redis_pid" --json -d 250ms "$@"
	local top=$pid
	eventually 10 test -s "$T/top.out"
	# Let it see the rate, as it would on a server that was busy before.
	redis-benchmark -s "$redis_sock" -c 20 -n $((requests / 3)) -t get -q >/dev/null
	load
	kill "$top"
	wait "$top" 2>/dev/null
}
configurations=("(default)" "--syscalls=count" "--syscalls=full" "--syscalls=off" "--syscalls=off --no-offcpu" "--no-bpf"
	"-e redis-server:processCommand --max-overhead 100")
load >/dev/null
declare -A sum
base=0
for ((r = 0; r < rounds; r++)); do
	for c in "${configurations[@]}"; do
		base=$((base + $(load)))
		# shellcheck disable=SC2086
		sum[$c]=$((${sum[$c]:-0} + $(attached ${c/(default)/})))
	done
done
base=$((base / rounds / ${#configurations[@]}))
printf '%-52s %12s %9s\n' "redis GET, 20 clients, $rounds rounds" "ns a request" "more"
printf '%-52s %12d\n' "not watched" "$base"
for c in "${configurations[@]}"; do
	v=$((${sum[$c]} / rounds))
	printf '%-52s %12d %8s%%\n' "perftop $c" "$v" "$(awk -v a="$v" -v b="$base" 'BEGIN { printf "%.1f", 100 * (a - b) / b }')"
done
