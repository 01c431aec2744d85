#!/usr/bin/env bash
# redis-server, a program we did not write: counts against its own, syscalls against strace's.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
start_redis
cli() { redis-cli -s "$redis_sock" "$@"; }
calls() { cli info commandstats | tr -d '\r' | sed -n 's/.*:calls=\([0-9]*\),.*/\1/p' | awk '{ n += $1 } END { print n + 0 }'; }

# --- processCommand against INFO commandstats -------------------------------------------------
cli config resetstat >/dev/null # counts itself as one call, before we attach
start top "$PERFTOP" -p "$redis_pid" -e redis-server:processCommand --syscalls=full --json -d 200ms \
	--duration 900s --max-overhead 100
top=$pid
eventually 10 test -s "$T/top.out"
redis-benchmark -s "$redis_sock" -t get,set -n 20000 -q >/dev/null
want=$(($(calls) - 1 + 1)) # less the reset, plus the INFO that answered
pass "$T/top.out" 2
kill -INT "$top"
wait "$top"
last=$(tail -1 "$T/top.out")
got=$(jq '.latency[] | select(.name == "processCommand") | .count' <<<"$last")
equal "processCommand is counted as often as redis counts commands" "$got" "$want"
equal "every one of its latencies is in the histogram" \
	"$(jq '.latency[] | select(.name == "processCommand") | .calls' <<<"$last")" "$want"
between "its median is of a plausible size, ns" \
	"$(jq '.latency[] | select(.name == "processCommand") | .p50' <<<"$last")" 200 50000
equal "the writes that answered are counted" \
	"$(jq -n --argjson w "$(jq '[.syscalls[] | select(.name == "write") | .count] | add' <<<"$last")" \
		--argjson n "$want" '$w >= 40000 and $w <= $n + 100')" true
equal "the row says where the latency comes from" \
	"$(jq -r '.latency[] | select(.name == "processCommand") | .source' <<<"$last")" uprobe
between "redis is seen using the CPU, samples" "$(jq .cpu.samples <<<"$last")" 5 100000
between "its stacks reach their start, percent, also out of probes" "$(jq .cpu.unwound_pct <<<"$last")" 95 100
equal "main is on the stacks" \
	"$(jq '[.functions // .cpu.functions | .[] | select(.name == "main") | .total_pct > 50] | any' <<<"$last")" true

# --- syscalls against strace, over the same calls ---------------------------------------------
start strace strace -c -f -o "$T/strace.txt" -p "$redis_pid"
strace_pid=$pid
start top2 "$PERFTOP" -p "$redis_pid" --json -d 200ms --duration 900s
top=$pid
eventually 10 test -s "$T/top2.out"
eventually 10 grep -q '^TracerPid:.[1-9]' "/proc/$redis_pid/status"
redis-benchmark -s "$redis_sock" -t set -n 3000 -q >/dev/null
pass "$T/top2.out" 2
kill -INT "$top"
wait "$top"
kill -INT "$strace_pid"
wait "$strace_pid"
last=$(tail -1 "$T/top2.out")
ours=$(jq '[.syscalls[] | select(.name == "write") | .count] | add' <<<"$last")
theirs=$(awk '$NF == "write" { print $4 }' "$T/strace.txt")
equal "writes are counted as strace counts them" "$ours" "$theirs"
between "without probes they all do, percent" "$(jq .cpu.unwound_pct <<<"$last")" 95 100
timed=$(jq '[.syscalls[] | select(.name == "write") | .sampled] | add' <<<"$last")
between "and timed" "$timed" 1 "$ours"

# --- the end of the target ----------------------------------------------------------------------
start top3 "$PERFTOP" -p "$redis_pid" --json -d 200ms --duration 900s
top=$pid
eventually 10 test -s "$T/top3.out"
kill -9 "$redis_pid"
wait "$top"
equal "perftop ends by itself, with success, when the target is killed" "$?" 0
equal "and says that it exited" "$(tail -1 "$T/top3.out" | jq -r .target.state)" exited
