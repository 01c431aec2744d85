#!/usr/bin/env bash
# As a user without capabilities: one's own processes still show; the rest names its fix.
. "$(dirname "$0")/../lib/system.sh"
if [ "$(id -u)" != 0 ]; then
	as_user=()
else
	as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all)
fi
chmod 755 "$T"
cp "$PERFTOP" "$BUILD"/tests/targets/{busy,bigframe,counting} "$T"
start_first busy "${as_user[@]}" "$T/busy" 60
busy=$pid
runs_as busy # before that it is still root's
json() { "${as_user[@]}" "$T/perftop" --json -d 300ms --duration 1500ms "$@" 2>"$T/err" | tail -1; }
last=$(json -p "$busy")
status_of() { jq -r ".sections.$1.status" <<<"$last"; }
equal "/proc is live" "$(status_of proc)" live
equal "threads are live" "$(status_of threads)" live
between "CPU use is seen, percent" "$(jq '.cpu.user_pct' <<<"$last")" 20 200
equal "sampling of one's own process works, in user space" "$(status_of cpu)" degraded
between "samples come, in" "$(jq .cpu.samples <<<"$last")" 10 1000
equal "and name the hot function" "$(jq -r '.cpu.functions[0].name' <<<"$last")" hot
last=$(json -d 1s --duration 3s -p "$busy")
equal "none are lost at the usual interval, of $(jq -c '.cpu | [.samples, .samples_lost]' <<<"$last")" \
	"$(jq '.cpu | .samples > 20 and .samples_lost < .samples / 10' <<<"$last")" true
start frame "${as_user[@]}" "$T/bigframe" half
runs_as bigframe
between "a frame of 20 KB is unwound through, percent" "$(jq .cpu.unwound_pct <<<"$(json -p "$pid")")" 95 100
kill "$pid"
last=$(json -p "$busy")
equal "time blocked is absent" "$(status_of blocked)" absent
check "with a reason" test -n "$(jq -r .sections.blocked.reason <<<"$last")"
check "and the command that grants it" grep -q 'setcap cap_bpf,cap_perfmon' <<<"$(jq -r .sections.blocked.fix <<<"$last")"
check "syscalls likewise" grep -q setcap <<<"$(jq -r .sections.syscalls.fix <<<"$last")"
equal "no syscall row pretends to be zero" "$(jq '.syscalls | length' <<<"$last")" 0
equal "the tier is said" "$(jq -r .target.tier <<<"$last")" user

# Several processes: those given, and with --follow-forks a child that comes.
start second "${as_user[@]}" sh -c 'while :; do :; done'
runs_as sh
last=$(json -p "$busy,$pid")
check "two processes are sampled" jqe '[.cpu.functions[].module] | any(. != "busy" and . != "[kernel]")' <<<"$last"
check "the first among them" jqe 'any(.cpu.functions[]; .name == "hot")' <<<"$last"
start_first parent "${as_user[@]}" sh -c "sleep 1; $T/busy 20 & wait"
runs_as sh
"${as_user[@]}" "$T/perftop" --json -d 300ms --duration 4s --follow-forks -p "$pid" >"$T/fork.json" 2>"$T/err"
check "a child that comes is sampled" jqe 'any(.cpu.functions[]; .name == "hot")' <<<"$(tail -1 "$T/fork.json")"
pkill -P "$pid" busy
if [ "$(id -u)" = 0 ]; then
	start other "$T/busy" 60
	runs_as busy
	last=$(json -p "$pid")
	check "another user's process is not sampled, and says why" \
		grep -qi permission <<<"$(jq -r .sections.cpu.reason <<<"$last")"
	equal "but /proc still shows it" "$(jq '.proc.rss_bytes > 0' <<<"$last")" true
fi
"${as_user[@]}" "$T/perftop" --json -p "$busy" -e main --duration 300ms >"$T/out" 2>"$T/err"
check "a probe without privilege is refused in words, or shown as absent" \
	grep -qiE 'ebpf|permission|absent' "$T/out" "$T/err"
