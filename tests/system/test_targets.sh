#!/usr/bin/env bash
# Several processes as one target: pids, globs, families, control groups, forks; and the doctor.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
workers=3 calls=2000 children=40

# watch NAME OPTIONS...: perftop on the family, through its calls; the last line to $last
watch() {
	local name=$1
	shift
	start "$name" "$PERFTOP" --json -d 200ms --syscalls=full "$@"
	local top=$pid
	eventually 10 test -s "$T/$name.out" || not_ok "$name: perftop printed nothing"
	kill -USR1 "$family"
	eventually 20 grep -q done "$T/family.out"
	# In the first of them a child that has just ended may still be seen ending.
	pass "$T/$name.out" 3
	kill "$top"
	wait "$top" 2>/dev/null
	last=$(tail -1 "$T/$name.out")
}
family() {
	start family "$BUILD/tests/targets/family" $workers $calls $children
	family=$pid
	eventually 10 grep -q ready "$T/family.out"
}
end_family() { kill "$family"; wait "$family" 2>/dev/null; }
getsids() { jq '[.syscalls[] | select(.name == "getsid") | .count] | add // 0' <<<"$last"; }

family
watch follow -p "$family" --follow-forks
equal "with --follow-forks the calls of children there and of those to come are counted, all" \
	"$(getsids)" $(((workers + children) * calls))
equal "each process that lives has a row" "$(jq '.processes | length' <<<"$last")" $((workers + 1))
equal "and its parent" "$(jq "[.processes[] | select(.parent == $family)] | length" <<<"$last")" $workers
equal "threads are those of all" "$(jq '.target.threads' <<<"$last")" $((workers + 1))
check "no event says that children are not followed" \
	test "$(jq '[.events[] | select(.text | test("not followed"))] | length' <<<"$last")" = 0
end_family

family
watch probe -p "$family" --follow-forks -e family:one_call --max-overhead 100
equal "a probed function is counted in every process that lives, exactly" \
	"$(jq '[.latency[] | select(.name == "one_call") | .count] | add >= '$((workers * calls)) <<<"$last")" true
between "children that end before the tick may be missed, no more is counted than was called" \
	"$(jq '[.latency[] | select(.name == "one_call") | .count] | add' <<<"$last")" \
	$((workers * calls)) $(((workers + children) * calls))
end_family

# Children that a tick finds gone: what they used counts, with eBPF and without it.
used() { # used NAME MEMBERS: the sum of rates over the intervals
	jq -s "[.[] | (.interval_ns / 1e9) * ($2)] | add | floor" "$T/$1.out"
}
for how in "" --no-bpf; do
	start short "$BUILD/tests/targets/children" 15 800 4
	short=$pid
	eventually 10 grep -q ready "$T/short.out"
	start used "$PERFTOP" --json -p "$short" --follow-forks $how
	eventually 10 has_lines "$T/used.out" 1
	kill -USR1 "$short"
	eventually 20 grep -q done "$T/short.out"
	sleep 1.5
	kill -INT "$pid"
	wait "$pid" 2>/dev/null
	read -r _ ms faults < <(grep done "$T/short.out")
	between "CPU time of children shorter than a tick is counted, in ms ($ms)${how:+, $how}" \
		"$(used used '(.proc.user_pct + .proc.sys_pct) * 10')" $((ms * 90 / 100)) $((ms * 115 / 100))
	between "and their page faults ($faults)${how:+, $how}" \
		"$(used used '.proc.minflt_rate')" $((faults * 95 / 100)) $((faults * 105 / 100))
	kill "$short"
	wait "$short" 2>/dev/null
done

family
watch alone -p "$family"
equal "without it they are not" "$(getsids)" 0
end_family

family
mapfile -t kids < <(pgrep -P "$family")
watch pids -p "${kids[0]},${kids[1]}"
equal "-p A,B counts those two" "$(getsids)" $((2 * calls))
end_family
sleep 0 &
wait $!
"$PERFTOP" -p "$$,$!" --json --duration 100ms >"$T/out" 2>"$T/err"
equal "one of several that is not there is refused" $? 1
check "and named" grep -q "no process $!;" "$T/err"

family
watch glob -n "fam[i]ly"
equal "a glob takes all that it matches" "$(getsids)" $((workers * calls))
end_family

family
watch name -n family
equal "a name that a family has means the family" "$(jq '.processes | length' <<<"$last")" $((workers + 1))
equal "headed by the parent" "$(jq .target.pid <<<"$last")" "$family"
end_family

start one sleep 60
start two sleep 60
"$PERFTOP" -n sleep --duration 100ms >"$T/out" 2>"$T/err"
equal "a name that strangers share is refused" $? 2
check "with both listed" grep -q "$pid" "$T/err"

