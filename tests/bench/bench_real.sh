#!/usr/bin/env bash
# Programs that we did not write: what they do a second and what CPU time an operation takes them and
# their load, before, while and after perftop watches them, and what it says of them. Those that are
# not installed are named and left out.
#   SECONDS_EACH   of each stretch (4)   ROUNDS   stretches watched (8)   ONLY_PROGRAM   one of them
. "$(dirname "$0")/../lib/system.sh"
here=$(cd "$(dirname "$0")" && pwd)
seconds=${SECONDS_EACH:-4} rounds=${ROUNDS:-8} settle=2
missing=()

have() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null || { missing+=("$p"); return 1; }
	done
	[ -z "${ONLY_PROGRAM:-}" ] || [ "$ONLY_PROGRAM" = "$name" ]
}

# Each program has: NAME_start_, which leaves its pid in $target; NAME_rate, which runs or watches
# its load for $seconds and prints operations a second.
row() { printf '%-9s %9s %9s %9s %14s %14s %14s %7s %8s %6s  %s\n' "$@"; }

# Operations a second of a program that prints now and then how many it has done, last line of a
# file: from one line to another.
counted() {
	local a b from
	next_line "$1"
	a=$line from=$now
	sleep "$seconds"
	next_line "$1"
	b=$line
	awk -v n=$((b - a)) -v ns=$((now - from)) 'BEGIN { printf "%d", n * 1e9 / ns }'
}
next_line() {
	local was
	was=$(wc -c <"$1")
	while [ "$(wc -c <"$1")" = "$was" ]; do sleep 0.01; done
	now=$(date +%s%N)
	line=$(tail -n 1 "$1")
}

redis_start_() { start_redis; target=$redis_pid; }
redis_rate() {
	local a b
	local from
	start load redis-benchmark -s "$redis_sock" -c 20 -l -q -t get,set
	sleep 0.1
	from=$(date +%s%N)
	a=$(redis-cli -s "$redis_sock" info stats | awk -F: '/total_commands_processed/ { print $2 + 0 }')
	sleep "$seconds"
	b=$(redis-cli -s "$redis_sock" info stats | awk -F: '/total_commands_processed/ { print $2 + 0 }')
	from=$(($(date +%s%N) - from))
	kill "$pid"
	wait "$pid" 2>/dev/null
	awk -v n=$((b - a)) -v ns="$from" 'BEGIN { printf "%d", n * 1e9 / ns }'
}

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
	target=$pid
	eventually 20 "$bin/pg_isready" -q -h "$T/pg" -U bench
	createdb -h "$T/pg" -U bench bench
	pgbench -h "$T/pg" -U bench -i -q bench >/dev/null 2>&1
	more=(--follow-forks)
}
postgres_rate() { pgbench -h "$T/pg" -U bench -S -c 4 -T "$seconds" bench 2>/dev/null | awk '/^tps/ { printf "%d", $3 }'; }

nginx_start_() {
	mkdir "$T/www"
	head -c 2000 /dev/zero >"$T/www/index.html"
	cat >"$T/nginx.conf" <<-END
		daemon off; worker_processes 2; pid $T/nginx.pid; error_log $T/nginx.log;
		events { worker_connections 256; }
		http { access_log off; server { listen 127.0.0.1:18098; root $T/www; } }
	END
	chmod 755 "$T"
	start nginx nginx -c "$T/nginx.conf" -e "$T/nginx.log"
	target=$pid
	eventually 10 wrk -d 0.1s -c 1 -t 1 http://127.0.0.1:18098/ >/dev/null
	more=(--follow-forks)
}
nginx_rate() { wrk -d "${seconds}s" -c 16 -t 1 http://127.0.0.1:18098/ | awk '/Requests\/sec/ { printf "%d", $2 }'; }

script_start() {
	start "$1" "$2" "$here/real/$3"
	target=$pid
	eventually 20 grep -q '[1-9]' "$T/$1.out"
}
python3_start_() { script_start python3 python3 words.py; }
python3_rate() { counted "$T/python3.out"; }
node_start_() { script_start node node json.js; }
node_rate() { counted "$T/node.out"; }

sqlite3_start_() {
	mkfifo "$T/sql"
	start sqlite3 sqlite3 "$T/bench.db" ".read $T/sql"
	target=$pid
	start feeder bash -c 'exec awk '\''BEGIN {
		print "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);"
		for (;;) { print "BEGIN;"
			for (i = 0; i < 500; i++) print "INSERT INTO t(v) VALUES(hex(randomblob(16)));"
			print "COMMIT; SELECT max(id) FROM t;" } }'\'' >"$0"' "$T/sql"
	eventually 10 grep -q '[1-9]000' "$T/sqlite3.out"
}
sqlite3_rate() { counted "$T/sqlite3.out"; }

go_start_() {
	(cd "$T" && GOCACHE=$T/gocache HOME=$T go build -o "$T/gobench" "$here/real/channels.go") || return 1
	start go "$T/gobench"
	target=$pid
	eventually 20 grep -q '[1-9]' "$T/go.out"
}
go_rate() { counted "$T/go.out"; }
rust_start_() {
	rustc -O -g -o "$T/rustbench" "$here/real/tree.rs" 2>/dev/null || return 1
	start rust "$T/rustbench"
	target=$pid
	eventually 20 grep -q '[1-9]' "$T/rust.out"
}
rust_rate() { counted "$T/rust.out"; }

stop_target() {
	local p
	for p in "${started[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${started[@]}"; do wait "$p" 2>/dev/null; done
	started=()
}

# Clock ticks of CPU that a program, its children and all loads have used, those that are gone too.
used() {
	local p files=("/proc/$target/stat")
	for p in $(pgrep -P "$target"); do files+=("/proc/$p/stat"); done
	cat "${files[@]}" "/proc/$$/stat" 2>/dev/null | awk -v shell=$$ '{
		own = $1 != shell; sub(/.*\) /, "")
		s += own * ($12 + $13) + $14 + $15 } END { print s }'
}
# measure: operations a second in $rate, and ns of CPU that each of them took in $each
measure() {
	local begin ticks from=$EPOCHREALTIME
	begin=$(used)
	rate=$("${name}_rate")
	ticks=$(($(used) - begin))
	each=$(awk -v t="$ticks" -v hz="$(getconf CLK_TCK)" -v r="$rate" -v a="$from" -v b="$EPOCHREALTIME" \
		'BEGIN { printf "%.1f", (r > 0 ? 1e9 * t / hz / (r * (b - a)) : 0) }')
}

