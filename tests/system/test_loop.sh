#!/usr/bin/env bash
# Event loops: a turn that holds one is measured as the program itself does, whether it computes or
# sleeps; a request that waits while the loop goes on is none, nor is a server of one peer.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
if ! command -v python3 >/dev/null; then
	skip "no python3 here"
	exit
fi
# Does what it is told, a line at a time, and prints how long it took and of a CPU, ns.
cat >"$T/loop.py" <<'P'
import asyncio, sys, time
async def tick():
    while True:
        await asyncio.sleep(0.05)
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
async def main():
    told = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    ticks = asyncio.create_task(tick())
    print("up", flush=True)
    while line := (await told.readline()).split():
        wall, cpu = time.monotonic_ns(), time.thread_time_ns()
        if line[0] == b"wait":
            await asyncio.sleep(float(line[1]))
        else:
            (spin if line[0] == b"spin" else time.sleep)(float(line[1]))
        print(time.monotonic_ns() - wall, time.thread_time_ns() - cpu, flush=True)
asyncio.run(main())
P
# As a server of one client: it waits for that alone, without a timeout.
cat >"$T/peer.py" <<'P'
import os, select, time
e = select.epoll()
e.register(0, select.EPOLLIN)
print("up", flush=True)
while True:
    e.poll()
    if not os.read(0, 100):
        break
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    print("done", flush=True)
P
for name in loop peer; do
	mkfifo "$T/$name.in"
done
exec 7<>"$T/loop.in" 8<>"$T/peer.in"
begin() { # begin NAME
	# Unset: what lies in the working folder is no module of Python's.
	env -u PYTHONPATH python3 "$T/$1.py" <"$T/$1.in" >"$T/$1.out" 2>"$T/$1.err" 7>&- 8>&- &
	started+=("$!")
	eventually 20 grep -q up "$T/$1.out" || { cat "$T/$1.err"; exit 1; }
}
watch() { # watch FILE PID OPTIONS...
	local file=$1 of=$2
	shift 2
	"$PERFTOP" --json -d 250ms --duration 900s --max-overhead 0 -p "$of" "$@" >"$T/$file.json" 2>"$T/$file.err" 7>&- 8>&- &
	watcher=$!
	started+=("$watcher")
	eventually 10 test -s "$T/$file.json"
}
end_watch() {
	kill -INT "$watcher"
	wait "$watcher"
}
tell() { # tell WORD SECONDS: sets wall and cpu to what it took
	local lines
	lines=$(wc -l <"$T/loop.out")
	echo "$1 $2" >&7
	eventually 20 has_lines "$T/loop.out" $((lines + 1))
	read -r wall cpu <<<"$(tail -1 "$T/loop.out")"
}
of() { tail -1 "$T/$1.json" | jq -r ".event_loop.$2"; }
ratio() { jq -n --argjson a "$1" --argjson b "$2" '$a / $b'; }

begin loop
loop=${started[-1]}
watch top "$loop"
pass "$T/top.json" 6
tell wait 0.7
pass "$T/top.json" 2
# A machine that runs others for so long holds it too: that is told from the rest by its CPU time.
equal "a request that waits is no turn of the loop" \
	"$(jq -s '[.[].event_loop | select(.held_ns > 400e6)] | length' "$T/top.json")" 0
between "it turns twice each time its timer rings, a second" "$(of top rate)" 20 45
tell spin 0.5
pass "$T/top.json" 3
between "a turn that computes is as long as it says, ratio" "$(ratio "$(of top held_ns)" "$wall")" 0.99 1.08
# The scheduler's account lags by a tick of its clock, 4 ms or 10.
between "and so is its time on a CPU, ratio" "$(ratio "$(of top held_cpu_ns)" "$cpu")" 0.9 1.08
equal "it is over" "$(of top held_goes_on)" 0
equal "by the thread's number and name" "$(of top held_tid) $(of top held_comm)" \
	"$loop $(cat "/proc/$loop/comm")"
equal "its function has a name where samples tell" \
	"$(jq -s 'any(.[].event_loop; .held_samples >= 5 and (.held_function | length) > 0)' "$T/top.json")" true
