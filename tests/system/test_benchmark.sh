#!/usr/bin/env bash
# perftop benchmark: every suite runs, its JSON is what the README says, baselines and exit codes.
. "$(dirname "$0")/../lib/system.sh"

# run ARGS...: perftop benchmark, its output in $T/out and $T/err, its status in $rc
run() {
	"$PERFTOP" benchmark "$@" >"$T/out" 2>"$T/err"
	rc=$?
}
numbers='all(.results[]; ([.n, .mean_ns, .median_ns, .stddev_ns, .p95_ns, .p99_ns, .min_ns, .max_ns,
	.ops_per_s, .gflops, .gbytes_s, .pct_peak, .scratch_bytes, .peak_rss_bytes] | all(type == "number"))
	and ([.suite, .name, .isa] | all(type == "string")) and (.params | type == "object")
	and (.vs | type == "object" and all(.[]; . > 0)))'
sound='all(.results[]; .n >= 1 and .min_ns <= .median_ns and .median_ns <= .p95_ns and .p95_ns <= .p99_ns
	and .p99_ns <= .max_ns and .median_ns > 0)'
verdicts='all(.targets[]; ([.name, .seed, .target, .unit] | all(type == "string" )) and
	(.status | IN("PASS", "MISSED", "N/A")) and (.status == "PASS" or .reason != null) and
	(.status != "N/A" or .measured == null))'

units='all(.targets[]; (.target | test("^[<>=~ ]*[0-9.-]+ ?%") | not) or .unit == "%") and
	all(.targets[]; (.target | test("^[<>=~ ]*[0-9.,x-]+x$") | not) or .unit == "x")'
run --list
equal "suites are listed" "$rc" 0
suites=$(awk '{ print $1 }' "$T/out")
check "flash-attention is one of them" grep -qx flash-attention <<<"$suites"
for s in $suites; do
	run --quick --suite "$s" --json
	equal "$s runs" "$rc" 0
	[ "$rc" = 0 ] || cat "$T/err"
	equal "$s: one object of the schema" "$(jq -r .schema "$T/out")" perftop.benchmark/1
	check "$s: has results or targets" jqe '.results + .targets | length > 0' "$T/out"
	equal "$s: each result has its numbers" "$(jq "$numbers" "$T/out")" true
	equal "$s: and they are sound" "$(jq "$sound" "$T/out")" true
	equal "$s: each target has a verdict" "$(jq "$verdicts" "$T/out")" true
	equal "$s: a target's unit is that of what was published" "$(jq "$units" "$T/out")" true
	equal "$s: targets are told apart" "$(jq '.targets | length == (map([.name, .target]) | unique | length)' "$T/out")" true
	equal "$s: nothing failed" "$(jq '.failures | length' "$T/out")" 0
	equal "$s: results are told apart" \
		"$(jq '.results | length == (map([.suite, .contest, .name, .isa, .params]) | unique | length)' "$T/out")" true
done
# Where a figure was published it decides, and no easier one.
run --quick --suite startup,quant --json
for name in 'server initialisation as published' 'warm start, --version' 'distillation' 'memory reduction, bf16'; do
	check "there is: $name" jqe --arg n "$name" 'any(.targets[]; .name == $n)' "$T/out"
done
check "what is quick says so" jqe '.quick == true' "$T/out"
machine='.machine | (.cpu | length > 0) and .isa != "" and .peak_gflops > 0 and .l1_gbytes_s > 0 and
	.l2_gbytes_s > 0 and .l3_gbytes_s > 0 and .dram_gbytes_s > 0'
equal "the machine has its ceilings" "$(jq "$machine" "$T/out")" true

run --quick --suite flash-attention
check "what is quick says so in words" grep -q '^--quick: .* no figure answers' "$T/out"
equal "tables for people" "$rc" 0
check "they fit 100 columns" test "$(awk '{ if (length > m) m = length } END { print m }' "$T/out")" -le 100
check "targets are summed up" grep -qE '^[0-9]+ targets: [0-9]+ PASS' "$T/out"
run --quick --suite flash-attention --isa scalar --json
equal "another instruction set" "$(jq -r '.machine.isa, (.results | map(.isa) | unique[])' "$T/out" | xargs)" "scalar scalar"

