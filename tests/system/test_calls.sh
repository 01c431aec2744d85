#!/usr/bin/env bash
# --in-process: functions timed by a library in the process, of programs that know their counts.
. tests/lib/system.sh
known=$BUILD/tests/targets/calls_known
[ "$(uname -m)" = x86_64 ] || { skip "timing in the process is there for x86-64 only"; exit 0; }
[ -x "$known" ] || { skip "no C++ compiler made calls_known"; exit 0; }

names=(lfind qsort snprintf strtold ldiv getpagesize)
probes=()
for f in "${names[@]}"; do probes+=(-e "libc.so.6:$f"); done
in_process=(--in-process --max-overhead 100000 --json -d 250ms)
# The last line that is whole.
last() { head -n "$(wc -l <"$1")" "$1" | tail -n 1; }
# latency FILE NAME FIELD: of its last line
latency() { last "$1" | jq -r ".latency[] | select(.name == \"$2\" and .source == \"in-process\") | .$3"; }
reason() { last "$1" | jq -r '.sections.func | "\(.status): \(.reason)"'; }
said() { sed -n "s/^$2=//p" "$1"; }
hooked() { [ "$(grep -c 'GOT slot.; ~' "$1")" -gt 0 ]; }
counts_agree() {
	local f
	for f in "${names[@]}"; do
		equal "$1: calls of $f" "$(latency "$2" "$f" calls)" "$(said "$3" "$f")"
	done
	equal "$1: its results are right" "$(tail -n 1 "$3")" right
}

# ---- launched, until it ends
"$PERFTOP" "${probes[@]}" "${in_process[@]}" --output "$T/launched.out" -- "$known" 2000 4 >"$T/launched.json"
equal "a launched command ends as it would" "$?" 0
counts_agree "launched" "$T/launched.json" "$T/launched.out"
equal "what throws or jumps out is counted, and not timed" "$(latency "$T/launched.json" lfind count)" \
	"$(awk 'BEGIN { for (i = 0; i < 2000; i++) n += i % 12 + 1; print n + 2 }')"
check "its section says how, and what it costs" grep -qE '^live: .*timed in the process, ~[0-9]+ ns a call' \
	<<<"$(reason "$T/launched.json")"
check "and a row, through what" grep -qE '^calls through [0-9]+ GOT slots?; ~[0-9]+ ns is the timer' \
	<<<"$(latency "$T/launched.json" qsort note)"
"$PERFTOP" -e 'libc.so.6:*' -e 'libstdc++.so.6:/cxa/' "${in_process[@]}" --output "$T/all.out" -- "$known" 200 4 >"$T/all.json"
equal "all of libc and what throws: its results are right" "$(tail -n 1 "$T/all.out")" right
equal "and what throws is counted" "$(latency "$T/all.json" __cxa_begin_catch calls)" 200
"$PERFTOP" "${probes[@]}" "${in_process[@]}" --output "$T/many.out" -- "$known" 100 300 >"$T/many.json"
counts_agree "300 threads" "$T/many.json" "$T/many.out"

# ---- a running process. Beside, where they can be, the probes of the kernel count the same calls.
run_known() {
	rm -f "$T/in"
	mkfifo "$T/in"
	exec 9<>"$T/in"
	start "$1" bash -c 'exec "$0" "${@:2}" <"$1" 9>&-' "$known" "$T/in" "$2" 4 wait
	eventually 10 grep -q ready "$T/$1.out"
	known_pid=$pid
}
run_known running 2000
start watcher "$PERFTOP" -p "$known_pid" "${probes[@]}" "${in_process[@]}"
watcher=$pid
if ! eventually 10 hooked "$T/watcher.out" && [ "$(id -u)" != 0 ]; then
	skip "loading into a running process: $(cat "$T/watcher.err") $(reason "$T/watcher.out")"
	exit "$status"
fi
if bpf_works; then
	start kernel "$PERFTOP" -p "$known_pid" "${probes[@]}" --force --json -d 250ms
	kernel=$pid
	eventually 10 has_lines "$T/kernel.out" 1
