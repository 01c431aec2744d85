#!/usr/bin/env bash
# Waits: a contended mutex is told apart from idle threads, and its wait adds up to the truth.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
start contend "$BUILD/tests/targets/contend" 4 4 1000
target=$pid
eventually 5 test -s "$T/contend.out"
"$PERFTOP" -p "$target" --json -d 250ms --duration 30s >"$T/top.json" 2>"$T/top.err"
equal "perftop ends with the target" "$?" 0
mutex=$(awk '/^mutex/ { print $2 }' "$T/contend.out")
truth=$(awk '/^locks/ { print $4 }' "$T/contend.out")
last=$(tail -1 "$T/top.json")
row() { jq --argjson a "$(printf '%d' "$mutex")" ".blocked.locks[] | select(.addr == \$a) | $1" <<<"$last"; }
equal "the mutex is found by address, as a mutex" "$(row .is_mutex)" 1
# What passed before perftop came is missing: some 0.1 s of 4.
between "its wait time is what the threads measured themselves, ratio" \
	"$(jq -n --argjson a "$(row .wait_ns)" --argjson b "$truth" '$a / $b')" 0.90 1.01
equal "the idle thread's condition variable is no mutex" \
	"$(jq '[.blocked.locks[] | select(.is_mutex == 1)] | length' <<<"$last")" 1
check "the alert is raised while it lasts" grep -q '"rule":"lock_wait"' "$T/top.json"
middle=$(sed -n 8p "$T/top.json")
between "three of four threads wait for it at any time, percent" \
	"$(jq --argjson a "$(printf '%d' "$mutex")" '.blocked.locks[] | select(.addr == $a) | .pct' <<<"$middle")" 250 320
between "each thread's shares add up to its wall time, percent" \
	"$(jq '[.threads[] | .cpu_pct + .runq_pct + .blocked_pct] | add / length' <<<"$middle")" 98 102

start_first busy "$BUILD/tests/targets/busy" 4
runs_as busy
"$PERFTOP" -p "$pid" --json -d 500ms --duration 30s >"$T/busy.json" 2>"$T/busy.err"
last=$(tail -1 "$T/busy.json")
share() { jq "[.cpu.functions[] | select(.name == \"$1\") | .self_pct] | add // 0" <<<"$last"; }
between "hot() has its three quarters of the samples, percent" "$(share hot)" 65 85
between "warm() its one" "$(share warm)" 15 35
between "main() is above both, percent" \
	"$(jq '[.cpu.functions[] | select(.name == "main") | .total_pct] | add' <<<"$last")" 95 100
check "the CPU alert names hot()" grep -q '"subject":"hot"' "$T/busy.json"