# The middle of what follows, and how far it may be off: one standard error, by the middle half of
# them; a normal one is 1.35 sigma wide, and a median's error 1.25 sigma by the root of n.
middle() {
	printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END {
		lo = v[int((NR + 3) / 4)]; hi = v[int((3 * NR + 1) / 4)]
		printf "%.1f %.1f\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, 1.25 * (hi - lo) / 1.35 / sqrt(NR) }'
}
with_error() { middle "$@" | awk '{ printf "%s%% +-%s", $1, $2 }'; }
# beside DURING BEFORE AFTER: per cent more than the mean of the two
beside() { awk -v d="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%.2f", 100 * (2 * d / (a + b) - 1) }'; }

# CPU that a process has used since it began.
cpu_pct() {
	awk -v hz="$(getconf CLK_TCK)" -v up="$(cut -d' ' -f1 /proc/uptime)" \
		'{ printf "%.1f %%", 100 * ($14 + $15) / (up * hz - $22) }' "/proc/$1/stat"
}

# Attached, for one measurement, and detached again. Before it the load runs for a moment, as on a
# server that was busy already: how closely system calls are watched follows their rate.
watched() {
	local top
	start top "$PERFTOP" -p "$target" "${more[@]}" --json
	top=$pid
	eventually 10 test -s "$T/top.out"
	seconds=$settle "${name}_rate" >/dev/null
	measure
	own=$(cpu_pct "$top")
	kill -INT "$top"
	wait "$top" 2>/dev/null
	last=$(tail -n 1 "$T/top.out")
}

# What a machine does of itself within seconds can be more than what is measured here: so each watched
# stretch is compared with the two beside it, and so are two unwatched ones, for what is noise.
one() {
	local before during after first on=() lost=() dearer=() noise=()
	local own rate each each_before each_during each_after
	more=()
	"${name}_start_" || { missing+=("$name (does not build)"); return; }
	"${name}_rate" >/dev/null # warm
	measure
	first=$rate after=$rate each_after=$each
	for _ in $(seq "$rounds"); do
		before=$after each_before=$each_after
		watched
		on+=("$rate")
		during=$rate each_during=$each
		measure
		after=$rate each_after=$each
		lost+=("$(awk -v d="$(beside "$during" "$before" "$after")" 'BEGIN { print -d }')")
		dearer+=("$(beside "$each_during" "$each_before" "$each_after")")
		noise+=("$(awk -v a="$before" -v b="$after" 'BEGIN { d = 100 * (a - b) / (a + b); print d < 0 ? -d : d }')")
	done
	row "$name" "$first" "$(middle "${on[@]}" | cut -d. -f1)" "$after" "$(with_error "${lost[@]}")" \
		"$(with_error "${dearer[@]}")" \
		"$(jq -r '.cost | "\(.target_pct_est * 10 | round / 10)%, \(.bpf_ns_per_s / 1e6 | round / 10)%"' <<<"$last")" \
		"$(jq -r '.cpu.unwound_pct | floor | tostring + " %"' <<<"$last")" \
		"$own" \
		"$(jq -r '.cost.dropped_total' <<<"$last")" \
		"$(jq -r '.cpu.functions[0] | if . then .name + " " + (.self_pct | floor | tostring) + " %" else "no samples" end' <<<"$last")"
	noises+=("$name $(middle "${noise[@]}" | cut -d' ' -f1)%")
	stop_target
}

noises=()
row "program" "before /s" "during /s" "after /s" "lost" "CPU each" "said, machine" "stacks" "perftop" "drops" "hottest function"
name=redis && have redis-server redis-benchmark && one
name=postgres && have pgbench createdb && [ -d /usr/lib/postgresql ] && one
name=nginx && have nginx wrk && one
name=python3 && have python3 && one
name=node && have node && one
name=sqlite3 && have sqlite3 && one
name=go && have go && one
name=rust && have rustc && one
[ ${#missing[@]} = 0 ] || echo "not here: ${missing[*]}"
echo "during: the middle of $rounds stretches of $seconds s, each attached anew, $settle s before it; a load connects at the begin of each stretch"
echo "lost: throughput of a stretch against the two beside it; CPU each: what an operation takes more CPU time of program and load; the middle and its error"
echo "noise: half the difference of two unwatched stretches with a watched one between: $(printf '%s, ' "${noises[@]}" | sed 's/, $//')"
echo "said, machine: of one CPU ($(nproc) here), what perftop says it takes from the program, and its eBPF programs' run time on the whole machine, in the last tick of the last stretch"
echo "stacks: samples that reach their thread's start; perftop: its CPU from start to end of a stretch"
