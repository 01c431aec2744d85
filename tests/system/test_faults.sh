#!/usr/bin/env bash
# Targets and perftop killed, replaced, contained and flooded: what is left, and what is said.
. "$(dirname "$0")/../lib/system.sh"
odd=$BUILD/tests/targets/odd contend=$BUILD/tests/targets/contend
last() { tail -1 "$T/$1.json"; }

# ---- the target is killed at any moment ------------------------------------------------------
bad=0
modes=(churn flock forks exec ping calls)
for i in $(seq 1 18); do
	start odd "$odd" "${modes[i % ${#modes[@]}]}" 50
	target=$pid
	"$PERFTOP" -p "$target" --json -d 50ms --duration 20s >"$T/kill.json" 2>"$T/kill.err" &
	top=$!
	sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
	kill -9 "$target"
	wait "$target" 2>/dev/null
	if wait "$top"; then
		[ "$(last kill | jq -r '"\(.finished) \(.target.state)"')" = "true exited" ] || bad=$((bad + 1))
	else
		grep -qE 'no process|has exited' "$T/kill.err" || bad=$((bad + 1))
	fi
done
equal "every target that was killed ends its view in a clear state" "$bad" 0

# ---- perftop is killed at any moment ---------------------------------------------------------
if bpf_works; then
	ours() { bpftool prog list 2>/dev/null | grep -cE 'name (on_sched_|on_sys_|on_cpu_clock|iter_threads|func_)'; }
	none_of_ours() { [ "$(ours)" -le "$before" ]; }
	before=$(ours)
	start contend "$contend" 60 2 10
	target=$pid
	for i in $(seq 1 20); do
		"$PERFTOP" -p "$target" --json -d 50ms -e libc.so.6:pthread_mutex_lock >/dev/null 2>&1 &
		top=$!
		sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
		kill -9 "$top"
		wait "$top" 2>/dev/null
	done
	check "no eBPF program of a killed perftop is left" eventually 5 none_of_ours
	check "its target lives" kill -0 "$target"
	kill -9 "$target"

	# ---- a container ---------------------------------------------------------------------
	if unshare -p --fork --mount-proc true 2>/dev/null; then
		start box unshare -p --kill-child --fork --mount-proc "$contend" 60 3 1000
		box=$pid
		inside() { target=$(pgrep -P "$box" -x contend) && [ -s "$T/box.out" ]; }
		eventually 5 inside
		"$PERFTOP" -p "$target" --json -d 300ms --duration 1500ms >"$T/box.json" 2>"$T/box.err"
		equal "a mutex in a container is known as one" \
			"$(last box | jq '[.blocked.locks[] | select(.is_mutex == 1)] | length')" 1
		equal "and its holder is one of the threads shown" \
			"$(last box | jq '(.blocked.locks[0].owner_tid) as $o | any(.threads[].tid; . == $o)')" true
		kill -9 "$box"
		in_box() {
			unshare -p --kill-child --fork --mount-proc bash -c \
				"'$contend' 60 3 1000 >/dev/null & exec 3>&1; \
				'$PERFTOP' -p \$! --json -d 300ms --duration 1500ms; kill -9 \$!"
		}
		in_box >"$T/inner.json" 2>"$T/inner.err"
		equal "from within the container too" \
			"$(last inner | jq '[.blocked.locks[] | select(.is_mutex == 1)] | length')" 1
	else
		skip "no pid namespaces here"
	fi

	# ---- more futex addresses than have a place -------------------------------------------
	start futexes "$odd" futexes 12000
	target=$pid
	"$PERFTOP" -p "$target" --json -d 100ms --duration 60s >"$T/futexes.json" 2>"$T/futexes.err" &
	top=$!
	eventually 50 test -s "$T/futexes.out"
	sleep 1
	kill -9 "$target"
	wait "$top"
	addr=$(printf '%d' "$(awk '{ print $2 }' "$T/futexes.out")")
	check "after thousands of futex addresses a new one is still seen" jqe --argjson a "$addr" \
		'any(.blocked.locks[]; .addr == $a)' <<<"$(last futexes)"
else
	skip "eBPF needs root and BTF here"
fi

# ---- few file descriptors, many threads ------------------------------------------------------
start crowd "$odd" crowd 300
eventually 10 test -s "$T/crowd.out"
(ulimit -n 256 && exec "$PERFTOP" -p "$pid" --no-bpf --json -d 200ms --duration 1s) >"$T/few.json" 2>"$T/few.err"
equal "a low limit of open files does not end the view" "$(last few | jq -r .target.state)" running
check "nor hide the busy thread" jqe '.threads[0].comm == "busy-one" and .threads[0].cpu_pct > 0' <<<"$(last few)"
kill -9 "$pid"

# ---- a loop of execve ------------------------------------------------------------------------
start exec "$odd" exec
"$PERFTOP" -p "$pid" --json -d 50ms --duration 3s >"$T/exec.json" 2>"$T/exec.err"
check "an exec loop gives no interval too short for rates" \
	jqe -s 'length > 10 and all(.[1:][]; .interval_ns > 5000000)' "$T/exec.json"
check "and is said" grep -q "execve" "$T/exec.json"
