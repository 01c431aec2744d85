#!/usr/bin/env bash
# System calls that fail are counted as such, and named.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
watch() {
	start "$1" "$BUILD/tests/targets/failing" "$1" 3
	target=$pid
	eventually 10 grep -q ready "$T/$1.out"
	"$PERFTOP" --json --syscalls full -d 500ms --duration 30s -p "$target" >"$T/$1.json" 2>"$T/$1.err"
	wait "$target"
}
# The last update that saw the target alive.
row() { jq -r ".syscalls[] | select(.name == \"$2\") | $3" <<<"$(tail -n 1 "$T/$1.json")"; }

watch missing
read -r _ failed _ calls < <(grep '^failed' "$T/missing.out")
equal "calls that failed, by the target's own count" "$(row missing openat .failed)" "$failed"
equal "of all calls" "$(row missing openat .count)" "$calls"
equal "with what they failed" "$(row missing openat .error)" ENOENT
equal "a call that never failed has none" "$(row missing close '"\(.failed) \(.error)"')" "0 "
check "an alert says so while they are many" grep -q '"rule":"syscall_errors".*"subject":"openat"' "$T/missing.json"
watch full
equal "no descriptor left" "$(row full dup .error)" EMFILE
check "is critical" jqe 'select(any(.alerts[]; .rule == "syscall_errors" and .severity == "critical" and .subject == "dup"))' "$T/full.json"
