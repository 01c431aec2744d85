#!/usr/bin/env bash
# Of programs that we did not write, 95 % of the samples have stacks up to main, _start or the
# thread's start, from the first second on.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
here=$(cd "$(dirname "$0")" && pwd)
starts='^(main|_start|__libc_start_main.*|__libc_start_call_main|start_thread|clone|clone3|thread_start)$'

samples() { [ "$(tail -1 "$1" | jq .cpu.samples)" -ge 150 ]; }
# reaches NAME: of $pid's first samples, by perftop's own word and by the names on the stacks
reaches() {
	local target=$pid
	start "$1.top" "$PERFTOP" -p "$pid" --hz 199 --json -d 500ms --duration 900s
	eventually 10 samples "$T/$1.top.out"
	kill "$pid"
	wait "$pid" 2>/dev/null
	last=$(tail -1 "$T/$1.top.out")
	kill "$target"
	between "$1: stacks are whole, percent of $(jq .cpu.samples <<<"$last")" "$(jq .cpu.unwound_pct <<<"$last")" 95 100
	between "$1: their last frames are a start's, percent" "$(jq --arg starts "$starts" '[.cpu.stacks[] |
		{count, ok: (.frames[-3:] | any(sub(" \\(.*"; "") | test($starts)))}] |
		100 * (map(select(.ok).count) | add // 0) / (map(.count) | add)' <<<"$last")" 95 100
}
# runs NAME COMM CMD...
runs() {
	local name=$1 comm=$2
	shift 2
	command -v "$1" >/dev/null || { skip "no $1 here"; return 1; }
	start "$name" "$@"
	runs_as "$comm"
}

# The interpreter itself, where python3 is a script that finds one.
if command -v python3 >/dev/null; then
	python=$(python3 -c 'import sys; print(sys.executable)')
	start python3 "$python" "$here/../bench/real/words.py"
	eventually 10 test -s "$T/python3.out"
	reaches python3
else
	skip "no python3 here"
fi
# A server and who asks it: callbacks come from epoll, above a frame of 12 KB of node's own, and its
# compilers map memory for code as it goes.
cat >"$T/serve.js" <<'END'
const http = require('http'), agent = new http.Agent({keepAlive: true, maxSockets: 4});
const server = http.createServer((asked, answer) => answer.end(asked.url.repeat(99)));
server.listen(0, '127.0.0.1', () => {
	const port = server.address().port;
	const ask = () => http.get({port, agent, path: '/' + port}, (r) => r.resume().on('end', ask));
	for (let i = 0; i < 4; i++) ask();
});
END
runs node node node "$T/serve.js" && reaches node
runs perl perl perl -e 'my %h; for (my $i = 0;; $i++) { $h{$i % 999} .= join ",", sort split //, $i }' && reaches perl
runs bash bash bash -c 'while :; do x=${x:0:99}$((RANDOM % 7)); done' && reaches bash
runs sqlite3 sqlite3 sqlite3 :memory: 'with recursive c(x) as (select 1 union all select x + 1 from c)
	select sum(length(printf("%d", x * x % 1001))) from c' && reaches sqlite3
runs jq jq jq -n 'reduce range(1e9) as $i ({}; .[$i % 99 | tostring] += $i)' && reaches jq

initdb=$(find /usr/lib/postgresql -name initdb 2>/dev/null | sort -V | tail -1)
if [ -n "$initdb" ]; then
	bin=$(dirname "$initdb")
	mkdir "$T/pg"
	as_user=()
	if [ "$(id -u)" = 0 ]; then
		chown 65534:65534 "$T/pg"
		chmod 755 "$T"
		as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	fi
	"${as_user[@]}" "$bin/initdb" -D "$T/pg/data" -A trust -U test --no-sync >"$T/initdb.out" 2>&1
	start postmaster "${as_user[@]}" "$bin/postgres" -D "$T/pg/data" -k "$T/pg" -c listen_addresses=
	postmaster=$pid
	eventually 20 "$bin/pg_isready" -q -h "$T/pg" -U test
	start client "$bin/psql" -h "$T/pg" -U test -d postgres \
		-c 'select sum(length(md5(i::text || (i % 7)))) from generate_series(1, 1000000000) i'
	backend() { pid=$(pgrep -P "$postmaster" -f 'test postgres'); }
	eventually 10 backend && reaches postgres
else
	skip "no postgres here"
fi