start first "$BUILD/tests/targets/family" 0 1 0
start second "$BUILD/tests/targets/family" 2 1 0
eventually 10 grep -q ready "$T/second.out"
"$PERFTOP" -n family --duration 100ms >"$T/out" 2>"$T/err"
equal "a name that two families have is refused" $? 2
equal "with a line for each, not for each child" "$(grep -c '^ *[0-9]' "$T/err")" 2
check "that says how many it stands for" grep -q "^ *$pid .*(and 2 children)" "$T/err"

# The first of several ends: the rest goes on.
start a "$BUILD/tests/targets/family" 0 1 0
a=$pid
start b "$BUILD/tests/targets/family" 0 1 0
b=$pid
eventually 10 grep -q ready "$T/b.out"
start heir "$PERFTOP" --json -d 100ms -p "$a,$b"
heir=$pid
eventually 10 test -s "$T/heir.out"
kill "$a"
eventually 10 grep -q "\"pid\":$b,\"comm\":\"family\"" "$T/heir.out"
kill "$b"
eventually 10 test ! -d "/proc/$heir"
equal "when one of two ends the other is watched on" \
	"$(tail -1 "$T/heir.out" | jq '.target.pid')" "$b"
equal "and the view ends with the last" "$(tail -1 "$T/heir.out" | jq '.finished')" true

# A control group, where one can be made.
for root in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/pids; do
	group=$root/docker/abcdef012345-perftop-$$
	if [ -e "$root/cgroup.procs" ] && mkdir -p "$group" 2>/dev/null; then
		family
		for p in $family $(pgrep -P "$family"); do echo "$p" >"$group/cgroup.procs"; done
		watch group --cgroup "${group#/sys/fs/cgroup}"
		equal "all of a control group are counted, short-lived children apart" \
			"$(($(getsids) >= workers * calls))" 1
		equal "its processes are named" "$(jq '.processes | length' <<<"$last")" $((workers + 1))
		"$PERFTOP" --json --duration 200ms --container abcdef >"$T/out" 2>"$T/err"
		equal "a container is found by the beginning of its ID" $? 0
		end_family
		eventually 1 rmdir "$group"
		rmdir "$root/docker" 2>/dev/null
		made=1
		break
	fi
done
[ "${made:-0}" = 1 ] || skip "no control group can be made here"
"$PERFTOP" --json --cgroup nowhere/at/all >"$T/out" 2>"$T/err"
equal "a control group that is not there is refused" $? 1
"$PERFTOP" --json --container ffffffffffff >"$T/out" 2>"$T/err"
equal "and a container" $? 1
"$PERFTOP" --json --container db1 >"$T/out" 2>"$T/err"
check "who gives a container's name is told how to get its ID" grep -qF "docker inspect -f '{{.Id}}' db1" "$T/err"

"$PERFTOP" --doctor >"$T/out" 2>"$T/err"
check "the doctor tries the parts and says that eBPF works" grep -q '^WORKS *bpf' "$T/out"
check "and that a probed function was seen" grep -Eq '^WORKS *func .*seen: [1-9]' "$T/out"
check "and that a marker was" grep -Eq '^WORKS *markers .*seen: [1-9]' "$T/out"
check "and that --heap=trace counted" grep -Eq '^WORKS *trace .*4 functions counted by eBPF.*seen: [1-9]' "$T/out"
check "and that functions can be timed in the process" grep -Eq '^WORKS *in-process .* [0-9]+ ns a call, saw [1-9][0-9]* of' "$T/out"
check "and that the heap sampler could be loaded" grep -Eq '^WORKS *sampler .*stood still for [0-9.]+ ms' "$T/out"
cp "$PERFTOP" "$T/perftop"
chmod 755 "$T"
setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all \
	"$T/perftop" --doctor >"$T/out" 2>"$T/err"
equal "without privilege it tells so by its status" $? 1
check "and names the command that grants what is missing" grep -q 'fix: sudo setcap' "$T/out"
for part in func markers trace; do
	check "$part is missing, with its fix" \
		grep -q 'fix: sudo setcap' <(grep -A1 "^MISSING *$part .*needs eBPF" "$T/out")
done
check "without its library functions are not timed in the process" grep -q '^MISSING *in-process .*libperftop_calls.so' "$T/out"
check "without its library the heap sampler is missing" grep -q '^MISSING *sampler .*libperftop_heap.so' "$T/out"

