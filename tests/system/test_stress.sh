#!/usr/bin/env bash
# What perftop and its target do when much happens at once, or goes wrong.
. "$(dirname "$0")/../lib/system.sh"
. "$(dirname "$0")/../lib/rates.sh"
need_bpf
events=$BUILD/tests/targets/storm_events process=$BUILD/tests/targets/storm_process
cc=$(command -v cc || command -v gcc || command -v clang)
RSS_MAX=$((160 << 20)) GAP_MAX=2000 # on a machine that gives a CPU at once
case $(readelf -d "$PERFTOP" 2>/dev/null) in
*asan*) RSS_MAX=$((1 << 30)) GAP_MAX=6000 ;;
esac

# gated NAME CMD...: starts it with what is written to descriptor 9 as its stdin. Its name is in
# place: perftop would see the execve.
gated() {
	local name=$1
	shift
	rm -f "$T/go"
	mkfifo "$T/go"
	exec 9<>"$T/go"
	# A command in the background reads /dev/null unless it opens something itself.
	start "$name" bash -c 'go=$1; shift; exec "$@" 9>&- <"$go"' - "$T/go" "$@"
	runs_as "$(basename "$1" | cut -c -15)"
}

# How many times as long as alone work takes here, most of whose rivals are ours.
echo 1 >"$T/slowness"
command -v python3 >/dev/null && start slowness python3 tests/lib/slowness.py "$T/slowness"
gap_max() { awk -v most="$GAP_MAX" '{ print most * ($1 > 2 ? $1 / 2 : 1) }' "$T/slowness"; }

