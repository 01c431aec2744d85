#!/usr/bin/env bash
# A process whose threads wait for each other for good is told from one that is idle or slow.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
# watch NAME MODE ARGS...: what perftop says of such a target, in the background
declare -A target watcher
watch() {
	local name=$1 mode=$2
	shift 2
	start "$name" "$BUILD/tests/targets/stuck" "$mode" 120
	target[$name]=$pid
	eventually 10 grep -q ready "$T/$name.out"
	start "$name.json" "$PERFTOP" --json -d 500ms --duration 4s -p "$pid" "$@"
	watcher[$name]=$pid
}
# deadlock_of NAME: its last update in $last
deadlock_of() {
	wait "${watcher[$1]}"
	last=$(tail -n 1 "$T/$1.json.out")
	kill "${target[$1]}"
}
kind() { jq -r '.blocked.deadlock.kind // "none"' <<<"$last"; }
words() { jq -r '.blocked.deadlock.words' <<<"$last"; }

for mode in cycle self orphan standstill shared timed slow; do
	watch "$mode" "$mode"
done
watch standstill-plain standstill --no-bpf
watch timed-plain timed --no-bpf

deadlock_of cycle
equal "two threads, each with the mutex that the other wants" "$(kind)" cycle
equal "how many are in it and behind it" "$(jq -c '.blocked.deadlock | [.threads, .behind]' <<<"$last")" "[2,1]"
check "both mutexes are named" grep -Eq 'mutex (left|right) held by .* mutex (left|right) held by' <<<"$(words)"
between "its age in seconds" "$(jq '.blocked.deadlock.ns / 1e9' <<<"$last")" 2 60
equal "an alert says so" "$(jq -r '[.alerts[] | select(.rule == "deadlock") | .severity][0]' <<<"$last")" critical
deadlock_of self
equal "a thread that locks what it has locked" "$(kind)" self
deadlock_of orphan
equal "a mutex whose holder has ended" "$(kind)" orphan
deadlock_of standstill
equal "all threads wait for each other" "$(kind)" standstill
equal "how many" "$(jq .blocked.deadlock.threads <<<"$last")" 2
deadlock_of standstill-plain
equal "which needs no eBPF to be seen" "$(kind)" standstill
# What looks alike, and goes on.
deadlock_of shared
equal "a semaphore that another process can post is no standstill" "$(kind)" none
deadlock_of timed
equal "neither is a wait with a timeout" "$(kind)" none
deadlock_of timed-plain
equal "nor without eBPF" "$(kind)" none
deadlock_of slow
equal "a mutex that is held for long by a thread that sleeps is no deadlock" "$(kind)" none
equal "but its holder is told" "$(jq '[.blocked.locks[] | select(.name == "left") | .owner_tid > 0]' <<<"$last" | tr -d ' \n')" "[true]"

# Watched from before they wait; by wake-ups too, as where the scheduler's clock differs between CPUs.
for clock in "" PERFTOP_NO_SCHEDULER_CLOCK=1; do
	env ${clock:+"$clock"} "$PERFTOP" --text -d 500ms --duration 3s -- "$BUILD/tests/targets/stuck" cycle 4 >"$T/text" 2>&1
	check "text says it too${clock:+, by wake-ups}" grep -q "deadlock" "$T/text"
done
