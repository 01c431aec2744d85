#!/usr/bin/env bash
# What a redis-server under load pays for being watched: CPU ns a request of the thread that serves
# them, by GET and SET, one by one and pipelined. Each round measures it watched by perftop, by
# bpftrace asking the same questions, and unwatched before and after each; a figure is the median
# over rounds of watched against its own two neighbours, how far that median may be off (one
# standard error, from the middle half of the rounds), and that middle half.
#   ROUNDS (6)   PASSES   of all loads, of which the median (3)   BURST_MS   of each load (150)   WAYS   those
#   to compare, a line each, for example perftop --syscalls=full
. "$(dirname "$0")/../lib/system.sh"
rounds=${ROUNDS:-6} passes=${PASSES:-3} burst_ms=${BURST_MS:-150}
loads=("get 1" "set 1" "get 16" "set 16")
IFS=$'\n' read -r -d '' -a ways <<<"${WAYS:-perftop
bpftrace}" || true
start_redis
# Both before other work of the machine, and each on its own CPU: how many requests one turn of the
# server finds waiting, and so what each costs, depends on when the other runs.
first=()
renice -n -19 -p "$redis_pid" >/dev/null 2>&1 && first=(nice -n -19)
if [ "$(nproc)" -gt 1 ]; then
	taskset -cp 0 "$redis_pid" >/dev/null
	first+=(taskset -c 1)
fi

# What perftop's default set answers: where the CPU time goes, what blocks and for how long, system
# calls by name and latency, page faults.
questions='interval:ms:100 { printf("."); }
profile:hz:99 /pid == TARGET/ { @cpu[ustack] = count(); }
tracepoint:sched:sched_switch {
	if (pid == TARGET) { @off[tid] = nsecs; }
	$next = args->next_pid;
	if (@off[$next]) { @blocked = hist(nsecs - @off[$next]); delete(@off[$next]); } }
tracepoint:raw_syscalls:sys_enter /pid == TARGET/ { @in[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /pid == TARGET && @in[tid]/ {
	@latency[args->id] = hist(nsecs - @in[tid]); delete(@in[tid]); }
tracepoint:exceptions:page_fault_user /pid == TARGET/ { @faults = count(); }'

# run LOAD REQUESTS
run() { "${first[@]}" redis-benchmark -s "$redis_sock" -c 20 -r 10000 -q -n "$2" -t "${1% *}" -P "${1#* }" >/dev/null; }
# load LOAD: CPU ns a request
load() {
	local before after n=${requests[$1]}
	before=$(awk '{ print $1 }' "/proc/$redis_pid/schedstat")
	run "$1" "$n"
	after=$(awk '{ print $1 }' "/proc/$redis_pid/schedstat")
	echo $(((after - before) / n))
}
# all: a figure for each load, in $line
all() {
	local l i
	line=
	for ((i = 0; i < passes; i++)); do
		for l in "${!loads[@]}"; do load "${loads[$l]}" >>"$T/pass.$l"; done
	done
	for l in "${!loads[@]}"; do
		line+="$(sort -g "$T/pass.$l" | sed -n "$(((passes + 1) / 2))p") "
	done
	rm "$T"/pass.*
}
watch_with() {
	case $1 in
	perftop*)
		# shellcheck disable=SC2086
		start watcher "$PERFTOP" -p "$redis_pid" --json ${1#perftop}
		eventually 10 test -s "$T/watcher.out"
		;;
	bpftrace)
		start watcher bpftrace -B none -e "${questions//TARGET/$redis_pid}"
		eventually 20 grep -q '^\.' "$T/watcher.out"
		sleep 0.5
		;;
	esac
	watcher=$pid
	# Let it see the rate, as it would on a server that was busy before.
	run "get 1" $((8 * ${requests["get 1"]}))
}
can() { case $1 in perftop*) bpf_works ;; *) command -v "$1" >/dev/null && [ -e /sys/kernel/tracing/events ] ;; esac; }

declare -A requests
for l in "${loads[@]}"; do
	requests[$l]=20000
	begin=$(date +%s%N)
	run "$l" 100000
	requests[$l]=$((100000 * burst_ms * 1000000 / ($(date +%s%N) - begin)))
