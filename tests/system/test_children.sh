#!/usr/bin/env bash
# Probes in programs that the first process does not run: children's after exec, other pids'.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
calls=3000

# Two programs that have nothing in common but the name of one function. Each waits, makes its
# calls, says so, and stays.
program() {
	"${CC:-cc}" -O1 -o "$T/$1" -x c - <<-END || not_ok "cannot compile $1"
		#include <stdio.h>
		#include <unistd.h>
		__attribute__((noinline, noclone)) void $2(void) { __asm__ volatile("nop"); }
		__attribute__((noinline, noclone)) void shared(void) { __asm__ volatile("nop"); }
		int main(void)
		{
			char go;

			puts("ready");
			fflush(stdout);
			if (read(0, &go, 1) != 1)
				return 1;
			for (int i = 0; i < $calls; i++)
				$2();
			for (int i = 0; i < 2 * $calls; i++)
				shared();
			puts("done");
			fflush(stdout);
			return read(0, &go, 1) != 0;
		}
	END
}
program left only_left
program right only_right
mkfifo "$T/left.in" "$T/right.in"

# count JSON NAME MODULE
count() { jq "[.latency[] | select(.name == \"$2\" and .module == \"$3\") | .count] | add // 0" <<<"$1"; }
# run NAME PROGRAMS...: what perftop, called NAME, says once these have made their calls
run() {
	local name=$1 p top=$pid
	shift
	for p; do
		eventually 10 grep -q ready "$T/$p.log"
	done
	pass "$T/$name.out" 2
	for p; do
		printf g >&"${in[$p]}"
		eventually 10 grep -q done "$T/$p.log"
	done
	pass "$T/$name.out" 2
	kill "$top"
	wait "$top" 2>/dev/null
	last=$(tail -1 "$T/$name.out")
}
declare -A in
open_inputs() {
	exec 8<>"$T/left.in" 9<>"$T/right.in"
	in=([left]=8 [right]=9)
}
open_inputs

# A shell whose children run other programs, after perftop came.
printf '%s\n' "read go <\"$T/go\"" "\"$T/left\" <\"$T/left.in\" >\"$T/left.log\" 8>&- 9>&- &" \
	"\"$T/right\" <\"$T/right.in\" >\"$T/right.log\" 8>&- 9>&- & wait" >"$T/parent.sh"
mkfifo "$T/go"
start parent bash "$T/parent.sh" 8>&- 9>&-
parent=$pid
start follow "$PERFTOP" -p "$parent" --follow-forks --json -d 200ms --max-overhead 100 \
	-e left:only_left -e "*:only_right" -e "*:shared"
eventually 10 test -s "$T/follow.out" || not_ok "perftop printed nothing: $(cat "$T/follow.err")"
check "what no process runs yet is waited for, and that is said" \
	jqe '.sections.func.reason | test("left.* not loaded yet")' <<<"$(tail -1 "$T/follow.out")"
echo g >"$T/go"
: >"$T/left.log" >"$T/right.log"
run follow left right
equal "a function of a child's program is counted, exactly" "$(count "$last" only_left left)" "$calls"
equal "that of another child's as well" "$(count "$last" only_right right)" "$calls"
equal "functions of one name in two programs have a row each: left's" \
	"$(count "$last" shared left)" $((2 * calls))
equal "and right's" "$(count "$last" shared right)" $((2 * calls))
# Children that were over before anybody looked have no number, name or memory: no row.
equal "each process that has a row has a number and a name" \
	"$(jq -s '[.[].processes[] | select(.pid == 0 or .comm == "")] | length' "$T/follow.out")" 0
equal "all are found then" "$(jq -r .sections.func.status <<<"$last")" live

# Both run when perftop comes, which is the first of them does not matter.
exec 8>&- 9>&-
wait "$parent" 2>/dev/null
open_inputs
start left bash -c 'exec "$0" <"$0.in" >"$0.log" 8>&- 9>&-' "$T/left"
left=$pid
start right bash -c 'exec "$0" <"$0.in" >"$0.log" 8>&- 9>&-' "$T/right"
right=$pid
eventually 10 grep -q ready "$T/left.log" "$T/right.log"
start both "$PERFTOP" -p "$left,$right" --json -d 200ms --max-overhead 100 -e only_right -e right:shared
eventually 10 test -s "$T/both.out" || not_ok "perftop printed nothing: $(cat "$T/both.err")"
run both left right
equal "of two pids, a function that the second has alone is counted" \
	"$(count "$last" only_right right)" "$calls"
equal "and one of a file that it alone maps" "$(count "$last" shared right)" $((2 * calls))
equal "the other program's is not" "$(count "$last" shared left)" 0
"$PERFTOP" -p "$left,$right" -e neither --json --duration 100ms >"$T/out" 2>"$T/err"
equal "a function that neither has is refused" $? 1
check "and named" grep -q "no function 'neither'" "$T/err"
"$PERFTOP" -p "$left,$right" -e middle:shared --json --duration 100ms >"$T/out" 2>"$T/err"
equal "a program that neither runs is refused" $? 1
check "as that" grep -q "nor by the others" "$T/err"
"$PERFTOP" -p "$left" --follow-forks -e neither --json --duration 100ms >"$T/out" 2>"$T/err"
check "with children to come, how to wait for one that has it is said" \
	grep -q "'\*:neither' waits" "$T/err"
exec 8>&- 9>&-
