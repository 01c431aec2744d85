#!/usr/bin/env bash
# The command line end to end: targets, exit statuses, text, JSON, recording and replay.
. "$(dirname "$0")/../lib/system.sh"
p=$PERFTOP
run() { # run CMD...: stdout and stderr in $T/out, $T/err, status in $rc (124: it did not end)
	timeout 60 "$@" >"$T/out" 2>"$T/err" </dev/null
	rc=$?
}
one_line() { [ "$(wc -l <"$T/err")" -eq 1 ] && grep -q "$1" "$T/err"; }
holds() { jqe "$@" >/dev/null; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.[ZX]' "/proc/$1/status"; }

# ---- help and mistakes
run "$p" --help
equal "help ends well" "$rc" 0
check "help fits a screen of 100 columns" test "$(awk '{ if (length > m) m = length } END { print m }' "$T/out")" -le 100
run "$p" --version
check "version is told" grep -q '^perftop [0-9]' "$T/out"
run "$p"
equal "no target and no terminal is bad usage" "$rc" 2
check "and says what to give" one_line 'give -p PID'
for bad in '-d 1ms' '-p abc' '--bogus' 'redis' '--syscalls=some'; do
	# shellcheck disable=SC2086
	run "$p" $bad
	equal "bad usage: $bad" "$rc" 2
	check "one line for: $bad" one_line '^perftop: '
done
for none in '-p 4194304' '-p 4194304,4194303' '-n no-such-process-here' '--cgroup no-such.slice' \
	'--container 0123456789abcdef'; do
	# shellcheck disable=SC2086
	run "$p" $none --json --duration 100ms
	equal "no such target: $none" "$rc" 1
	check "one line for: $none" one_line '^perftop: '
done
run "$p" benchmark --suite x
equal "bad usage: benchmark --suite x" "$rc" 2
check "one line for: benchmark --suite x" one_line '^perftop benchmark: --suite x: '

run "$p" -p $$ --view nosuch --text
equal "bad usage: a view that there is not, also without a terminal" "$rc" 2
check "names those there are" one_line 'no such view; use overview, latency'
for unset in --pid= --cgroup= --record= --json=; do
	run "$p" "$unset" -d 50ms --duration 100ms
	equal "bad usage: $unset, as where a variable was not set" "$rc" 2
	check "one line for: $unset" one_line "^perftop: ${unset%=}: its value is empty"
done

# ---- an output that takes nothing
for what in --help --version "-p $$ --list-probes -e libc.so.6:malloc" --doctor 'engine --help' \
	'benchmark --help' "-p $$ --no-bpf -d 50ms --duration 100ms"; do
	# shellcheck disable=SC2086
	timeout 60 "$p" $what >/dev/full 2>"$T/err" </dev/null
	equal "a full disk for: ${what//$$/PID}" "$?" 1
	check "is told" one_line 'cannot write'
	# shellcheck disable=SC2086
	timeout 60 "$p" $what >&- 2>"$T/err" </dev/null
	equal "no stdout for: ${what//$$/PID}" "$?" 1
done

# ---- targets that cannot be watched
run "$p" -p 4194304
equal "a pid that is not there" "$rc" 1
check "is told" one_line 'no process'
start zombie python3 -c 'import os,time
z = os.fork()
if z == 0: os._exit(0)
print(z, flush=True)
time.sleep(1000)'
parent=$pid
eventually 10 test -s "$T/zombie.out"
z=$(cat "$T/zombie.out")
eventually 10 grep -q '^State:.Z' "/proc/$z/status"
run "$p" -p "$z"
equal "a zombie cannot be watched" "$rc" 1
check "and that is said" one_line 'has exited'
check "with what can be" one_line "perftop -p $(awk '{ print $4 }' "/proc/$z/stat")$"
kill "$parent"
kthread=$(pgrep -x kthreadd)
if [ -n "$kthread" ]; then
	for how in '' '--list-probes -e malloc'; do
		# shellcheck disable=SC2086
		run "$p" -p "$kthread" $how
		equal "a kernel thread cannot be watched $how" "$rc" 1
		check "and that is said" one_line 'is a kernel thread'
	done
else
	skip "no kernel threads are seen here"
fi

# ---- names
name=ptop-$$ # the kernel keeps 15 characters
ln -s "$(command -v sleep)" "$T/$name"
start one "$T/$name" 1000
runs_as "$name"
run "$p" -n "$name" --json --no-bpf -d 100ms --duration 200ms
equal "a process by its name" "$rc" 0
equal "is the right one" "$(head -1 "$T/out" | jq .target.pid)" "$pid"
first=$pid
start two "$T/$name" 1000
runs_as "$name"
run "$p" -n "$name"
equal "a name that two have is bad usage" "$rc" 2
check "and both are listed" grep -q " $first " "$T/err"
check "with their pids" grep -q " $pid " "$T/err"

# ---- JSON
run "$p" -p "$first" --json --no-bpf -d 100ms --duration 500ms
equal "JSON for a duration" "$rc" 0
check "is one object a line" holds . "$T/out"
between "as many as fit" "$(wc -l <"$T/out")" 2 7
equal "names its schema" "$(head -1 "$T/out" | jq -r .schema)" perftop.snapshot/1
equal "has every part" "$(head -1 "$T/out" | jq -r '[.target,.sections,.proc,.cpu,.cost,.latency,.syscalls,.blocked,.threads,.counters,.kernels,.alerts,.events|type]|unique|join(" ")')" "array object"
check "says why a part is absent" holds '.sections.bpf.status == "absent" and (.sections.bpf.reason | length > 0)' "$T/out"
run "$p" -p "$first" --json="$T/x.json" --no-bpf -d 100ms --duration 200ms
equal "JSON into a file leaves stdout empty" "$(wc -c <"$T/out")" 0
check "and is whole" holds .seq "$T/x.json"
run "$p" -p "$first" --json=/nonexistent/x --no-bpf
equal "a file that cannot be written" "$rc" 1
check "is told" one_line 'cannot write /nonexistent/x'

# ---- the end, by each way
"$p" -p "$first" --json --no-bpf -d 50ms </dev/null 2>"$T/err" | head -1 >"$T/out"
equal "a reader that leaves is no error" "${PIPESTATUS[0]} $(wc -c <"$T/err")" "0 0"
for sig in INT TERM HUP; do
	# A shell's background job ignores SIGINT, and so would what it starts.
	start "sig$sig" python3 -c 'import os,signal,sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$p" -p "$first" --text --no-bpf -d 100ms
	eventually 10 test -s "$T/sig$sig.out"
	kill -"$sig" "$pid"
	wait "$pid"
	equal "SIG$sig ends it" "$?" $((128 + $(kill -l "$sig")))
	equal "with a whole block last" "$(tail -1 "$T/sig$sig.out")" ""
done
"$T/$name" 1000 &
victim=$!
start victim "$p" -p "$victim" --json --no-bpf -d 100ms
eventually 10 test -s "$T/victim.out"
kill -9 "$victim"
wait "$pid"
equal "a target that is killed ends the watch well" "$?" 0
equal "and the last object says so" "$(tail -1 "$T/victim.out" | jq -r '[.finished,.target.state]|join(" ")')" "true exited"
wait "$victim" 2>/dev/null

# ---- launching
run "$p" --no-bpf --json="$T/l.json" -d 100ms -- sh -c 'echo out; echo err >&2; sleep 0.3; exit 42'
equal "a launched command's status is perftop's" "$rc" 42
equal "its output is left alone" "$(cat "$T/out" "$T/err" | tr '\n' ' ')" "out err "
equal "and it was watched to its end" "$(tail -1 "$T/l.json" | jq -r .target.state)" exited
# shellcheck disable=SC2016
run "$p" --no-bpf --json="$T/l.json" -- sh -c 'kill -SEGV $$'
equal "a launched command that crashes" "$rc" 139
run "$p" --output /nonexistent/out -- true
equal "a file for its output that cannot be written" "$rc" 1
check "is told, and no other reason" one_line 'cannot write /nonexistent/out'
run "$p" -- /nonexistent/command
equal "a command that is not there" "$rc" 127
run "$p" --no-bpf --json="$T/l.json" -d 100ms --duration 200ms --output "$T/cmd.out" -- sh -c 'echo $$; exec sleep 1000'
equal "a command that outlives the duration" "$rc" 0
check "is ended with perftop" gone "$(cat "$T/cmd.out")"
start kept "$p" -p "$first" --json --no-bpf -d 100ms --duration 200ms
wait "$pid"
check "a process that was attached to goes on" kill -0 "$first"

# ---- the engine
run "$p" --watch=100ms --no-bpf --json --duration 2s --load 200 --engine-args '--workers 1'
equal "--watch alone starts the engine" "$rc" 0
check "which serves queries" holds 'select(.seq > 2) | .counters[] | select(.name == "query.completed") | .value > 0' "$T/out"
check "and is gone afterwards" gone "$(head -1 "$T/out" | jq .target.pid)"
start killed "$p" --watch=100ms --no-bpf --json
eventually 10 test -s "$T/killed.out"
engine=$(head -1 "$T/killed.out" | jq .target.pid)
kill -9 "$pid"
check "the engine does not outlive a perftop that is killed" eventually 5 gone "$engine"

# ---- recording and replay
run "$p" -p "$first" --no-bpf --json -d 100ms --duration 500ms -o "$T/run.ptop"
cp "$T/out" "$T/live.json"
equal "recording" "$rc" 0
check "leaves one file" test ! -e "$T/run.ptop-wal"
run "$p" --replay "$T/run.ptop" --speed 0 --json
equal "replay" "$rc" 0
check "gives the very same objects" cmp "$T/out" "$T/live.json"
run "$p" --replay "$T/run.ptop" --speed 0 --text
equal "and text, a block a tick" "$(grep -c '^cpu ' "$T/out")" "$(wc -l <"$T/live.json")"
check "and rows for the sqlite3 shell" test "$(sqlite3 "$T/run.ptop" 'SELECT count(*) FROM timeline')" = "$(wc -l <"$T/live.json")"
run "$p" -p "$first" --no-bpf -o "$T/run.ptop"
equal "a recording is not overwritten" "$rc" 1
check "without --force" one_line 'force'
echo mine >"$T/mine"
run "$p" -p "$first" --no-bpf -o "$T/mine" --force
equal "what is no recording is not overwritten, whatever is said" "$rc $(cat "$T/mine")" "1 mine"
check "and that is said" one_line 'no recording'
(ulimit -f 100 && run "$p" -p "$first" --no-bpf --json=/dev/null -d 50ms --duration 3s -o "$T/holes.ptop" && exit "$rc")
equal "a recording with holes is no success" "$?" 1
check "and that is said" one_line 'ticks were not recorded'
head -c 20000 "$T/run.ptop" >"$T/cut.ptop"
run "$p" --replay "$T/cut.ptop" --json
equal "a recording that is cut off" "$rc" 1
check "is told" one_line 'cut off'
start crash "$p" -p "$first" --no-bpf --json -d 100ms -o "$T/crash.ptop"
eventually 10 sh -c "[ \$(wc -l <'$T/crash.out') -ge 3 ]"
kill -9 "$pid"
wait "$pid" 2>/dev/null
run "$p" --replay "$T/crash.ptop" --speed 0 --json
check "kill -9 loses no tick that was shown" test "$(wc -l <"$T/out")" -ge "$(wc -l <"$T/crash.out")"

# ---- probes listed, not attached
run "$p" -p "$first" --list-probes -e libc.so.6:malloc
equal "--list-probes" "$rc" 0
check "names what it would attach to" grep -q 'malloc' "$T/out"
run "$p" -p "$first" --list-probes -e libc.so.6:no_such_function
equal "and what it would not find" "$rc" 1

# --- themes -------------------------------------------------------------------------------------
"$PERFTOP" --theme nosuch -p $$ --duration 100ms >"$T/out" 2>"$T/err"
equal "an unknown theme is refused" "$?" 2
check "with the names of those there are" grep -q 'dark' "$T/err"
