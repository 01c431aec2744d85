#!/usr/bin/env bash
# As `make install` leaves it: capabilities of the file, and an ordinary user who runs it.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
root=$(cd "$(dirname "$0")/../.." && pwd)
cannot() {
	if [ "${PERFTOP_REQUIRE_BPF:-0}" = 1 ]; then
		not_ok "capabilities of a file cannot be tried here: $1"
	else
		skip "capabilities of a file cannot be tried here: $1"
	fi
	exit 0
}
[ "$(id -u)" = 0 ] || cannot "only root can give them"
chmod 755 "$T"
# What was built is what is tried: nothing is made anew.
env -u MAKEFLAGS -u MAKELEVEL make -s -C "$root" -o programs B="$BUILD" DESTDIR="$T" PREFIX=/usr install \
	>"$T/install.out" 2>&1
equal "make install ends well" "$?" 0
top=$T/usr/bin/perftop
as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)
given=$(PATH=$PATH:/usr/sbin:/sbin getcap "$top" 2>&1 | sed 's/.* //')
[ -n "$given" ] || cannot "setcap gave none: $(tail -1 "$T/install.out")"
! findmnt -no OPTIONS -T "$T" | grep -qw nosuid || cannot "$T is mounted nosuid"
"${as_user[@]}" "$top" --version >"$T/version" 2>&1 || cannot "the user cannot run it: $(head -c 100 "$T/version")"
equal "it has the three that it needs and no more" \
	"$(tr ',=' '\n' <<<"$given" | sort | paste -sd' ')" "cap_bpf cap_perfmon cap_sys_ptrace ep"

# Of a plain user, in a folder of their own.
mkdir "$T/own"
cp "$BUILD"/tests/targets/{known,waits,busy,io_calls} "$T/own"
chown -R 65534:65534 "$T/own"
mkfifo "$T/in"
exec 7<>"$T/in"
# watched NAME LINES COMMAND OPTIONS...: perftop, run by that user, looks at $pid, which carries COMMAND out
watched() {
	local name=$1 n=$2 command=$3 target=$pid
	shift 3
	start "$name.top" "${as_user[@]}" "$top" -p "$target" --json -d 200ms --duration 900s --max-overhead 0 "$@"
	eventually 10 test -s "$T/$name.top.out" || { not_ok "$name: perftop said $(head -c 200 "$T/$name.top.err")"; exit 1; }
	echo "$command" >&7
	eventually 30 has_lines "$T/$name.out" "$n"
	pass "$T/$name.top.out" 2
	kill -INT "$pid"
	wait "$pid"
	last=$(tail -1 "$T/$name.top.out")
	kill "$target"
	wait "$target" 2>/dev/null
}
# own NAME CMD...: of that user, with the pipe as its input
own() {
	local name=$1
	shift
	"${as_user[@]}" "$@" <&7 >"$T/$name.out" 2>"$T/$name.err" 7>&- &
	pid=$!
	started+=("$pid")
	runs_as "$name"
}
section() { jq -r ".sections.$1.status" <<<"$last"; }

own known "$T/own/known"
watched known 2 "calls known_push 4321 2" -e known:known_push -e known:known_work
calls() { jq ".latency[] | select(.name == \"$1\") | .$2" <<<"$last"; }
equal "the tier is said" "$(jq -r .target.tier <<<"$last")" cap_bpf+cap_perfmon
equal "a probed function's calls are counted, all" "$(calls known_push count)" 8642
equal "and timed" "$(calls known_push sampled)" 8642
for s in bpf func blocked syscalls cpu; do equal "$s is live" "$(section $s)" live; done
equal "what needs more says so: eBPF's run time" \
	"$(jq -r '.sections.cost | .status + ": " + .reason + "; " + .fix' <<<"$last")" \
	"degraded: eBPF run time is not known: reading it needs CAP_SYS_ADMIN; run as root"
equal "nothing else is in part" \
	"$(jq -c '[.sections | to_entries[] | select(.value.status == "degraded") | .key]' <<<"$last")" '["cost"]'

own io_calls "$T/own/io_calls" "$T/own/file"
watched io_calls 1 "kinds 300" --syscalls=full
reads() { jq --arg c "$1" '[.syscalls[] | select(.name == "read" and .module == $c) | .count] | add // 0' <<<"$last"; }
equal "system calls are counted, by what they work on" "$(reads file) $(reads socket)" "300 300"

start waits "${as_user[@]}" "$T/own/waits" 900
runs_as waits
last=$("${as_user[@]}" "$top" -p "$pid" --json -d 250ms --duration 3s | tail -1)
equal "time off the CPU has its locks, by name" \
	"$(jq -r '.blocked.locks[] | select(.name == "cache_lock") | "\(.kind) \(.site)"' <<<"$last")" "mutex use_cache"
check "its stacks" jqe 'any(.blocked.stacks[]; any(.frames[]; . == "use_cache (waits)"))' <<<"$last"
check "and its sockets" jqe 'any(.blocked.sockets[]; .name | startswith("tcp 127.0.0.1:"))' <<<"$last"
between "each thread's shares add up, percent" \
	"$(jq '[.threads[] | .cpu_pct + .runq_pct + .blocked_pct] | add / length' <<<"$last")" 95 105

start busy "${as_user[@]}" "$T/own/busy" 60
runs_as busy
last=$("${as_user[@]}" "$top" -p "$pid" --json -d 500ms --duration 2500ms | tail -1)
between "samples come" "$(jq .cpu.samples <<<"$last")" 10 1000
equal "with the function that is hot, unwound" \
	"$(jq -r '.cpu.functions[0].name, (.cpu.unwound_pct > 95)' <<<"$last" | paste -sd' ')" "hot true"
kill "$pid"
start others "$T/own/busy" 60
runs_as busy
last=$("${as_user[@]}" "$top" -p "$pid" --json -d 500ms --duration 2500ms | tail -1)
equal "another user's process is watched as well" \
	"$(jq -r '.cpu.functions[0].name' <<<"$last") $(section blocked) $(section heap)" "hot live live"
kill "$pid"

"${as_user[@]}" "$top" --doctor >"$T/doctor" 2>&1
check "the doctor names the tier" grep -q ', as cap_bpf+cap_perfmon: ' "$T/doctor"
# Those of the machine, and not of what perftop may do: hidden kernel names, few files, no UTF-8.
equal "and finds all but the cost to work" \
	"$(sed -n 's/^\(MISSING\|PARTLY\) *\([^ ]*\).*/\1 \2/p' "$T/doctor" | grep -vwE 'kallsyms|files|ptrace|locale' | paste -sd,)" \
	"PARTLY cost"

# The command that is printed where they are missing brings them back.
PATH=$PATH:/usr/sbin:/sbin setcap -r "$top"
start bare "${as_user[@]}" "$T/own/busy" 60
runs_as busy
tick() { last=$("${as_user[@]}" "$top" -p "$pid" --json -d 200ms --duration 500ms | tail -1); }
tick
equal "without them one is a user" "$(jq -r .target.tier <<<"$last") $(section blocked)" "user absent"
fix=$(jq -r .sections.blocked.fix <<<"$last")
equal "whom it tells to type" "$fix" "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep $top"
PATH=$PATH:/usr/sbin:/sbin ${fix#sudo }
tick
equal "after which it works" "$(jq -r .target.tier <<<"$last") $(section blocked)" "cap_bpf+cap_perfmon live"