done
here=()
for w in "${!ways[@]}"; do can "${ways[$w]}" && here+=("$w"); done
all
for ((r = 0; r < rounds; r++)); do
	for w in "${here[@]}"; do
		echo "$line" >>"$T/before.$w"
		watch_with "${ways[$w]}"
		all
		echo "$line" >>"$T/during.$w"
		kill -INT "$watcher"
		wait "$watcher" 2>/dev/null
		[ "${ways[$w]}" != perftop ] ||
			tail -n 1 "$T/watcher.out" | jq .cost.target_pct_est >>"$T/said"
		all
		echo "$line" >>"$T/after.$w"
	done
done

quartiles() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int((NR + 3) / 4)], v[int((3 * NR + 1) / 4)] }'; }
# more W COLUMN: per cent more, round by round
more() {
	paste "$T/before.$1" "$T/during.$1" "$T/after.$1" | awk -v c="$2" -v n="${#loads[@]}" '{
		base = ($c + $(c + 2 * n)) / 2; printf "%.3f\n", 100 * ($(c + n) - base) / base }'
}
# The same of two unwatched neighbours, which is what the machine does by itself
noise() {
	paste "$T"/before.[0-9] "$T"/after.[0-9] | awk -v c="$1" -v n="${#loads[@]}" '{
		k = NF / n / 2; for (i = 0; i < k; i++) { a = $(c + i * n); b = $(c + (i + k) * n)
			d = 100 * (a - b) / (a + b); print d < 0 ? -d : d } }' | quartiles
}
# Of the middle half q1 to q3 of n: a normal one is 1.35 sigma wide, and a median's error 1.25 sigma
# by the root of n.
off() { awk -v lo="$1" -v hi="$2" -v n="$rounds" 'BEGIN { printf "%.1f", 1.25 * (hi - lo) / 1.35 / sqrt(n) }'; }
verdict() {
	awk -v l="$1" -v a="$2" -v e="$3" -v b="${4:-0}" 'BEGIN {
		d = a - 5; doubt = d * d < e * e ? sprintf(" (in doubt, +-%.1f points)", e) : ""
		if (a < e) doubt = ", not told from nothing"
		printf "%-9s %.1f %% more, target 5.0: %s%s; ", l, a, a <= 5 ? "PASS" : "MISSED", doubt
		if (b > 0) printf "%.2f of bpftrace, target 0.25: %s\n", a / b, a / b <= 0.25 ? "PASS" : "MISSED"
		else print "bpftrace N/A" }'
}
printf '%-9s %10s %8s' "redis" "ns bare" "noise"
for w in "${here[@]}"; do printf '  %-34s' "${ways[$w]}"; done
echo
for c in "${!loads[@]}"; do
	l=${loads[$c]} ours='' theirs=''
	read -r bare _ < <(awk -v c=$((c + 1)) '{ print $c }' "$T"/before.* "$T"/after.* | quartiles)
	read -r swing _ < <(noise $((c + 1)))
	printf '%-9s %10d %7.1f%%' "${l% *} -P${l#* }" "$bare" "$swing"
	for w in "${here[@]}"; do
		read -r m lo hi < <(more "$w" $((c + 1)) | quartiles)
		e=$(off "$lo" "$hi")
		printf '  %-34s' "$(printf '%+.1f%% +-%.1f (%+.1f to %+.1f)' "$m" "$e" "$lo" "$hi")"
		[ "${ways[$w]}" != perftop ] || { ours=$m error=$e; }
		[ "${ways[$w]}" != bpftrace ] || theirs=$m
	done
	echo
	[ -z "$ours" ] || verdict "${l% *} -P${l#* }" "$ours" "$error" "$theirs" >>"$T/verdicts"
done
echo "noise: half the difference of two unwatched neighbours, median; in brackets the middle half of $rounds rounds"
[ ! -e "$T/verdicts" ] || cat "$T/verdicts"
[ ! -e "$T/said" ] || echo "perftop's own estimate of what it takes, of a CPU, mean of all loads: $(awk '{ s += $1 } END { printf "%.1f %%", s / NR }' "$T/said")"