equal "every turn was seen" "$(of top seen_all)" 1
check "the alert is raised" grep -q '"rule":"loop_held"' "$T/top.json"
tell sleep 0.8
pass "$T/top.json" 3
between "so is one that sleeps amid, ratio" "$(ratio "$(of top held_ns)" "$wall")" 0.99 1.08
between "which takes no CPU, ms" "$(of top "held_cpu_ns / 1e6")" 0 100
equal "and the advice is another" \
	"$(tail -1 "$T/top.json" | jq -r '.alerts[] | select(.rule == "loop_held") | .advice | startswith("it waited amid")')" true
tell spin 2
pass "$T/top.json" 3
equal "one that goes on is told before it ends" \
	"$(jq -s 'any(.[].event_loop; .held_goes_on == 1 and .held_ns > 1e9 and .held_ns < 2e9)' "$T/top.json")" true
between "and after, ratio" "$(ratio "$(of top held_ns)" "$wall")" 0.99 1.05
end_watch

# Neither starts of calls nor sleeps are seen: what it computed is known all the same.
watch blind "$loop" --syscalls=count --no-offcpu
pass "$T/blind.json" 6
tell spin 0.5
pass "$T/blind.json" 3
equal "where turns' ends go unseen the section says so" \
	"$(tail -1 "$T/blind.json" | jq -r '.sections.loop.status')" degraded
between "and a turn took at least its time on a CPU, ratio" "$(ratio "$(of blind held_ns)" "$cpu")" 0.9 1.08
equal "which is said" "$(of blind held_at_least)" 1
end_watch

begin peer
watch peer "${started[-1]}"
for i in 1 2 3 4 5 6 7 8; do
	echo go >&8
	eventually 10 has_lines "$T/peer.out" $((i + 1))
done
pass "$T/peer.json" 3
equal "who serves one peer is no event loop" "$(tail -1 "$T/peer.json" | jq -c .event_loop)" null
end_watch

watch off "$loop" --syscalls=off
equal "without system calls the section is absent, and says why" \
	"$(tail -1 "$T/off.json" | jq -r '"\(.sections.loop.status) \(.sections.loop.reason)"')" \
	"absent needs system calls: turned off by --syscalls=off"
end_watch

# Who looks at its standard input alone, for a key, has no connections to hold up.
cat >"$T/key.py" <<'P'
import select, time
print("up", flush=True)
while True:
    select.select([0], [], [], 0)
    time.sleep(0.15)
P
cat >"$T/main.go" <<'P'
package main

import "time"

func main() {
	for i := 0; i < 3; i++ {
		go func() {
			for {
				_ = make([]byte, 1<<16)
			}
		}()
	}
	for range time.Tick(50 * time.Millisecond) {
	}
}
P
start key env -u PYTHONPATH python3 "$T/key.py" < <(sleep 100)
key=$pid
eventually 20 grep -q up "$T/key.out"
"$PERFTOP" --json --duration 3s -p "$key" >"$T/key.json"
equal "a program that looks for a key is no event loop" \
	"$(jq -s 'any(.[].event_loop; . != null and .held_ns > 0)' "$T/key.json")" false
if command -v go >/dev/null && (cd "$T" && HOME=$T GO111MODULE=off go build -o gone main.go 2>/dev/null); then
	start gone "$T/gone"
	"$PERFTOP" --json --duration 3s -p "$pid" >"$T/gone.json"
	equal "nor is a thread of Go's" \
		"$(tail -1 "$T/gone.json" | jq -r '"\(.event_loop) \(.sections.loop.status)"')" "null absent"
else
	skip "no Go compiler here"
fi

# A program that we did not write, and its own clock.
if ! command -v redis-server >/dev/null; then
	skip "no redis-server here"
	exit
fi
start_redis
watch redis "$redis_pid"
pass "$T/redis.json" 6
redis-cli -s "$redis_sock" blpop nothing 1 >/dev/null
pass "$T/redis.json" 2
equal "a client that waits in redis does not hold it" \
	"$(jq -s '[.[].event_loop | select(.held_ns > 500e6)] | length' "$T/redis.json")" 0
redis-cli -s "$redis_sock" eval 'local t = 0 for i = 1, 6e7 do t = t + i end return t' 0 >/dev/null
pass "$T/redis.json" 3
log=$(redis-cli -s "$redis_sock" slowlog get 1 | sed -n 3p)
between "a script that computes holds it as long as SLOWLOG says, ratio" \
	"$(ratio "$(of redis held_ns)" "$((log * 1000))")" 0.99 1.08
end_watch
