#!/usr/bin/env bash
# Waits: a contended mutex is told apart from idle threads, and its wait adds up to the truth; each
# thread's time adds up; locks, stacks and sockets have their names.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
mkfifo "$T/go"
exec 9<>"$T/go"
start contend bash -c 'exec "$@" 9>&- <"$0"' "$T/go" "$BUILD/tests/targets/contend" 4 4 1000 go
target=$pid
eventually 10 test -s "$T/contend.out"
"$PERFTOP" -p "$target" --json -d 250ms --duration 900s >"$T/top.json" 2>"$T/top.err" &
top=$!
started+=("$top")
eventually 30 test -s "$T/top.json"
echo >&9
wait "$top"
equal "perftop ends with the target" "$?" 0
exec 9>&-
mutex=$(awk '/^mutex/ { print $2 }' "$T/contend.out")
truth=$(awk '/^locks/ { print $4 }' "$T/contend.out")
last=$(tail -1 "$T/top.json")
row() { jq --argjson a "$(printf '%d' "$mutex")" ".blocked.locks[] | select(.addr == \$a) | $1" <<<"$last"; }
equal "the mutex is found by address, as a mutex" "$(row .is_mutex)" 1
between "its wait time is what the threads measured themselves, ratio" \
	"$(jq -n --argjson a "$(row .wait_ns)" --argjson b "$truth" '$a / $b')" 0.95 1.02
equal "the idle thread's condition variable is no mutex" \
	"$(jq '[.blocked.locks[] | select(.is_mutex == 1)] | length' <<<"$last")" 1
check "the alert is raised while it lasts" grep -q '"rule":"lock_wait"' "$T/top.json"
# Of three quarters of these threads' waits, so that little is left to the lot: 1.006, deviating by
# 0.027, in twelve runs.
between "stacks that wait for it have its time, ratio" \
	"$(jq -n --argjson a "$(jq '[.blocked.stacks[] | select(.reason == "futex" and any(.frames[]; . == "compete (contend)")) | .ns] | add // 0' <<<"$last")" \
		--argjson b "$(row .wait_ns)" '$a / $b')" 0.87 1.13
middle=$(sed -n 8p "$T/top.json")
between "the shares of its ticks are so much together, ratio" \
	"$(jq -s --argjson a "$(printf '%d' "$mutex")" --argjson b "$truth" '[.[] | .interval_ns as $i |
		.blocked.locks[] | select(.addr == $a) | .pct * $i / 100] | add / $b' "$T/top.json")" 0.9 1.1
between "each thread's shares add up to its wall time, percent" \
	"$(jq '[.threads[] | .cpu_pct + .runq_pct + .blocked_pct] | add / length' <<<"$middle")" 98 102
equal "the lock has its variable's name, kind and call site" \
	"$(row '"\(.kind) \(.name) \(.site)"' | tr -d '"')" "mutex mutex compete"
equal "a condition variable is named, though it sleeps on a word inside" \
	"$(jq -r '.blocked.locks[] | select(.kind == "condvar") | "\(.name) \(.site)"' <<<"$last")" \
	"idle idle_on_cond"
check "a wait that never ended has its stack" \
	jqe 'any(.blocked.stacks[]; .waker == "" and any(.frames[]; . == "idle_on_cond (contend)"))' <<<"$middle"

