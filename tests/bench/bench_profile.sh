#!/usr/bin/env bash
# CPU samples beside those of perf record --call-graph dwarf, of the same seconds of the same
# process: how many stacks reach main, _start or their thread's start, and self time by function,
# kernel and user. Both sample CPUs, not threads: a thread's own event begins anew at each switch,
# and so favours what follows one.
#   SECONDS_EACH (5)   HZ (199)   ONLY_PROGRAM   one of them
. "$(dirname "$0")/../lib/system.sh"
here=$(cd "$(dirname "$0")" && pwd)
seconds=${SECONDS_EACH:-5} hz=${HZ:-199}
command -v perf >/dev/null || { echo "perf is missing: make deps-bench"; exit 1; }
missing=() maps=()
trap 'rm -f "${maps[@]}"; finish' EXIT
starts='^(main|_start|__libc_start_main.*|__libc_start_call_main|start_thread|clone|clone3|thread_start)$'

have() {
	local p
	[ -z "${ONLY_PROGRAM:-}" ] || [ "$ONLY_PROGRAM" = "$name" ] || return 1
	for p in "$@"; do
		command -v "$p" >/dev/null || { missing+=("$p"); return 1; }
	done
}
redis_start_() {
	start_redis
	target=$redis_pid
	start load redis-benchmark -s "$redis_sock" -c 20 -r 10000 -l -q -t get,set
}
python3_start_() {
	local python
	python=$(python3 -c 'import sys; print(sys.executable)')
	start python3 "$python" "$here/real/words.py"
	target=$pid
}
# Its functions' names come from the map that it writes for perf; it writes a log beside, too.
node_start_() {
	start node env -C "$T" node --perf-basic-prof "$here/real/json.js"
	target=$pid
	maps+=("/tmp/perf-$pid.map")
}
backend() { target=$(pgrep -P "$postmaster" -f 'bench bench'); }
postgres_start_() {
	local bin user=()
	bin=$(dirname "$(find /usr/lib/postgresql -name initdb | sort -V | tail -1)")
	mkdir "$T/pg"
	if [ "$(id -u)" = 0 ]; then
		chown nobody "$T/pg"
		chmod 755 "$T"
		user=(setpriv --reuid=65534 --clear-groups)
	fi
	"${user[@]}" "$bin/initdb" -D "$T/pg/data" -A trust -U bench >/dev/null
	start postgres "${user[@]}" "$bin/postgres" -D "$T/pg/data" -k "$T/pg" -c listen_addresses=
	postmaster=$pid
	eventually 20 "$bin/pg_isready" -q -h "$T/pg" -U bench
	createdb -h "$T/pg" -U bench bench
	pgbench -h "$T/pg" -U bench -i -q bench >/dev/null 2>&1
	start load pgbench -h "$T/pg" -U bench -S -c 1 -T 120 bench
	eventually 10 backend
}
stop_target() {
	local p
	for p in "${started[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${started[@]}"; do wait "$p" 2>/dev/null; done
	started=()
}

# Ours: lines "samples of the stacks listed", "of those that reach the start".
ours_reach() {
	jq -r --arg starts "$starts" '[.cpu.stacks[] | {count, ok: (.frames[-3:] |
		any(sub(" \\(.*"; "") | test($starts)))}] |
		"\(map(.count) | add // 0) \(map(select(.ok).count) | add // 0)"' "$T/ours.json"
}
# Theirs: samples, and those that reach the start; a blank line ends each.
theirs_reach() {
	awk -v starts="$starts" 'BEGIN { RS = ""; FS = "\n" } { n++
		for (i = NF; i > 0 && i > NF - 3; i--) {
			split($i, word, " "); sub(/\+0x[0-9a-f]+$/, "", word[2])
			if (word[2] ~ starts) { ok++; break } } }
		END { print n + 0, ok + 0 }' "$T/theirs.stacks"
}
self_ours() { jq -r '.cpu.functions[] | "\(.name)\t\(.self_pct)"' "$T/ours.json"; }
self_theirs() {
	awk 'BEGIN { RS = ""; FS = "\n" } { n++; sub(/^[ \t]*[0-9a-f]+ /, "", $1); sub(/\+0x[0-9a-f]+$/, "", $1)
		share[$1]++ } END { for (f in share) printf "%s\t%.3f\n", f, 100 * share[f] / n }' "$T/theirs.stacks"
}
one() {
	local top n ok pn pok unwound samples
	"${name}_start_" || { missing+=("$name"); return; }
	sleep 2
	start top "$PERFTOP" -p "$target" --hz "$hz" --syscalls=off --no-offcpu --json -d 500ms
	top=$pid
	eventually 10 test -s "$T/top.out"
	perf record -q -e cpu-clock -F "$hz" -a --call-graph dwarf -o "$T/perf.data" -- sleep "$seconds" >/dev/null 2>&1
	kill -INT "$top"
	wait "$top" 2>/dev/null
	tail -n 1 "$T/top.out" >"$T/ours.json"
	perf script -i "$T/perf.data" --no-inline --pid "$target" -F ip,sym 2>/dev/null >"$T/theirs.stacks"
	stop_target
	read -r n ok < <(ours_reach)
	read -r pn pok < <(theirs_reach)
	self_ours >"$T/ours"
	self_theirs >"$T/theirs"
	read -r samples unwound < <(jq -r '"\(.cpu.samples) \(.cpu.unwound_pct)"' "$T/ours.json")
	awk -F'\t' -v name="$name" -v samples="$samples" -v unwound="$unwound" -v n="$n" -v ok="$ok" -v pn="$pn" \
		-v pok="$pok" 'NR == FNR { theirs[$1] = $2; next }
		{ ours[$1] = $2 }
		END {
			for (f in ours) if (f in theirs) { alike += ours[f]; k++; d = ours[f] - theirs[f]
				sum += d < 0 ? -d : d; if (d * d > worst * worst) { worst = d; of = f } }
			mine = n ? 100 * ok / n : 0
			printf "%-9s %8d %8.1f %8.1f %8d %8.1f   %6.2f of %3d, %3.0f %% of time; most %+.1f %s   %s\n", name,
				samples, unwound, mine, pn, pn ? 100 * pok / pn : 0, k ? sum / k : 0, k, alike, worst, of,
				(mine >= 95 && unwound >= 95) ? "PASS" : "MISSED" }' "$T/theirs" "$T/ours"
	[ -z "${SHOW:-}" ] || { sort -t$'\t' -k2gr "$T/ours" | head -12; echo; sort -t$'\t' -k2gr "$T/theirs" | head -12; }
}
printf '%-9s %-26s %-17s   %s\n' "" "perftop" "perf record" "self time, by functions that both name alike:"
printf '%-9s %8s %8s %8s %8s %8s   %s\n' "program" samples "whole %" "start %" samples "start %" "mean difference, points"
name=redis && have redis-server redis-benchmark && one
name=python3 && have python3 && one
name=postgres && have pgbench createdb && [ -d /usr/lib/postgresql ] && one
name=node && have node && one
[ ${#missing[@]} = 0 ] || echo "not here: ${missing[*]}"
echo "whole: unwound to the thread's start, perftop's own word; start: main, _start or a thread's start is"
echo "among the last three frames, read from the stacks that are listed; target: 95 % by both"