fi
echo go >&9
eventually 30 grep -qx 'right\|wrong' "$T/running.out"
pass "$T/watcher.out" 2
sed -i '/^ready/d' "$T/running.out"
counts_agree "attached" "$T/watcher.out" "$T/running.out"
if bpf_works; then
	pass "$T/kernel.out" 2
	# Exceptions would not pass the kernel's return probes: entries alone are compared.
	by_kernel() { last "$T/kernel.out" | jq ".latency[] | select(.name == \"$1\") | .calls"; }
	for f in lfind qsort snprintf strtold ldiv; do
		equal "the kernel's probes count the same calls of $f" "$(by_kernel "$f")" \
			"$(latency "$T/watcher.out" "$f" calls)"
	done
	# libc calls it too, when it makes a thread, and not through its GOT.
	between "and more where the function's own module calls it, getpagesize" "$(by_kernel getpagesize)" \
		$(($(latency "$T/watcher.out" getpagesize calls) + 1)) \
		$(($(latency "$T/watcher.out" getpagesize calls) + 40))
	kill -INT "$kernel"
fi

# ---- perftop is killed, or ends: the program goes on
kill -9 "$watcher"
start again "$PERFTOP" -p "$known_pid" "${probes[@]}" "${in_process[@]}"
check "after one that was killed another begins anew" eventually 10 hooked "$T/again.out"
equal "from zero" "$(latency "$T/again.out" qsort calls)" 0
"$PERFTOP" -p "$known_pid" "${probes[@]}" "${in_process[@]}" --duration 300ms >"$T/second.json"
check "two at a time: the second is told" grep -q 'another perftop (pid [0-9]*) times its calls' \
	<<<"$(reason "$T/second.json")"
kill -INT "$pid"
wait "$pid"
exec 9>&-
wait "$known_pid"
equal "the program ends as it would" "$?" 0

# The library's words, restored: of the stubs no address is left in the program's GOT.
run_known ending 20000
start watcher "$PERFTOP" -p "$known_pid" "${probes[@]}" "${in_process[@]}" --duration 700ms
eventually 10 hooked "$T/watcher.out"
echo go >&9
wait "$pid"
eventually 60 grep -qx 'right\|wrong' "$T/ending.out"
equal "perftop leaves in the middle: all is right" "$(tail -n 1 "$T/ending.out")" right
exec 9>&-

# A command that becomes another one, and a library that comes later, with words of its own.
mkfifo "$T/exec.in"
"$PERFTOP" "${probes[@]}" "${in_process[@]}" --output "$T/exec.out" -- \
	sh -c 'sleep 0.3; exec "$0" 100 1 wait <"$1"' "$known" "$T/exec.in" >"$T/exec.json" 2>"$T/exec.err" &
execs=$!
started+=("$execs")
exec 9<>"$T/exec.in"
check "after an execve its functions are led there too" eventually 20 hooked "$T/exec.json"
echo go >&9
eventually 20 grep -qx 'right\|wrong' "$T/exec.out"
sed -i '/^ready/d' "$T/exec.out"
pass "$T/exec.json" 2
counts_agree "after an execve" "$T/exec.json" "$T/exec.out"
exec 9>&-
wait "$execs"
cat >"$T/late.py" <<'PY'
import sys, time
print("ready", flush=True)
sys.stdin.readline()
import sqlite3
time.sleep(1)
db = sqlite3.connect(":memory:")
for i in range(1000):
    assert db.execute("select ? + 1", (i,)).fetchone() == (i + 1,)
print("good", flush=True)
sys.stdin.readline()
PY
rm -f "$T/in"
mkfifo "$T/in"
exec 9<>"$T/in"
start late bash -c 'exec python3 "$1" <"$0" 9>&-' "$T/in" "$T/late.py"
late=$pid
eventually 10 grep -q ready "$T/late.out"
start watcher "$PERFTOP" -p "$late" -e libc.so.6:memcpy -e libc.so.6:free -e libc.so.6:malloc "${in_process[@]}"
if eventually 10 hooked "$T/watcher.out"; then
	slots() { latency "$T/watcher.out" malloc note | sed -n 's/.*through \([0-9]*\) GOT.*/\1/p'; }
	before=$(slots)
	echo go >&9
	eventually 20 grep -q good "$T/late.out"
	pass "$T/watcher.out" 2
	check "what is loaded later calls through the library too" test "$(slots)" -gt "$before"
