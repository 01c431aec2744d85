#!/usr/bin/env bash
# Samples whose stacks are hard to follow to their thread's start.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
here=$(cd "$(dirname "$0")" && pwd)
last_of() { "$PERFTOP" --json -d 500ms --duration 2500ms -p "$1" 2>/dev/null | tail -1; }

# As much is copied as the stack is deep, from the first sample on.
big_frame() {
	start_first big "$BUILD/tests/targets/bigframe" "$@"
	runs_as bigframe
	last=$(last_of "$pid")
	kill "$pid"
}
big_frame untouched
between "a frame of 40 KB whose pages were never touched is unwound through, percent" \
	"$(jq .cpu.unwound_pct <<<"$last")" 95 100
big_frame
between "a frame of 40 KB is unwound through, percent" "$(jq .cpu.unwound_pct <<<"$last")" 95 100
equal "and the stack ends where the program starts" \
	"$(jq -r '.cpu.stacks[0].frames[-1] | sub(" .*"; "")' <<<"$last")" _start

if command -v go >/dev/null; then
	if (cd "$T" && GOCACHE=$T/cache HOME=$T GO111MODULE=off go build -o "$T/channels" \
		"$here/../bench/real/channels.go") >"$T/go.err" 2>&1; then
		start_first channels "$T/channels"
		runs_as channels
		last=$(last_of "$pid")
		between "Go's stacks are whole, by .debug_frame, percent" \
			"$(jq .cpu.unwound_pct <<<"$last")" 95 100
	else
		skip "Go is here but does not build: $(head -c 100 "$T/go.err")"
	fi
else
	skip "no Go here"
fi

start_first inlines "$BUILD/tests/targets/inlines"
runs_as inlines
last=$(last_of "$pid")
equal "what is inlined is named, and what it is inlined into" \
	"$(jq -r '.cpu.stacks[0].frames[:4] | map(sub(" \\(inlines\\)"; "")) | join(" < ")' <<<"$last")" \
	"innermost (inlined) < middle (inlined) < around < main"

# Code of a compiler at run time: whose it is, and what names it; and then its name.
# Fifty samples are asked for before it is said: on a machine that others use they take a while.
last_of() { "$PERFTOP" --json -d 500ms --duration 4s --hz 499 -p "$1" 2>/dev/null | tail -1; }
cp "$BUILD/tests/targets/unnamed_code" "$T/node"
start_first node "$T/node"
runs_as node
eventually 5 test -s "$T/node.out"
last=$(last_of "$pid")
equal "code without names is said to be that, with whose" \
	"$(jq -r '.sections.cpu.status + ": " + (.sections.cpu.reason | sub("^[0-9]+ % "; ""))' <<<"$last")" \
	"degraded: of the samples are in code that V8 made and did not name"
check "and with what names it" grep -q perf-basic-prof <<<"$(jq -r .sections.cpu.fix <<<"$last")"
sed 's/$/ compiled/' "$T/node.out" >"/tmp/perf-$pid.map"
"$PERFTOP" --json -d 300ms --duration 30s --hz 499 -p "$pid" >"$T/listed.json" 2>/dev/null &
watcher=$!
eventually 30 grep -q 'no frame pointers' "$T/listed.json"
kill "$watcher"
wait "$watcher"
rm -f "/tmp/perf-$pid.map"
equal "once it is listed it has its name" \
	"$(tail -1 "$T/listed.json" | jq -r '.cpu.functions[0].name')" compiled
check "and that its callers are missing is said" grep -q \
	"of the stacks end before their thread's start: in code made at run time, which keeps no frame" \
	"$T/listed.json"

cp "$BUILD/tests/targets/unnamed_code" "$T/beam.smp"
start_first beam "$T/beam.smp" twice
runs_as beam.smp
last=$(last_of "$pid")
equal "so is code in memory that is mapped twice" \
	"$(jq -r '.cpu.functions[0].module + " " + .sections.cpu.fix' <<<"$last")" \
	"memfd:vmem erl +JPperf true, when it is started"

# Processes that are gone before anybody can look what they ran.
start brief bash -c 'while :; do /bin/true; done'
"$PERFTOP" --json --duration 5s -p "$pid" --follow-forks >"$T/brief.json"
equal "that stacks of brief processes end soon is not laid to their code" \
	"$(jq -s 'any(.[].sections.cpu.reason; test("without rules"))' "$T/brief.json")" false
