#!/usr/bin/env bash
# Disk requests, page faults and system calls by class, against what the targets know of themselves.
. "$(dirname "$0")/../lib/system.sh"
need_bpf

# target NAME CMD...: started with a pipe as its input, fd 7
target() {
	local name=$1
	shift
	rm -f "$T/in"
	mkfifo "$T/in"
	exec 7<>"$T/in" # both ways: neither end waits for the other
	: >"$T/$name.out"
	"$@" <&7 >"$T/$name.out" 2>"$T/$name.err" 7>&- &
	pid=$!
	started+=("$pid")
}
lines() { [ "$(wc -l <"$T/$1.out")" -ge "$2" ]; }
# watched NAME LINES COMMAND...: perftop looks at $pid while the commands are carried out
watched() {
	local name=$1 n=$2 target=$pid command
	shift 2
	start top "$PERFTOP" -p "$target" --json -d 200ms --duration 900s --syscalls=full
	eventually 10 test -s "$T/top.out"
	for command in "$@"; do echo "$command" >&7; done
	eventually 30 lines "$name" "$n"
	pass "$T/top.out" 2
	kill -INT "$pid"
	wait "$pid"
	last=$(tail -1 "$T/top.out")
	kill "$target"
	wait "$target" 2>/dev/null
}
told() { tail -1 "$T/$1.out" | tr ' ' '\n' | sed -n "s/^$2=//p"; }

# --- system calls by what they work on --------------------------------------------------------
target calls "$BUILD/tests/targets/io_calls" "$T/file"
watched calls 1 "kinds 500"
calls() { jq --arg n "$1" --arg c "$2" '[.syscalls[] | select(.name == $n and .module == $c) | .count] | add // 0' <<<"$last"; }
for class in file socket eventfd tty; do
	equal "reads of a $class are a row of their own" "$(calls read $class)" 500
	# Its answer is one more write to a file.
	between "so are writes" "$(calls write $class)" 500 501
done
# Its own commands come and go through pipes; a terminal's answer does not.
between "reads of a pipe, its commands among them" "$(calls read pipe)" 500 502
equal "reads of a timerfd" "$(calls read timerfd)" 500
equal "reads of /dev/zero" "$(calls read device)" 500
equal "reads of what is not open have no class" "$(calls read "")" 500
equal "each of them is timed" \
	"$(jq '[.syscalls[] | select(.name == "read" and .module == "socket") | .sampled] | add' <<<"$last")" 500

# Many threads on few CPUs, preempted, put to sleep and moved in the middle of their calls; and
# threads that come where others were.
target calls "$BUILD/tests/targets/io_calls" "$T/file"
watched calls 3 "threads 60 4000" "threads 60 4000" "threads 200 500"
equal "all were made" "$(sed 's/ .*//' "$T/calls.out" | tr '\n' ' ')" "done=240000 done=240000 done=100000 "
equal "no call of many threads is lost" "$(calls read device)" 580000
equal "each of them is timed" \
	"$(jq '[.syscalls[] | select(.name == "read" and .module == "device") | .sampled] | add' <<<"$last")" 580000
equal "so is every sleep" "$(jq '[.syscalls[] | select(.name == "clock_nanosleep") | .sampled] | add' <<<"$last")" 5800
between "a sleep takes as long as the threads saw, ratio of medians" "$(jq --argjson own "$(told calls sleep_p50)" \
	'([.syscalls[] | select(.name == "clock_nanosleep") | .p50] | add) / $own' <<<"$last")" 0.9 1.05

# --- page faults --------------------------------------------------------------------------------
target faults "$BUILD/tests/targets/fault_known" 1500
eventually 5 lines faults 1
watched faults 2 go
truth=$(told faults faults)
# The answer that it prints, and what the C library touches for it, come after its own count.
between "page faults are counted as getrusage counts them" \
	"$(jq --argjson n "$truth" '.page_faults.count - $n' <<<"$last")" 0 8
between "the stacks stand for nearly all of them" \
	"$(jq '([.faults[] | select(.kind == "fault") | .count] | add) / .page_faults.count' <<<"$last")" 0.95 1.0001