# ---- baselines
run --suite flash-attention --quick --time 60ms --save-baseline "$T/base"
equal "a baseline is saved" "$rc" 0
equal "with its samples" "$(jq 'all(.results[]; (.samples_ns | length) == .n)' "$T/base")" true
equal "and nothing is left beside it" "$(find "$T" -name 'base*' | wc -l)" 1
# A thousand times as slow as the baseline says it was, and a thousand times as fast.
jq -c '.results[].samples_ns |= map(. / 1000)' "$T/base" >"$T/faster"
jq -c '.results[].samples_ns |= map(. * 1000)' "$T/base" >"$T/slower"
run --suite flash-attention --quick --time 60ms --baseline "$T/faster" --json
equal "a regression ends with 1" "$rc" 1
check "and is named" jqe '.comparison | .regressions > 0 and (.rows[0] | .change == "slower" and .p < 0.01)' "$T/out"
run --suite flash-attention --quick --time 60ms --baseline "$T/faster"
check "in words too" grep -q '^SLOWER' "$T/out"
run --suite flash-attention --quick --time 60ms --baseline "$T/slower"
equal "being faster ends with 0" "$rc" 0
jq -c '.machine.cpu = "abacus" | .machine.isa = "scalar"' "$T/slower" >"$T/other"
PERFTOP_ISA='' run --suite flash-attention --quick --baseline "$T/other"
equal "a baseline of another machine will do" "$rc" 0
check "and is told to be one" grep -q 'another CPU (abacus)' "$T/err"
jq -c '.machine.cpu = "\u001b[2J"' "$T/slower" >"$T/other"
run --suite flash-attention --quick --baseline "$T/other"
check "what a file holds does not steer the terminal" test "$(tr -dc '\33' <"$T/err")" = ""
run --suite ewc --quick --baseline "$T/slower"
equal "nothing to compare ends with 1" "$rc" 1
check "and is told" grep -q 'nothing was compared' "$T/err"
echo '{"schema":"perftop.snapshot/1"}' >"$T/bad"
for bad in "$T/bad" "$T/not-there" "$T"; do
	run --suite flash-attention --quick --baseline "$bad"
	equal "no baseline: ${bad#"$T"}" "$rc" 2
	equal "in one line" "$(wc -l <"$T/err")" 1
done
run --suite flash-attention --quick --save-baseline "$T/no/such/folder"
equal "where it cannot be saved" "$rc" 1
check "which is told before anything is measured" test ! -s "$T/out"
for bad in '--suite x' '--isa mmx' '--bogus' 'word' '--time 0' '--suite'; do
	# shellcheck disable=SC2086
	run $bad
	equal "bad usage: $bad" "$rc" 2
	equal "one line for it: $bad" "$(wc -l <"$T/err")" 1
done
"$PERFTOP" benchmark --quick --suite flash-attention --json >/dev/full 2>"$T/err"
equal "a full disk is told" "$?" 1
timeout 30 "$PERFTOP" benchmark --suite startup,hnsw >/dev/full 2>"$T/err"
equal "before a minute of the next suite" "$?" 1
check "with the reason" grep -q 'No space left' "$T/err"
"$PERFTOP" benchmark --list >/dev/full 2>"$T/err"
equal "of a list too" "$?" 1
# Into the middle of its writes, which take less than a tenth of a second on a fast disk, so it is
# looked for without a pause; nothing is left of them.
mkdir "$T/tmp"
TMPDIR=$T/tmp "$PERFTOP" benchmark --suite workers --time 1s >"$T/out" 2>&1 &
pid=$!
end=$((SECONDS + 200))
until compgen -G "$T/tmp/perftop-write.*" >/dev/null || [ "$SECONDS" -ge "$end" ]; do :; done
kill -TERM "$pid"
wait "$pid" 2>/dev/null
equal "a signal ends it" "$?" 143
equal "and nothing is left behind" "$(ls "$T/tmp")" ""
run --help
equal "help" "$rc" 0
check "help fits 100 columns" test "$(awk '{ if (length > m) m = length } END { print m }' "$T/out")" -le 100