# Copies of one program have their locks at one address, and wait for each other's no more for that.
cat >"$T/gil.py" <<'END'
import os, threading, time
parent = os.getpid()
for _ in range(2):
    if os.fork() == 0:
        for _ in range(3):
            threading.Thread(target=lambda: [x * x for x in iter(int, 1)], daemon=True).start()
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(0)
print("ready", flush=True)
time.sleep(900)
END
start gil python3 "$T/gil.py"
gil=$pid
eventually 5 grep -q ready "$T/gil.out"
start gil_top "$PERFTOP" -p "$gil" --follow-forks --json -d 500ms --duration 900s
waited() { jqe -s '.[-1].blocked.locks | map(select(.kind == "GIL" and .waits > 10)) | length == 2' "$T/gil_top.out" >/dev/null; }
eventually 10 waited
kill "$pid"
wait "$pid"
last=$(tail -1 "$T/gil_top.out")
equal "the GIL of each of two forked interpreters is a lock of its own, by its process" \
	"$(jq -r '[.blocked.locks[] | select(.kind == "GIL" and .waits > 10) | .pid] | sort | map(tostring) | join(" ")' <<<"$last")" \
	"$(pgrep -P "$gil" | sort -n | paste -sd' ')"
equal "at one address" "$(jq '[.blocked.locks[] | select(.kind == "GIL" and .waits > 10) | .addr] | unique | length' <<<"$last")" 1

# Children that are gone by the next tick: what they ran is known all the same, where perftop gets a
# CPU while they live.
start brief bash -c "while :; do '$BUILD/tests/targets/busy' 0.25 >/dev/null; done"
runs_as bash
nice -n -15 "$PERFTOP" -p "$pid" --follow-forks --json -d 1s --duration 6s >"$T/brief.json" 2>"$T/brief.top.err"
last=$(tail -1 "$T/brief.json")
check "children of a quarter of a second are unwound, $(jq .cpu.unwound_pct <<<"$last") %" \
	jqe '.cpu.unwound_pct > 75' <<<"$last"
equal "and their functions have names" "$(jq -r '.cpu.functions[0].name' <<<"$last")" hot
kill "$pid"

# In a pid namespace, as in a container: pids are not the kernel's, for any of several.
cp "$BUILD/tests/targets/busy" "$T/one"
cp "$BUILD/tests/targets/busy" "$T/other"
cat >"$T/inside.sh" <<'END'
"$1/one" 60 & a=$!
"$1/other" 60 & b=$!
sleep 0.2
"$PERFTOP" -p "$a,$b" --json -d 500ms --duration 2500ms >"$1/inside.json" 2>"$1/inside.err"
bash -c "while :; do $1/one 0.3 >/dev/null; done" & c=$!
"$PERFTOP" -p "$c" --follow-forks --json -d 500ms --duration 4s >"$1/children.json" 2>"$1/children.err"
kill "$a" "$b" "$c"
END
unshare --pid --fork --mount-proc --kill-child bash "$T/inside.sh" "$T"
last=$(tail -1 "$T/inside.json")
equal "in a pid namespace each of two processes has its samples, under its name" \
	"$(jq -c '[.cpu.functions[] | select(.name == "hot") | .module] | sort' <<<"$last")" '["one","other"]'
equal "and its threads" "$(jq -c '[.threads[].comm] | sort' <<<"$last")" '["one","other"]'
check "and children that come have names there too" \
	jqe '.cpu.functions[0].name == "hot" and .cpu.functions[0].self_pct > 40' <<<"$(tail -1 "$T/children.json")"

# A 32-bit program: its system calls have other numbers, which must not be given names.
"${CC:-cc}" -m32 -nostdlib -static -o "$T/small" -x c - 2>/dev/null <<'END'
void _start(void)
{
	for (;;) {
		int result;

		__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid */
	}
}
END
timeout 0.2 env "$T/small" 2>/dev/null
if [ $? = 124 ]; then
	start small "$T/small"
	runs_as small
	last=$("$PERFTOP" -p "$pid" --json -d 300ms --duration 900ms | tail -1)
	equal "a 32-bit program's system calls get no wrong names" "$(jq -c .syscalls <<<"$last")" '[]'
	for part in syscalls cpu blocked; do
		check "its $part: that is said" jqe ".sections.$part.reason | test(\"32-bit\")" <<<"$last"
	done
	check "its CPU use is seen" jqe '.cpu.user_pct + .cpu.sys_pct > 5' <<<"$last"
	"$PERFTOP" -p "$pid" -e malloc >"$T/small.probe" 2>&1
	equal "a probe in it is refused" "$?" 1
	check "with the reason" grep -q '32-bit' "$T/small.probe"
	kill "$pid"
else
	skip "no compiler for 32-bit programs here, or no kernel that runs them"
fi
