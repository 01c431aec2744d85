#!/usr/bin/env bash
# Locks that are no futex: on files, and those of a database. Who waits there is not idle.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
last_of() { "$PERFTOP" --json -d 500ms --duration 3s -p "$1" 2>/dev/null >"$T/ticks"; tail -n 1 "$T/ticks"; }
lock() { jq -r "[.blocked.locks[] | select(.kind == \"$1\")][0] | $2" <<<"$last"; }

start holder flock "$T/file" sleep 60
holder=$pid
eventually 10 grep -q ":$(stat -c %i "$T/file") " /proc/locks
start waiter flock "$T/file" true
eventually 10 grep -q -- "-> FLOCK .* $pid " /proc/locks
last=$(last_of "$pid")
equal "a file lock is named by its file" "$(lock "file lock" .name)" "$T/file"
equal "with the process that holds it" "$(lock "file lock" .owner_tid)" "$holder"
between "its wait is all there is, percent" "$(lock "file lock" .pct)" 95 101
equal "and counts as a lock" "$(lock "file lock" '"\(.is_mutex) \(.reason)"')" "1 other"
check "an alert says so" jqe 'any(.alerts[]; .rule == "lock_wait" and (.subject | startswith("file lock")))' <<<"$last"

start guarded "$BUILD/tests/targets/guarded"
eventually 10 grep -q ready "$T/guarded.out"
last=$(last_of "$pid")
equal "a lock's place is the function of the source, inlined, and not its guard" \
	"$(lock mutex '"\(.name) \(.site)"')" "registry_lock update_registry (inlined)"
equal "as its stack has it" "$(jq -r '[.blocked.stacks[] | select(.kind == "mutex")][0].frames
	| map(sub(" \\(guarded\\)$"; "")) | .[index("__gthread_mutex_lock (inlined)"):] | .[:3] | join(" < ")' <<<"$last")" \
	"__gthread_mutex_lock (inlined) < update_registry (inlined) < work"
kill "$pid"

# A semaphore serves as a lock, or is what idle workers wait on: by who lets whom through.
cat >"$T/semaphore.py" <<'P'
import queue, sys, threading, time
lock, jobs = threading.Lock(), queue.SimpleQueue()
def convoy():
    while True:
        with lock:
            time.sleep(0.002)
        sum(range(2000))
def work():
    while True:
        if n := jobs.get():
            jobs.put(n - 1)
for _ in range(4):
    threading.Thread(target=work if sys.argv[1] == "queue" else convoy, daemon=True).start()
print("ready", flush=True)
while True:
    # Long beside what the workers take even on a slow machine: they are idle most of the time.
    time.sleep(0.02)
    for i in range(4 if sys.argv[1] == "queue" else 0):
        jobs.put(3)
P
if command -v python3 >/dev/null; then
	for what in lock queue; do
		start semaphore python3 "$T/semaphore.py" "$what"
		eventually 10 grep -q ready "$T/semaphore.out"
		last=$(last_of "$pid")
		between "Python's $what: threads that wait for it" "$(jq '[.blocked.locks[] | select(.kind == "py lock")][0].pct' <<<"$last")" 200 405
		if [ "$what" = lock ]; then
			equal "who waits for one that is held waits for a lock" "$(lock "py lock" .is_mutex)" 1
			# Between two that hold it there is none.
			check "with the thread that holds it" jqe -s --argjson pid "$pid" \
				'any(.[].blocked.locks[] | select(.kind == "py lock"); .owner_tid > $pid)' "$T/ticks"
			check "and an alert" jqe 'any(.alerts[]; .rule == "lock_wait" and (.subject | startswith("py lock")))' <<<"$last"
		else
			equal "idle workers do not" "$(lock "py lock" .is_mutex)" 0
		fi
		kill "$pid"
	done
else
	skip "semaphores as locks: no python3"
fi

# Two that write to one database, each holding it for 200 ms of 250: the other sleeps meanwhile.
cat >"$T/write.py" <<'P'
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
c.execute("create table if not exists t(a)")
print("ready", flush=True)
waited = 0
begin = time.monotonic()
while True:
    asked = time.monotonic()
    c.execute("begin immediate")
    waited += time.monotonic() - asked
    print(time.monotonic(), waited, flush=True)
    c.execute("insert into t values(1)")
    time.sleep(0.2)
    c.execute("commit")
    time.sleep(0.05)
P
if python3 -c 'import sqlite3' 2>/dev/null; then
	start first python3 "$T/write.py" "$T/db"
	eventually 10 grep -q ready "$T/first.out"
	start second python3 "$T/write.py" "$T/db"
	eventually 20 grep -q '^[0-9]' "$T/second.out"
	"$PERFTOP" --json -d 500ms --duration 6s -p "$pid" >"$T/sqlite.json" 2>/dev/null
	last=$(tail -n 1 "$T/sqlite.json")
	# Time that it waited by its own clock, over the same seconds.
	truth=$(awk -v span="$(jq '.since_ns / 1e9' <<<"$last")" '/^[0-9]/ { t[++n] = $1; w[n] = $2 }
		END { for (i = n; i > 1 && t[n] - t[i] < span; i--) ; print (w[n] - w[i]) / (t[n] - t[i]) }' "$T/second.out")
	between "a SQLite lock's wait is what the program measured, ratio" \
		"$(jq --argjson t "$truth" '([.blocked.locks[] | select(.kind == "sqlite lock") | .wait_ns] | add // 0) / .since_ns / $t' <<<"$last")" 0.7 1.3
	equal "it is part of what is slept" "$(lock "sqlite lock" .reason)" sleep
else
	skip "no SQLite for python3 here"
fi