fi
kill -INT "$pid"
exec 9>&-
wait "$late"

# ---- what cannot be done is said
usage() { "$PERFTOP" "${@:2}" >"$T/usage" 2>&1; equal "$1" "$?/$(grep -c -- '--in-process' "$T/usage")" 2/1; }
# What it maps in the process is said before it does.
"$PERFTOP" -p $$ -e libc.so.6:qsort --in-process --list-probes >"$T/list" 2>&1
maps=$(sed -n 's/^The library maps \([0-9]*\) MiB in the process.*/\1/p' "$T/list")
check "the list says what the library maps" [ "${maps:-0}" -gt 0 ]
usage "without a function it is refused" --in-process -p $$
usage "with a marker too" --in-process -e usdt:a:b:c -p $$
start sleeper sleep 60
runs_as sleep
"$PERFTOP" -p "$pid" -e libc.so.6:setjmp -e libc.so.6:vfork --in-process --json --duration 200ms >"$T/odd.json" 2>"$T/odd.err"
check "functions that return twice are refused" grep -q 'may return twice' "$T/odd.json" "$T/odd.err"
printf '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n' >"$T/static.c"
if gcc -static -O1 "$T/static.c" -o "$T/static" 2>/dev/null; then
	start static "$T/static"
	runs_as static
	"$PERFTOP" -p "$pid" -e pause --in-process --json --duration 300ms >"$T/static.json" 2>"$T/static.err"
	check "a static program is refused, with what works instead" \
		grep -q 'linked statically.*without --in-process' "$T/static.json" "$T/static.err"
else
	skip "a static program: no static libc"
fi

# ---- programs that were not written for it, at work
if command -v redis-server >/dev/null; then
	start_redis
	start load redis-benchmark -s "$redis_sock" -l -q -c 10 -r 10000 -t set,get
	load=$pid
	"$PERFTOP" -p "$redis_pid" -e malloc -e free -e read -e write "${in_process[@]}" --duration 3s >"$T/redis.json"
	between "redis: mallocs" "$(tail -n 1 "$T/redis.json" | jq '[.latency[] | select(.name == "malloc") | .calls] | add')" 1000 1000000000
	between "redis: reads are replies, ratio" "$(tail -n 1 "$T/redis.json" | jq '[.latency[] | select(.name == "read") | .calls] | add' |
		awk -v w="$(tail -n 1 "$T/redis.json" | jq '[.latency[] | select(.name == "write") | .calls] | add')" '{ print $1 / w }')" 0.9 1.1
	if bpf_works; then
		between "redis: stacks pass the library, %" "$(tail -n 1 "$T/redis.json" | jq .cpu.unwound_pct)" 95 100
	fi
	equal "redis answers" "$(redis-cli -s "$redis_sock" ping)" PONG
	kill "$load" "$redis_pid"
else
	skip "redis-server is not installed"
fi
cat >"$T/sums.py" <<'PY'
import time, json
print("ready", flush=True)
t = time.monotonic(); n = 0
while time.monotonic() - t < 2.5:
    assert json.loads(json.dumps({"a": list(range(200))}))["a"][199] == 199
    n += len(str(2 ** 5000))
print("good")
PY
start python python3 "$T/sums.py"
python=$pid
eventually 10 grep -q ready "$T/python.out"
"$PERFTOP" -p "$python" -e malloc -e free -e realloc -e memcpy "${in_process[@]}" --duration 1s >"$T/python.json"
between "python3: mallocs" "$(latency "$T/python.json" malloc calls)" 100 1000000000
wait "$python"
equal "python3 comes to its end" "$(tail -n 1 "$T/python.out")" good
