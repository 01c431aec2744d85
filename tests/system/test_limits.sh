#!/usr/bin/env bash
# A program that its control group holds back: by CPU time, and by memory.
. "$(dirname "$0")/../lib/system.sh"

# make_group CONTROLLER FILE: a group in $group whose folder has that file
make_group() {
	local root
	for root in /sys/fs/cgroup "/sys/fs/cgroup/$1" /sys/fs/cgroup/unified; do
		[ -e "$root/cgroup.procs" ] || continue
		group=$root/perftop-$1-$$
		mkdir "$group" 2>/dev/null || continue
		[ -e "$group/$2" ] && return 0
		rmdir "$group"
	done
	group=
	return 1
}
# Those in it end first.
remove_group() {
	eventually 5 rmdir "$group"
}
last_of() { "$PERFTOP" --json -d 500ms --duration "$1" -p "$pid" 2>/dev/null | tail -n 1; }

start pinned taskset -c 0 "$BUILD/tests/targets/busy" 300
last=$(last_of 1s)
equal "the CPUs that a program may use are told" "$(jq -r '.proc | "\(.cpus_allowed) \(.cpus_list)"' <<<"$last")" \
	"1 0"
kill "$pid"

if make_group cpu cpu.max || make_group cpu cpu.cfs_quota_us; then
	if [ -e "$group/cpu.max" ]; then
		echo "20000 100000" >"$group/cpu.max"
	else
		echo 100000 >"$group/cpu.cfs_period_us"
		echo 20000 >"$group/cpu.cfs_quota_us"
	fi
	# Beside all that else may run here it gets its quota.
	for weight in cpu.weight:10000 cpu.shares:262144; do
		[ ! -e "$group/${weight%:*}" ] || echo "${weight#*:}" >"$group/${weight%:*}"
	done
	start busy "$BUILD/tests/targets/busy" 300
	echo "$pid" >"$group/cgroup.procs"
	last=$(last_of 6s)
	equal "a program's CPU quota is told" "$(jq .proc.quota_cpus <<<"$last")" 0.2
	between "it was used up in nearly all periods, percent" \
		"$(jq .proc.throttled_pct <<<"$last")" 70 100
	equal "by its group" "$(jq -r .proc.quota_group <<<"$last")" "/${group##*/}"
	equal "an alert says so" \
		"$(jq -r '[.alerts[] | select(.rule == "cpu_quota") | .severity][0]' <<<"$last")" critical
	"$PERFTOP" --text -d 500ms --duration 1s -p "$pid" >"$T/text" 2>&1
	check "so does text" grep -q "^quota *0.20 CPUs, used up" "$T/text"
	kill "$pid"
	wait "$pid" 2>/dev/null
	remove_group
else
	skip "no control group with a CPU quota can be made here"
fi

if make_group memory memory.max || make_group memory memory.limit_in_bytes; then
	[ -e "$group/memory.max" ] && limit=memory.max || limit=memory.limit_in_bytes
	echo $((32 << 20)) >"$group/$limit"
	# A shell in the group writes and reads more than it may keep, again and again.
	start reader bash -c 'echo $$ >"$1/cgroup.procs"
		while :; do dd if=/dev/zero of="$2" bs=1M count=64 conv=notrunc; cat "$2" >/dev/null; done' \
		_ "$group" "$T/big"
	sleep 2
	"$PERFTOP" --json -d 500ms --duration 4s -p "$pid" >"$T/memory.json" 2>/dev/null
	last=$(tail -n 1 "$T/memory.json")
	equal "a program's memory limit is told" "$(jq .proc.memory_limit_bytes <<<"$last")" $((32 << 20))
	between "its group is at it, of 1" \
		"$(jq '.proc.memory_group_bytes / .proc.memory_limit_bytes' <<<"$last")" 0.9 1.01
	# Not in each tick: on a busy machine it may wait for the disk for longer than one.
	between "and meets it, times a second" \
		"$(jq -s '[.[].proc.memory_limit_rate] | max' "$T/memory.json")" 1 10000000
	check "an alert says so" grep -q '"rule":"memory_limit"' "$T/memory.json"
	kill "$pid"
	wait "$pid" 2>/dev/null
	remove_group
else
	skip "no control group with a memory limit can be made here"
fi
