#!/usr/bin/env bash
# CPU shares beside perf record, over the same seconds of the same redis under load: self time by
# function, kernel and user. Both sample CPUs, not threads: a thread's own event begins anew at each
# switch, and so favours what follows one.
. "$(dirname "$0")/../lib/system.sh"
seconds=${SECONDS_EACH:-10}
command -v perf >/dev/null || { echo "perf is missing: make deps-bench"; exit 1; }
start_redis
start load redis-benchmark -s "$redis_sock" -c 20 -l -q -t get,set
load=$pid
sleep 1
start top "$PERFTOP" -p "$redis_pid" --hz 499 --syscalls=off --no-offcpu --json -d 500ms --duration $((seconds + 2))s
top=$pid
eventually 10 test -s "$T/top.out"
perf record -q -e cpu-clock -F 499 -g -a -o "$T/perf.data" -- sleep "$seconds" >/dev/null 2>&1
kill -INT "$top"
wait "$top" 2>/dev/null
kill "$load"
tail -1 "$T/top.out" | jq -r '.cpu.functions[] | "\(.name)\t\(.self_pct)"' >"$T/ours"
perf report -i "$T/perf.data" --no-children --stdio -g none --sort pid,sym 2>/dev/null |
	awk -v pid="$redis_pid" '$2 ~ "^" pid ":" { sub("%", "", $1); share[$4] += $1; all += $1 }
		END { for (f in share) printf "%s\t%.2f\n", f, 100 * share[f] / all }' >"$T/theirs"
printf '%-44s %10s %10s\n' "self time, percent of samples" perftop "perf record"
awk -F'\t' 'NR == FNR { perf[$1] = $2; next } FNR <= 12 { printf "%-44s %10.1f %10s\n", $1, $2, ($1 in perf) ? perf[$1] : "-" }' \
	"$T/theirs" "$T/ours"
awk -F'\t' 'NR == FNR { perf[$1] = $2; next }
	($1 in perf) { d = $2 - perf[$1]; s += d < 0 ? -d : d; a += $2; n++ }
	END { printf "%d functions named alike by both hold %.0f %% of our samples; their shares differ by %.2f points on average\n", n, a, n ? s / n : 0 }' \
	"$T/theirs" "$T/ours"
tail -1 "$T/top.out" | jq -r '"samples \(.cpu.samples), stacks that reach their start \(.cpu.unwound_pct) %"'
perf script -i "$T/perf.data" --pid "$redis_pid" -F ip,sym 2>/dev/null | awk 'BEGIN { RS = "" } { n++; if (/main|_start/) r++ } END { printf "perf record -g (frame pointers): %d samples, %.0f %% reach main or _start\n", n, n ? 100 * r / n : 0 }'