site() { jq --arg f "$1" '[.faults[] | select(.frames[0] | tostring | contains($f)) | .count] | add // 0' <<<"$last"; }
between "a place that touches three pages for another's one has three times the faults" \
	"$(jq -n --argjson a "$(site touch_many)" --argjson b "$(site touch_few)" '$a / $b')" 1.8 5
between "all stacks reach the start, percent" "$(jq .page_faults.unwound_pct <<<"$last")" 95 100
equal "none of them waited for a disk" "$(jq .page_faults.major <<<"$last")" 0

# Faults that wait for a disk come faster than a perftop that gets no CPU reads their stacks: those
# that found room stand for the others too.
head -c 64M /dev/zero >"$T/cold" && sync "$T/cold"
target cold "$BUILD/tests/targets/fault_known" 16384 "$T/cold"
eventually 5 lines cold 1
target=$pid
start top "$PERFTOP" -p "$target" --json -d 200ms --duration 900s
eventually 10 test -s "$T/top.out"
kill -STOP "$pid"
echo go >&7
sleep 0.5
kill -CONT "$pid"
eventually 60 lines cold 2
pass "$T/top.out" 2
kill -INT "$pid"
wait "$pid"
last=$(tail -1 "$T/top.out")
if [ "$(jq .page_faults.major <<<"$last")" -lt 1000 ]; then
	skip "faults that wait for a disk: $T does not lie on one"
elif [ "$(jq .page_faults.lost <<<"$last")" -lt 100 ]; then
	skip "faults whose stacks find no room: all found some"
else
	between "the stacks of faults that waited for a disk stand for all of them" \
		"$(jq '([.faults[] | select(.kind == "major") | .count] | add) / .page_faults.major' <<<"$last")" \
		0.98 1.0001
fi
kill "$target"

# --- disk requests --------------------------------------------------------------------------------
target direct "$BUILD/tests/targets/io_direct" "$T/blocks" 400
if ! eventually 10 grep -q ready "$T/direct.out" || ! grep -q '^/dev/' <(df --output=source "$T" | tail -1); then
	skip "disk requests: $T does not lie on a disk, or it takes no O_DIRECT"
	exit "$status"
fi
row() { jq --arg m "$1" "[.block[] | select(.module == \$m and (.name | startswith(\"[\") | not)) | $2] | add // 0" <<<"$last"; }
# By the disks' own count. A request that is merged into another's, what is written back of a build
# for one, is none of its own: so nothing is left to write back, and where it happened, once more.
merges() { cat /sys/block/*/stat | awk '{ n += $2 + $6 } END { print n + 0 }'; }
for try in 1 2 3 4 5; do
	sync -f "$T"
	merged=$(merges)
	watched direct 2 go
	[ "$(row read .count) $(row write .count)" != "400 400" ] && [ "$(merges)" -gt "$merged" ] && [ "$try" -lt 5 ] || break
	target direct "$BUILD/tests/targets/io_direct" "$T/blocks" 400
	eventually 10 grep -q ready "$T/direct.out"
done
[ "$(row read .count) $(row write .count)" = "400 400" ] || {
	echo "# try $try, requests merged meanwhile: $(($(merges) - merged))"
	jq -c '.block[]' <<<"$last" | sed 's/^/# /'
}
[ "$(jq '.block | length' <<<"$last")" -gt 0 ] || jq -c '{sections, block, cost, events}' <<<"$last" | sed 's/^/# /'
for op in read write; do
	equal "every ${op} is a request" "$(row $op .count)" 400
	between "a ${op} takes no longer than the program saw, ratio" \
		"$(jq -n --argjson a "$(row $op .sum)" --argjson b "$(told direct ${op}_ns)" '$a / $b')" 0.05 1
	check "nor does the longest" [ "$(row $op .max)" -le "$(told direct ${op}_max)" ]
done
equal "the disk has the name that the system gives it" \
	"$(jq -r '[.block[] | select(.module == "read") | .name][0] as $n | $n' <<<"$last" | xargs -I{} test -e /sys/block/{} && echo yes)" yes
