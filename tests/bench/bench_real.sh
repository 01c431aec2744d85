#!/usr/bin/env bash
# Programs that we did not write: throughput before, while and after perftop watches them, and what
# it says of them. Those that are not installed are named and left out.
#   SECONDS_EACH   of each stretch (10)   ROUNDS   stretches watched (3)   ONLY_PROGRAM   one of them
. "$(dirname "$0")/../lib/system.sh"
here=$(cd "$(dirname "$0")" && pwd)
seconds=${SECONDS_EACH:-10} rounds=${ROUNDS:-3}
missing=()

have() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null || { missing+=("$p"); return 1; }
	done
	[ -z "${ONLY_PROGRAM:-}" ] || [ "$ONLY_PROGRAM" = "$name" ]
}

# Each program has: NAME_start, which leaves its pid in $target; NAME_rate, which runs or watches
# its load for $seconds and prints operations a second.
row() { printf '%-10s %10s %10s %10s %7s %12s %7s %7s %7s  %s\n' "$@"; }

# Operations a second of a program that prints how many it has done, last line of a file.
counted() {
	local a b
	a=$(tail -n 1 "$1")
	sleep "$seconds"
	b=$(tail -n 1 "$1")
	echo $(((b - a) / seconds))
}

redis_start_() { start_redis; target=$redis_pid; }
redis_rate() {
	local a b
	start load redis-benchmark -s "$redis_sock" -c 20 -l -q -t get,set
	a=$(redis-cli -s "$redis_sock" info stats | awk -F: '/total_commands_processed/ { print $2 + 0 }')
	sleep "$seconds"
	b=$(redis-cli -s "$redis_sock" info stats | awk -F: '/total_commands_processed/ { print $2 + 0 }')
	kill "$pid"
	wait "$pid" 2>/dev/null
	echo $(((b - a) / seconds))
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

# The lowest, the middle and the highest of what follows.
spread() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'; }

# CPU that a process has used since it began.
cpu_pct() {
	awk -v hz="$(getconf CLK_TCK)" -v up="$(cut -d' ' -f1 /proc/uptime)" \
		'{ printf "%.1f %%", 100 * ($14 + $15) / (up * hz - $22) }' "/proc/$1/stat"
}

# Attached, for one measurement of the rate, and detached again; the rate goes to $during, its own CPU to $own.
watched() {
	local top
	start top "$PERFTOP" -p "$target" "${more[@]}" --json
	top=$pid
	eventually 10 test -s "$T/top.out"
	during=$("${name}_rate")
	own=$(cpu_pct "$top")
	kill -INT "$top"
	wait "$top" 2>/dev/null
	last=$(tail -n 1 "$T/top.out")
}

# What a machine does of itself within a minute is more than what is measured here: so each watched
# stretch is compared with the two beside it, and the middle one of all is the answer.
one() {
	local before after first during own on=() lost=() low mid high
	more=()
	"${name}_start_" || { missing+=("$name (does not build)"); return; }
	"${name}_rate" >/dev/null # warm
	first=$("${name}_rate")
	after=$first
	for _ in $(seq "$rounds"); do
		before=$after
		watched
		after=$("${name}_rate")
		on+=("$during")
		lost+=("$(awk -v a="$before" -v b="$after" -v d="$during" 'BEGIN { printf "%.1f", 100 * (1 - 2 * d / (a + b)) }')")
	done
	read -r _ during _ < <(spread "${on[@]}")
	read -r low mid high < <(spread "${lost[@]}")
	row "$name" "$first" "$during" "$after" "$mid%" "$low..$high" \
		"$(jq -r '.cpu.unwound_pct | floor | tostring + " %"' <<<"$last")" \
		"$own" \
		"$(jq -r '.cost.dropped' <<<"$last")" \
		"$(jq -r '.cpu.functions[0] | if . then .name + " " + (.self_pct | floor | tostring) + " %" else "no samples" end' <<<"$last")"
	stop_target
}

row "program" "before /s" "during /s" "after /s" "lost" "range" "stacks" "perftop" "drops" "hottest function"
name=redis && have redis-server redis-benchmark && one
name=postgres && have pgbench createdb && [ -d /usr/lib/postgresql ] && one
name=nginx && have nginx wrk && one
name=python3 && have python3 && one
name=node && have node && one
name=sqlite3 && have sqlite3 && one
name=go && have go && one
name=rust && have rustc && one
[ ${#missing[@]} = 0 ] || echo "not here: ${missing[*]}"
echo "during: the middle of $rounds stretches of $seconds s, each attached anew; lost: throughput of a stretch against the two beside it, the middle and all"
echo "stacks: samples that reach their thread's start; perftop: its CPU from start to end of a stretch"