# watch NAME OPTION...: perftop on $pid in the background, its pid in $top
watch() {
	local name=$1
	shift
	"$PERFTOP" -p "$pid" --json="$T/$name.json" -d 100ms "$@" 2>"$T/$name.err" &
	top=$!
	started+=("$top")
}
# ended NAME [STATUS]: it ends well, or so, and says only whole lines, in time, within its memory
ended() {
	local name=$1 want=${2:-0} rc gap rss
	if ! eventually 30 over "$top"; then
		not_ok "$name: perftop hangs"
		kill -9 "$top"
	fi
	wait "$top"
	rc=$?
	forget "$top"
	equal "$name: perftop ends well" "$rc" "$want"
	[ "$rc" = "$want" ] || sed 's/^/# /' "$T/$name.err" | head -20
	check "$name: every line is an object" whole "$T/$name.json"
	read -r gap rss < <(jq -rs '"\([range(1; length) as $i | .[$i].time_ns - .[$i - 1].time_ns] |
		(max // 0) / 1e6 | floor) \([.[].cost.self_rss_bytes] | max)"' "$T/$name.json")
	between "$name: the longest pause between lines, ms" "$gap" 0 "$(gap_max)"
	between "$name: resident memory, bytes" "$rss" 1 "$RSS_MAX"
}
over() { ! grep -qs "^State:.[^Z]" "/proc/$1/status"; }
whole() {
	[ -s "$1" ] && [ "$(tail -c 1 "$1" | wc -l)" = 1 ] &&
		jq -ce 'select(.schema == "perftop.snapshot/1") | 1' "$1" | wc -l | grep -qx "$(wc -l <"$1")"
}
last() { tail -1 "$T/$1.json" | jq -r "$2"; }
any() { jqe -s "any(.[]; $2)" "$T/$1.json" >/dev/null; }
has_line() { [ "$(wc -l <"$T/$1.json")" -ge "${2:-1}" ]; }
says() { grep -q "$2" "$T/$1.out"; }
# over_with PID: ends what was started.
over_with() {
	kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	forget "$1"
}
# forget PID: it has ended, and its number may soon be another's.
forget() {
	local i

	for i in "${!started[@]}"; do
		[ "${started[i]}" != "$1" ] || unset "started[i]"
	done
}
# ends the target; perftop then ends by itself
end() { over_with "$pid"; }

cloned='[.syscalls[] | select(.name | test("^(clone3?|v?fork)$")) | .count] | add'

# ---- processes -------------------------------------------------------------------------------
process_storms() {
	local n

	start execs "$process" execs 100
	watch execs -e malloc
	eventually 20 says execs done
	pass "$T/execs.json" 2
	end
	ended execs
	check "execs: said" any execs 'any(.events[]; .text | test("execve"))'
	equal "execs: and its end" "$(last execs .target.state)" exited

	start stop "$process" work 1
	watch stop -e storm_work
	eventually 5 has_line stop 3
	for n in 1 2 3; do
		kill -STOP "$pid"
		pass "$T/stop.json" 2
		kill -CONT "$pid"
		pass "$T/stop.json" 1
	done
	end
	ended stop
	check "stop: said" any stop '.target.state == "stopped"'

	gated forks "$process" forks 1000
	watch forks -e malloc
	eventually 10 has_line forks 2
	echo >&9
	eventually 20 says forks done
	pass "$T/forks.json" 2
	end
	ended forks

	gated follow "$process" forks 1000
	watch follow --follow-forks -e malloc
	eventually 10 has_line follow 2
	echo >&9
	eventually 20 says follow done
	pass "$T/follow.json" 2
	end
	ended follow
	# Each child sleeps once: a call of clock_nanosleep that no other process makes.
	between "follow: each of a thousand children that live for a millisecond is counted" \
		"$(last follow '[.syscalls[] | select(.name == "clock_nanosleep") | .count] | add')" 990 1000
	equal "follow: a fork returns twice and is counted once" "$(last follow "$cloned")" 1000
}

# ---- threads ---------------------------------------------------------------------------------
thread_storms() {
	local made shown

	start crowd "$process" crowd 10000
	eventually 20 says crowd done
	sleep 0.2
	made=$(sed -n 's/done //p' "$T/crowd.out")
	[ "$made" -ge 10000 ] || echo "# this machine allows $made threads"
	watch crowd -e malloc --duration 2s
	ended crowd
	equal "crowd: all of them are counted" "$(last crowd .target.threads)" "$((made + 1))"
	shown=$(last crowd '.threads | length')
	between "crowd: rows that did not fit are counted" "$(last crowd .truncated)" "$((made + 1 - shown))" 20000
	echo "# $made threads, $shown shown"
	end

	gated flow "$process" flow 40000
	watch flow -e malloc --syscalls=count
	eventually 10 has_line flow 2
	echo >&9
	eventually 20 says flow done
	pass "$T/flow.json" 2
	end
	ended flow
	equal "flow: the one system call of each of forty thousand threads is counted" \
		"$(last flow '[.syscalls[] | select(.name == "getppid") | .count] | add')" 40000
	equal "flow: and each was made by one" "$(last flow "$cloned")" 40000
}

# ---- libraries, files, mappings --------------------------------------------------------------
# called_seven NAME: calls it that often, and looks whether the file says so
called_seven() {
	echo "call storm_dl 7" >&9
	pass "$T/$1.json" 2
	any "$1" 'any(.latency[]; .count >= 7)'
}
library_storms() {
	local probe name

	if ! [ "$cc" ]; then
		skip "no compiler for a library and a second program"
		return
	fi
	echo 'int storm_dl(int n) { return n * 3 + 1; }' >"$T/dl.c"
	"$cc" -O2 -shared -fPIC -o "$T/dl_storm.so" "$T/dl.c"
	for probe in dl_storm.so:storm_dl libc.so.6:malloc; do
		name=${probe##*:}
		gated "$name" "$BUILD/tests/targets/dl_loop"
		watch "$name" -e "$probe"
		eventually 10 has_line "$name" 2
		echo "loop $T/dl_storm.so storm_dl 1000" >&9
		eventually 30 says "$name" 'looped count=1000'
		echo "load $T/dl_storm.so" >&9
		pass "$T/$name.json" 4
		check "$name: and is counted still" eventually 10 called_seven "$name"
		end
		ended "$name"
	done

	cp "$process" "$T/app"
	"$cc" -O2 -g -pthread -D_GNU_SOURCE -DSTORM_WORK=storm_other -o "$T/other" tests/targets/storm_process.c
	start app "$T/app" work 1
	watch app -e storm_work
	eventually 5 has_line app 2
	rm "$T/app"
	mv "$T/other" "$T/app"
	pass "$T/app.json" 5
	"$PERFTOP" -p "$pid" --json="$T/late.json" -d 200ms --duration 1500ms -e storm_work 2>"$T/late.err"
	equal "replaced: perftop attaches to what runs, not to the new file" "$?" 0
	end
	ended app
	for probe in app late; do
		equal "replaced, $probe: the busy function keeps its name" \
			"$(last "$probe" '.cpu.functions[0].name')" storm_work
		check "replaced, $probe: and is probed" any "$probe" 'any(.latency[]; .name == "storm_work" and .count > 0)'
	done

	truncate -s 4M "$T/mapped"
	gated maps "$process" maps 10000 "$T/mapped"
	watch maps -e malloc
	eventually 10 has_line maps 2
	echo >&9
	eventually 20 says maps 'done 10000'
	pass "$T/maps.json" 2
	end
	ended maps
}

# ---- events ----------------------------------------------------------------------------------
# storm NAME KIND WHAT JQ OPTION...: the target at full rate before, during and after; perftop until a
# line says JQ, which is what is checked
storm() {
	local kind=$2 what=$3 until=$4 before during after n
	storm=$1
	shift 4
	start "$storm" "$events" "$kind" "$T/blocks"
	eventually 5 says_lines_or_ends 9
	if over "$pid"; then
		skip "$storm: $(cat "$T/$storm.err")"
		return 1
	fi
	before=$(rate 2)
	watch "$storm" "$@"
	eventually 10 has_line "$storm" 2
	n=$(lines)
	if [ "${stopped:-}" ]; then
		local GAP_MAX=$((GAP_MAX + 1500))
		sleep 0.2
		kill -STOP "$top"
		sleep 1.2
		kill -CONT "$top"
	fi
	pass "$T/$storm.json" 6
	check "$storm: $what" eventually 5 any "$storm" "$until"
	kill "$top"
	ended "$storm" 143
	during=$(rate "$n")
	rate_again "$kind"
	end
	between "$storm: the target's rate after perftop is gone, of that before" \
		"$(awk -v a="$after" -v b="$before" 'BEGIN { print a / b }')" 0.7 10
	printf '# %s: %.0f events a CPU second before, %.0f during, %.0f after; dropped %s, throttled %s\n' \
		"$storm" "$before" "$during" "$after" "$(jq -s '[.[].cost.dropped] | add' "$T/$storm.json")" \
		"$(jq -s '[.[].cost.throttled] | max' "$T/$storm.json")"
}
event_storms() {
	local dropped='.cost.dropped > 0'
	dd if=/dev/zero of="$T/blocks" bs=4096 count=64 2>/dev/null
	storm calls calls "over the budget, and said" \
		'.cost.throttled > 0 or (.sections.func.reason // "" | test("budget|window"))' -e storm_call
	storm slow calls "slow calls are kept, no more than are allowed" \
		'.tails | length > 0' -e storm_call --slower 1ns --max-overhead 100
	stopped=1 storm samples deep "what found no room is counted" "$dropped" -e malloc --hz 1000
	storm syscalls syscalls "and counted" \
		'any(.syscalls[]; .name == "getppid" and .count > 10000)' -e malloc --syscalls=full
	storm ping ping "time blocked is counted" '.blocked.by_reason.futex > 0' -e malloc
	stopped=1 storm faults faults "what found no room is counted" "$dropped" -e malloc
	storm io io "and counted" 'any(.block[]; .count > 100)' -e malloc
	stopped=1 storm mallocs mallocs "what found no room is counted" "$dropped" -e storm_call --heap=sample
	check "mallocs: sampled" any mallocs '.heap.mode == "sample" and .heap.alloc_rate > 10000'
}

# ---- perftop is killed -----------------------------------------------------------------------
held() { # what it holds in the kernel: "prog 12" "map 34" …
	grep -hE '^(prog|map|link)_id:' /proc/"$1"/fdinfo/* 2>/dev/null | sed 's/_id:\t/ /' | sort -u
}
holds() { held "$1" | grep -q .; }
alive_in_kernel() {
	local kind

	for kind in prog map link; do
		bpftool "$kind" list -j 2>/dev/null | jq -r --arg kind "$kind" '.[] | "\($kind) \(.id)"'
	done
}
none_alive() { [ -z "$(comm -12 <(sort -u "$T/held") <(alive_in_kernel | sort -u))" ]; }
leftovers() { find /tmp /dev/shm /run -maxdepth 1 -name '*perftop*' ! -name 'perftop-test.*' ! -name 'perftop-inject.*' \
	2>/dev/null | sort; }
# Of others that run here too, for as long as they do.
no_new_leftovers() { [ -z "$(comm -13 <(echo "$files") <(leftovers))" ]; }
kills() {
	local i n before after files seen=0 children=()

	: >"$T/held"
	mkdir -p "$T/tmp"
	files=$(leftovers)
	start victim "$events" mallocs
	storm=victim
	eventually 5 says_lines 9
	before=$(rate 2)
	for i in $(seq 1 30); do
		local options=(--json=/dev/null -d 50ms -e 'storm_*' -e malloc --slower 1ns --heap=sample --hz 1000 --syscalls=full)
		if [ $((i % 3)) = 0 ]; then
			TMPDIR=$T/tmp "$PERFTOP" "${options[@]}" -- "$events" mallocs >"$T/launched.$i" 2>&1 &
		else
			TMPDIR=$T/tmp "$PERFTOP" -p "$pid" "${options[@]}" 2>"$T/victim.err" &
		fi
		top=$!
		[ "$i" -gt 3 ] || eventually 10 holds "$top"
		[ "$i" -le 3 ] || sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
		kill -STOP "$top"
		held "$top" >>"$T/held"
		[ "$i" -gt 3 ] || none_alive || seen=$((seen + 1))
		n=$(cat "/proc/$top/task/$top/children")
		[ "$n" ] && children+=("$i $n") && started+=($n)
		kill -9 "$top"
		wait "$top" 2>/dev/null
	done
	echo "# $(sort -u "$T/held" | wc -l) programs, maps and links were held"
	# The check below is shown to find what lives.
	check "killed: perftop did hold some" test "$seen" -gt 0
	check "killed: no eBPF program, map or link is left" eventually 10 none_alive
	eventually 2 no_new_leftovers
	equal "killed: no file is left" "$(ls -A "$T/tmp")$(comm -13 <(echo "$files") <(leftovers))" ""
	check "killed: the target lives" kill -0 "$pid"
	rate_again mallocs
	between "killed: and runs at its old rate" "$(awk -v a="$after" -v b="$before" 'BEGIN { print a / b }')" 0.5 10
	n=0
	for i in "${children[@]}"; do
		# One that perftop had not let go of yet says nothing, and ends with it.
		[ ! -s "$T/launched.${i% *}" ] || ! over "${i#* }" || n=$((n + 1))
		over "${i#* }" || kill -9 "${i#* }"
		forget "${i#* }"
	done
	equal "killed: commands that it had launched go on" "$n of ${#children[@]} ended" "0 of ${#children[@]} ended"
	end
}

# ---- perftop is starved ----------------------------------------------------------------------
# clear NAME STATUS: it ended well, or said in a line why not
clear() {
	case $2 in
	0) ok "$1: perftop goes on" ;;
	1 | 2)
		if grep -q '^perftop: ' "$T/starved.err" && ! grep -qi sanitizer "$T/starved.err"; then
			ok "$1: perftop says why it cannot ($(head -1 "$T/starved.err" | cut -c -100))"
		else
			not_ok "$1: no word of why: $(head -3 "$T/starved.err")"
		fi ;;
	*) not_ok "$1: it ended with status $2: $(head -3 "$T/starved.err")" ;;
	esac
}
starvation() {
	local n args=()

	start starved "$process" work 1
	runs_as storm_process
	args=(-p "$pid" --json -d 100ms -e storm_work)
	for n in 8 32 64; do
		(ulimit -n "$n" && exec timeout 200 "$PERFTOP" "${args[@]}" --duration 1s) >"$T/starved.json" 2>"$T/starved.err"
		clear "$n open files" "$?"
	done
	check "64 open files: what works is shown, and what does not, why" jqe -s 'length > 2 and
		.[-1].cpu.user_pct > 0 and (.[-1].sections.bpf.reason | test("64 open files"))' "$T/starved.json"
	if [ "$RSS_MAX" -lt $((1 << 30)) ]; then
		for n in 30000 50000 80000 200000; do
			(ulimit -v "$n" && exec timeout 200 "$PERFTOP" "${args[@]}" --duration 300ms) >"$T/starved.json" 2>"$T/starved.err"
			clear "$n KiB of address space" "$?"
		done
	else
		skip "limits of address space: the sanitizer takes it all"
	fi
	if unshare -m true 2>/dev/null; then
		mkdir "$T/small"
		unshare -m bash -c 'mount -t tmpfs -o size=256k none "$0/small" && exec "${@}" -o "$0/small/run.ptop"' \
			"$T" timeout 200 "$PERFTOP" "${args[@]}" --duration 6s >"$T/full.json" 2>"$T/starved.err"
		clear "a full disk" "$?"
		check "a full disk: lost ticks are counted and said" any full '.sections.record.reason // "" | test("not recorded")'
	else
		skip "a full disk: no mount namespaces here"
	fi
	timeout 200 "$PERFTOP" "${args[@]}" 2>"$T/starved.err" | head -1 >"$T/head.json"
	clear "a reader that leaves after one line" "${PIPESTATUS[0]}"
	check "a reader that leaves: its line is whole" whole "$T/head.json"
	timeout 200 "$PERFTOP" "${args[@]}" --duration 1s 2>"$T/starved.err" >/dev/full
	clear "a full output" "$?"
	timeout 200 "$PERFTOP" "${args[@]}" --duration 300ms 2>"$T/starved.err" >&-
	clear "a closed output" "$?"
	if command -v python3 >/dev/null; then
		n=$(python3 - "$PERFTOP" -p "$pid" <<-'END'
			import os, pty, sys, time
			child, fd = pty.fork()
			if not child:
			    os.environ["TERM"] = "xterm"
			    os.execv(sys.argv[1], sys.argv[1:])
			seen = b""
			while b"\x1b" not in seen:
			    seen += os.read(fd, 4096)
			os.close(fd)
			for _ in range(2000):
			    pid, status = os.waitpid(child, os.WNOHANG)
			    if pid:
			        print("status", os.waitstatus_to_exitcode(status))
			        sys.exit()
			    time.sleep(0.05)
			os.kill(child, 9)
			print("hangs")
		END
		)
		check "a terminal that goes away: perftop leaves ($n)" grep -qE '^status (0|1|-1|129)$' <<<"$n"
	else
		skip "a terminal that goes away: no python3"
	fi
	end
}

# ---- a pid that another process takes --------------------------------------------------------
reuse() {
	local was i last

	if ! [ -w /proc/sys/kernel/ns_last_pid ]; then
		skip "ns_last_pid cannot be written: no pid is taken again on request"
		return
	fi
	start reuse "$process" work 1
	was=$pid
	watch reuse -e storm_work
	eventually 5 has_line reuse 3
	kill -STOP "$top"
	over_with "$was"
	last=$(cat /proc/sys/kernel/ns_last_pid)
	cp "$events" "$T/stranger"
	for i in $(seq 1 50); do
		echo $((was - 1)) >/proc/sys/kernel/ns_last_pid
		"$T/stranger" syscalls >/dev/null &
		pid=$!
		[ "$pid" != "$was" ] || break
		over_with "$pid"
	done
	# Numbers given out lately are not to come again.
	echo "$last" >/proc/sys/kernel/ns_last_pid
	if [ "$pid" != "$was" ]; then
		kill -CONT "$top"
		skip "pid $was was not to be had again"
		return
	fi
	started+=("$pid")
	sleep 0.3
	kill -CONT "$top"
	ended reuse
	equal "reuse: the target has exited, and that is said" "$(last reuse .target.state)" exited
	check "reuse: the stranger is not shown" test "$(grep -c stranger "$T/reuse.json")" = 0
	equal "reuse: nor its threads" "$(last reuse '[.threads[] | select(.comm != "storm_process")] | length')" 0
	equal "reuse: nor its system calls" "$(last reuse '[.syscalls[] | select(.name == "getppid")] | length')" 0
	end
}

# beside SECTION...: in the background, to a file of their own
beside() {
	(
		started=()
		trap 'T=$T/none finish' EXIT
		trap 'exit 1' INT TERM
		for section in "$@"; do
			"$section"
		done
	) >"$T/beside.$1" 2>&1 &
	groups+=("$1:$!")
}

groups=()
if [ "${SECTIONS:-}" ]; then # a few of them, to look at
	for section in $SECTIONS; do
		"$section"
	done
	exit
fi
beside process_storms thread_storms library_storms
beside kills starvation
for group in "${groups[@]}"; do
	wait "${group#*:}" || status=1
	cat "$T/beside.${group%:*}"
done
reuse
event_storms