# Each thread knows when it began and what it ran, and then waits until the end: the rest of the time
# up to the last tick that it is in, it was off the CPU.
"$PERFTOP" --json -d 250ms -- "$BUILD/tests/targets/waits" 4 >"$T/both.out" 2>"$T/both.err"
grep '^{' "$T/both.out" | head -n -1 >"$T/waits.json"
# Of those while the threads still did something.
before_last=$(jq -c 'select(.since_ns < 4000000000)' "$T/waits.json" | tail -1)
worst=$(awk '
	function far(a, b) { return a > b ? a - b : b - a }
	FNR == NR { if ($1 == "thread") { begin[$2] = $3; ran[$2] = $4; name[$2] = $6 $7 } next }
	{ off[$1] += $2 * $4 / 100; on[$1] += $3 * $4 / 100; last[$1] = $5 }
	END { for (t in ran) {
		wall = last[t] - begin[t]
		e = far(off[t], wall - ran[t]) * 100 / wall
		if (far(on[t], ran[t]) * 100 / wall > e) e = far(on[t], ran[t]) * 100 / wall
		n++; if (e >= most) { most = e; who = name[t] }
	  } if (n == 9) printf "%.2f %s", most, who }' <(grep ^thread "$T/both.out") \
	<(jq -r '.interval_ns as $i | .time_ns as $t | .threads[] |
		"\(.tid) \(.blocked_pct + .runq_pct) \(.cpu_pct) \($i) \($t)"' "$T/waits.json"))
between "off the CPU and on it, as each of nine threads knows them itself, worst (${worst#* }), percent of wall time" \
	"${worst% *}" 0 2
# In one tick of 250 ms, whose readings are some microseconds apart.
between "shares of every thread add up, the least, percent" \
	"$(jq '[.threads[] | .cpu_pct + .runq_pct + .blocked_pct] | min' <<<"$before_last")" 95 105
between "and the most" "$(jq '[.threads[] | .cpu_pct + .runq_pct + .blocked_pct] | max' <<<"$before_last")" 95 105
lock() { jq -r ".blocked.locks[] | select(.name == \"$1\") | $2" <<<"$before_last"; }
equal "a mutex by name" "$(lock cache_lock '"\(.kind) \(.site) \(.is_mutex)"')" "mutex use_cache 1"
between "two threads that hold it 2 ms each wait at least so long for it, p50 in ns" "$(lock cache_lock .p50)" 1700000 \
	"$(lock cache_lock '[3e6, 2 * .wait_ns / .waits] | max')"
equal "a semaphore is no lock" "$(lock work_ready '"\(.kind) \(.site) \(.is_mutex)"')" "sem take_work 0"
equal "a rwlock counts as a lock" \
	"$(jq -r '[.blocked.locks[] | select(.kind == "rwlock") | .is_mutex] | unique[]' <<<"$before_last")" 1
check "its name is the variable's" \
	jqe 'any(.blocked.locks[]; .kind == "rwlock" and .name == "table_lock")' <<<"$before_last"
# Whoever holds it as the tick looks, which readers do too.
writer=$(awk '$1 == "thread" && $NF == "writer" { print $2 }' "$T/both.out")
equal "its holder is the one that writes" \
	"$(jq -s '[.[].blocked.locks[] | select(.kind == "rwlock" and .owner_tid > 0) | .owner_tid] | unique[]' "$T/waits.json")" "$writer"
port=$(awk '/^port/ { print $2 }' "$T/both.out")
socket() { jq -r ".blocked.sockets[] | select(.name | startswith(\"tcp 127.0.0.1:$port \")) | $1" <<<"$before_last"; }
# It waits for nothing else.
between "the socket that was waited on, by its address; waits of the receiver's own" \
	"$(jq -n --argjson n "$(before_last=$(tail -1 "$T/waits.json") && socket .waits)" \
		--argjson own "$(awk '/^thread.*receiver/ { print $5 }' "$T/both.out")" '$n / $own')" 0.95 1.01
# Of a late tick not all stacks are taken, and the others stand for them.
late=$(jq -s '[.[].interval_ns] | max / 250e6 | sqrt' "$T/waits.json")
# as_long WHAT RATIO DEVIATION: within four times what the lot makes of it, as twenty runs had it
as_long() {
	local slack
	slack=$(jq -n "[4 * $3 * $late, 0.7] | min")
	between "$1" "$2" "$(jq -n "1 - $slack")" "$(jq -n "1 + $slack")"
}
stack() { jq "[.blocked.stacks[] | select(any(.frames[]; . == \"$1 (waits)\")) | $2] | add // 0" <<<"$before_last"; }
as_long "the stack of the receiver has the socket's time, ratio" \
	"$(jq -n --argjson a "$(stack receive .ns)" --argjson b "$(socket .wait_ns)" '$a / $b')" 0.04
# Half of what two threads wait for: each draw may fall on the other half.
as_long "stacks that wait for the mutex have its time, ratio" \
	"$(jq -n --argjson a "$(jq '[.blocked.stacks[] | select(.reason == "futex" and any(.frames[]; . == "use_cache (waits)")) | .ns] | add // 0' <<<"$before_last")" \
		--argjson b "$(lock cache_lock .wait_ns)" '$a / $b')" 0.087
equal "who gives work wakes the worker" \
	"$(jq -r '.blocked.stacks[] | select(any(.frames[]; . == "take_work (waits)")) | .waker' <<<"$before_last" | head -1 | sed 's|/.*||')" waits
check "all stacks reach a thread's start" \
	jqe '[.blocked.stacks[] | select(.count >= 5) | .frames[-1] | test("clone|_start")] | all' <<<"$before_last"

start_first busy "$BUILD/tests/targets/busy" 7
runs_as busy
"$PERFTOP" -p "$pid" --json -d 500ms --duration 900s >"$T/busy.json" 2>"$T/busy.err"
last=$(tail -1 "$T/busy.json")
share() { jq "[.cpu.functions[] | select(.name == \"$1\") | .self_pct] | add // 0" <<<"$last"; }
between "hot() has its three quarters of the samples, percent" "$(share hot)" 58 88
between "warm() its one" "$(share warm)" 15 35
between "main() is above both, percent" \
	"$(jq '[.cpu.functions[] | select(.name == "main") | .total_pct] | add' <<<"$last")" 95 100
# Where others want the CPUs too it waits for one, and that is the answer.
check "the answer in words is in JSON" jqe -s 'any(.[]; .verdict.label ==
	if ([.blocked.rows[] | select(.reason == "runq").pct] | add // 0) > 30 then "Waiting for CPU" else "CPU-bound" end)' "$T/busy.json"
check "the CPU alert names hot()" grep -q '"subject":"hot"' "$T/busy.json"

# By reason alone: what it leaves out it says, and what is left is as much.
"$PERFTOP" --json --no-wait-stacks -d 250ms -- "$BUILD/tests/targets/waits" 2 >"$T/plain.out" 2>"$T/plain.err"
last=$(grep '^{' "$T/plain.out" | tail -1)
check "without stacks of waits their reasons stand" \
	jqe '.blocked.by_reason.futex > 0 and .blocked.by_reason.net > 0 and (.blocked.stacks | length) == 0' <<<"$last"
check "and it says that they were not asked for" grep -q 'turned off by --no-wait-stacks' <<<"$last"

# A client that asks and waits: whom for, told apart from the server that it asks.
cat >"$T/ask.py" <<'P'
import os, socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
port = s.getsockname()[1]
if os.fork():
    c, _ = s.accept()
    while c.recv(100):
        time.sleep(0.02)
        c.send(b"answer")
else:
    s.close()
    c = socket.create_connection(("127.0.0.1", port))
    print(os.getpid(), port, flush=True)
    while True:
        at = time.monotonic()
        c.send(b"question")
        c.recv(100)
        print((time.monotonic() - at) * 1e3, flush=True)
P
if command -v python3 >/dev/null; then
	start server python3 "$T/ask.py"
	eventually 10 test -s "$T/server.out"
	read -r client port <"$T/server.out"
	started+=("$client")
	peer() { "$PERFTOP" --json -p "$1" -d 500ms --duration 3s 2>/dev/null | tail -1 |
		jq -c '[.blocked.sockets[] | select(.name | startswith("tcp"))][0] | [.peer, .pct, .wait_ns / .waits / 1e6, .rtt_ns / 1e6]'; }
	min_rtt() { ss -tin "dport = :$port" | grep -o 'minrtt:[0-9.]*' | cut -d: -f2; }
	command -v ss >/dev/null && before=$(min_rtt)
	from=$(wc -l <"$T/server.out")
	asked=$(peer "$client")
	took=$(tail -n +"$((from + 1))" "$T/server.out" | jq -s 'add / length')
	equal "a client waits for the other end" "$(jq -r '.[0]' <<<"$asked")" "127.0.0.1:$port"
	between "nearly all of its time" "$(jq '.[1]' <<<"$asked")" 70 101
	# Its own time has waits for a CPU in it, and is of a little more than perftop saw.
	between "for as long as that takes to answer, ms" "$(jq '.[2]' <<<"$asked")" 19 "$(jq -n "$took * 1.1")"
	# The kernel's smoothed time has the answer's in it, which comes with the acknowledgement.
	if command -v ss >/dev/null; then
		# Only shorter ones are news: what it said before and what it says after are about it.
		between "of which the network takes what ss says, ms" "$(jq '.[3]' <<<"$asked")" "$(min_rtt)" "$before"
	else
		between "of which the network takes next to nothing, ms" "$(jq '.[3]' <<<"$asked")" 0.001 5
	fi
	equal "the server does not wait for it" "$(jq -r '.[0]' <<<"$(peer "$pid")")" ""
else
	skip "no python3 here"
fi

# What the default set costs is bounded by words: where context switches alone take more than they may.
start ping "$BUILD/tests/targets/storm_events" ping
runs_as storm_events
"$PERFTOP" -p "$pid" --json -d 200ms --duration 4s --syscalls=off --max-overhead 0.1 >"$T/over.json" 2>&1
# Context switches are thinned; what most of the rest goes to depends on the machine.
check "what it costs beyond the budget is said, with what spares it" \
	jqe '.sections.cost | .status == "degraded" and (.reason | test("^over the budget: .* go to [a-zA-Z ]+$")) and
		(.fix | test("^--.*; --max-overhead PCT allows more$|^--max-overhead PCT allows more; --no-bpf spares all$"))' \
	<<<"$(tail -1 "$T/over.json")"
equal "as an event too" "$(tail -1 "$T/over.json" | jq 'any(.events[]; .text | test("^over the budget: .* 0.1 % were"))')" true
"$PERFTOP" -p "$pid" --json -d 200ms --duration 2s --no-offcpu --syscalls=off --max-overhead 90 >"$T/over.json" 2>&1
equal "and not within it" "$(tail -1 "$T/over.json" | jq -r .sections.cost.status)" live

# Over the budget they are seen in windows: estimates, and marked so, but of the right size.
reason() { jq -s "[.[].blocked.rows[] | select(.reason == \"$1\") | .pct] | add / length" <<<"$windows"; }
# thinned WORDS ENV...
thinned() {
	local words=$1
	shift
	env "$@" "$PERFTOP" -p "$pid" --json -d 500ms --duration 9s --syscalls=off --max-overhead 3 >"$T/thin.json" 2>&1
	thin=$(tail -1 "$T/thin.json")
	check "context switches over the budget are thinned, and it is said$words" \
		jqe '.sections.blocked | .status == "degraded" and (.reason | test("seen for 1/[0-9]+ of the time"))' <<<"$thin"
	equal "as an event, once$words" "$(jq '[.events[] | select(.text | startswith("context switches throttled"))] | length' <<<"$thin")" 1
	between "what they take falls, to the budget or near it, percent of what it was$words" \
		"$(jq -s '([.[].cost.target_pct_est] | max) as $all | 100 * last.cost.target_pct_est / $all' "$T/thin.json")" 0 50
	# One of the two threads waits at any time, or for a CPU on a busy machine; a third sleeps.
	windows=$(jq -c 'select(.sections.blocked.reason | test("seen for"))' "$T/thin.json" | tail -n +2 | head -n -1)
	between "time that threads wait, percent$words" "$(jq -n "$(reason futex) + $(reason runq)")" 90 135
	between "a sleep that is longer than the windows has all of its time, percent$words" "$(reason sleep)" 95 105
	between "each thread's shares still add up, percent$words" \
		"$(jq -s '[.[].threads[] | .cpu_pct + .runq_pct + .blocked_pct] | add / length' <<<"$windows")" 98 102
	# Too low by what watching slows the target, which does nothing else.
	between "waits, of the voluntary context switches that the kernel counted, ratio$words" \
		"$(jq -s '(last.proc.ctxsw_voluntary - first.proc.ctxsw_voluntary) as $all |
			([last, first] | map([.blocked.rows[] | select(.reason != "runq") | .count] | add) | .[0] - .[1]) / $all' <<<"$windows")" 0.6 1.4
	equal "the lock keeps its name$words" "$(jq -r '.blocked.locks[0].name' <<<"$thin")" turn
}
thinned ""
# Where the scheduler's clock is not the same on all CPUs, waits end by wake-ups.
thinned ", by wake-ups" PERFTOP_NO_SCHEDULER_CLOCK=1
"$PERFTOP" -p "$pid" --json -d 250ms --duration 3s --syscalls=off --max-overhead 0 >"$T/full.json" 2>&1
equal "without a limit all are seen" "$(tail -1 "$T/full.json" | jq -r .sections.blocked.status)" live
# A wake-up's way to a CPU that idles is no waiting for a CPU, whatever else is asked for: the
# scheduler's own account of each thread has none of it.
"$PERFTOP" -p "$pid" --json -d 250ms --duration 3s --syscalls=off --max-overhead 0 -e storm_events:main >"$T/tails.json" 2>&1
for file in full tails; do
	between "time in the run queue, percent beyond the scheduler's account, $file" "$(jq -s '[.[1:][] |
		([.blocked.rows[] | select(.reason == "runq") | .pct] | add) - ([.threads[].runq_pct] | add)] | add / length' "$T/$file.json")" -10 10
done

# Waking and switching run with interrupts off: their time is not that of turning these on again.
check "the kernel's work is seen" jqe 'any(.cpu.functions[]; .module == "[kernel]" and .self > 0)' <<<"$(tail -1 "$T/full.json")"
equal "samples of what turns interrupts on, as if it were work" \
	"$(tail -1 "$T/full.json" | jq '[.cpu.functions[] | select(.name | test("unlock_irq|irq_enable|finish_task_switch")) | .self] | add // 0')" 0

# poll and select wait for what their descriptors are: the network only where one is a socket.
cat >"$T/polls.py" <<'P'
import os, select, socket, sys
what, how = sys.argv[1:]
one, other = os.pipe(), socket.socketpair()
fds = {"pipe": [one[0]], "socket": [other[0]], "both": [one[0], other[0]], "nothing": []}[what]
if how == "poll":
    p = select.poll()
    for fd in fds:
        p.register(fd, select.POLLIN)
print("ready", flush=True)
while True:
    p.poll(20) if how == "poll" else select.select(fds, [], [], 0.02)
P
if command -v python3 >/dev/null; then
	for how in poll select; do
		for what in pipe:other socket:net both:net nothing:sleep; do
			start polls python3 "$T/polls.py" "${what%:*}" "$how"
			eventually 10 grep -q ready "$T/polls.out"
			"$PERFTOP" --json -d 250ms --duration 750ms -p "$pid" >"$T/polls.json" 2>/dev/null
			equal "$how of ${what%:*}: what is waited for" "$(tail -n 1 "$T/polls.json" |
				jq -r '.blocked.by_reason | del(.runq) | to_entries | max_by(.value).key')" "${what#*:}"
			[ "$what" != socket:net ] || equal "and which" \
				"$(tail -n 1 "$T/polls.json" | jq -r '[.blocked.sockets[].name] - ["poll or select, any of its sockets"] | .[0]')" "unix unnamed"
			kill "$pid"
		done
	done
else
	skip "poll and select: no python3"
fi
