#!/usr/bin/env bash
# perftop --watch without a target: the engine runs as a process of its own, and ends with perftop.
. "$(dirname "$0")/../lib/system.sh"
start_first watch "$PERFTOP" --watch=250ms --json --load 100 --duration 3s \
	--engine-args '--loop-b 500ms --loop-c 1s --seq 64'
watch=$pid
eventually 10 test -s "$T/watch.out"
engine=$(head -1 "$T/watch.out" | jq .target.pid)
check "the engine is a second process" test "$engine" != "$watch" -a -d "/proc/$engine"
wait "$watch"
equal "it ends with success after --duration" "$?" 0
check "the engine ended with it" eventually 3 test ! -d "/proc/$engine"
last=$(tail -1 "$T/watch.out")
equal "its counters are read" "$(jq -r .sections.counters.status <<<"$last")" live
rate='map({time_ns} + (.counters[] | select(.name == "query.completed") | {value})) |
	(last.value - first.value) * 1e9 / (last.time_ns - first.time_ns)'
between "queries come at the rate asked for, per second" "$(jq -s "$rate" "$T/watch.out")" 80 120
check "kernels show their throughput" test "$(jq '[.kernels[] | select(.gflops > 0)] | length' <<<"$last")" -ge 1
for k in attention_flash micro_lora_forward micro_lora_update lora_base_forward lora_base_gradient \
	ewc_fisher ewc_constrain kmeans pattern_search; do
	check "$k has its row, with work and time" test "$(jq --arg k "$k" \
		'[.[].kernels[] | select(.name == $k and .calls > 0 and .p50 > 0 and .gflops > 0 and .gbytes_s > 0)] | length' \
		-s "$T/watch.out")" -ge 1
done
equal "trajectories add up" \
	"$(jq '.trajectory | .recorded - .drained - .used | fabs < 50' <<<"$last")" true
between "loop A is timed for each query" \
	"$(jq '(.learning.loop_a.count - .trajectory.recorded) | fabs' <<<"$last")" 0 20
between "loop B has run" "$(jq .learning.loop_b.count <<<"$last")" 2 6
between "loop C has run" "$(jq .learning.loop_c.count <<<"$last")" 1 3
check "patterns are found" test "$(jq .learning.patterns <<<"$last")" -ge 5
check "dreams are dreamt" test "$(jq .learning.dreams <<<"$last")" -ge 50
between "query latency has a p99, ns" \
	"$(jq '.latency[] | select(.name == "query.service") | .p99' <<<"$last")" 1000 5000000000

"$PERFTOP" --watch=200ms --json --load 2000 --duration 3s \
	--engine-args '--buffer 16 --drain-delay 200ms --seq 32' >"$T/drop.json" 2>"$T/drop.err"
check "a full buffer drops, and says so" \
	test "$(tail -1 "$T/drop.json" | jq .trajectory.dropped)" -gt 0
check "the alert is raised" grep -q '"rule":"trajectory_drop"' "$T/drop.json"

start watch2 "$PERFTOP" --watch --json --duration 60s
eventually 10 test -s "$T/watch2.out"
engine=$(head -1 "$T/watch2.out" | jq .target.pid)
kill -9 "$pid"
check "kill -9 of perftop takes the engine with it" eventually 3 test ! -d "/proc/$engine"
