#!/usr/bin/env bash
# What a timed call costs its program: perftop as users start it, beside funclatency and bpftrace.
# Each watches its own process, at the same time, and the processes are asked in turn: what disturbs
# the machine disturbs all alike. Program and libc are copies, since a probe belongs to a file and
# all who watch it would share its cost. "clock alone" is the least that there can be, by
# empty_probe.c: what the kernel takes for the two probes, and reading the clock at both. "in process"
# is perftop's library, without a trap; a function of the program itself is out of its reach.
#   ROUNDS   of all of them in turn (60)
. "$(dirname "$0")/../lib/system.sh"
rounds=${ROUNDS:-60}
known=$BUILD/tests/targets/known
ways=("not watched" perftop "perftop --slower off" funclatency bpftrace "clock alone" "perftop --in-process")
libc=$(ldd "$known" | awk '$1 == "libc.so.6" { print $3 }')

# One process for each way: its folder $T/N, its input, its pid.
targets=() inputs=()
for i in "${!ways[@]}"; do
	mkdir "$T/$i"
	cp "$known" "$libc" "$T/$i"
	mkfifo "$T/$i/in"
	exec {fd}<>"$T/$i/in" # both ways: neither end waits for the other
	inputs+=("$fd")
	: >"$T/$i/out"
	LD_LIBRARY_PATH=$T/$i "$T/$i/known" <&"$fd" >>"$T/$i/out" &
	targets+=("$!")
	started+=("$!")
done

# ask I COMMAND: CPU ns a call, of the process's own account; in $ns
ask() {
	local line
	echo "$2" >&"${inputs[$1]}"
	for ((;;)); do
		line=$(tail -n 1 "$T/$1/out")
		[ -z "$line" ] || break
		sleep 0.005
	done
	ns=${line##*ns=}
	: >"$T/$1/out"
}
# Until each is the program, and no longer the shell that forked.
for i in "${!ways[@]}"; do ask "$i" "calls known_push 10 1"; done
# The tools say that they are attached before they are: a call that got slower is the sign.
slower_now() {
	case ${ways[$1]} in *in-process) grep -q 'GOT slots*; ~' "$T/watcher$1.out"; return ;; esac
	ask "$1" "$few"
	awk -v a="$ns" 'BEGIN { exit !(a > 300) }'
}
# watch I FILE-OF-THE-FUNCTION FUNCTION SHORT
watch() {
	local pid_of=${targets[$1]} at=$T/$1/$2:$3
	case ${ways[$1]} in
	"not watched") return ;;
	perftop*)
		# shellcheck disable=SC2086
		start "watcher$1" "$PERFTOP" -p "$pid_of" -e "$at" --max-overhead 1000 --json \
			--syscalls=off --no-offcpu --hz 0 ${ways[$1]#perftop}
		;;
	"clock alone") start "watcher$1" "$BUILD/tests/bench/empty_probe" "$pid_of" "$at" ;;
	# It takes no path: "" is the program itself, "c" is libc.
	funclatency) start "watcher$1" funclatency -u -p "$pid_of" "$4:$3" ;;
	bpftrace) start "watcher$1" bpftrace -p "$pid_of" -e "uprobe:$at { @s[tid] = nsecs; }
		uretprobe:$at /@s[tid]/ { @ = hist(nsecs - @s[tid]); delete(@s[tid]); }" ;;
	esac
	# shellcheck disable=SC2154
	watchers[$1]=$pid
}
can() { case $1 in perftop* | not*) ;; clock*) [ -x "$BUILD/tests/bench/empty_probe" ] ;; *) command -v "$1" >/dev/null ;; esac; }
# Median, and the quarters below and above it, of the numbers that come
quartiles() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int((NR + 3) / 4)], v[int((3 * NR + 1) / 4)] }'; }
# of I: what was added to a call, round by round
added() { awk -v b="$bare" '{ print $1 - b }' "$T/cost.$1"; }
# verdict OURS THEIRS LIMIT; without a limit the ratio alone
verdict() {
	[ -s "$T/cost.$1" ] && [ -s "$T/cost.$2" ] || { echo "N/A: not here, or it did not attach"; return; }
	paste <(added "$1") <(added "$2") | awk '{ print $1 / $2 }' | quartiles | awk -v t="${3:-}" '{
		d = $1 < 0.1 ? 3 : 2 # digits
		printf "%.*f (%.*f-%.*f)", d, $1, d, $2, d, $3
		if (t) printf ", target %.2f: %s", t, $1 <= t ? "PASS" : "MISSED"
		print "" }'
}
# subject TITLE FILE FUNCTION SHORT COMMAND FEW LIMIT-FUNCLATENCY LIMIT-BPFTRACE
subject() {
	local i r at=()
	few=$6 watchers=()
	rm -f "$T"/cost.*
	for i in "${!ways[@]}"; do
		can "${ways[$i]}" || continue
		case ${ways[$i]} in *in-process) [ "$4" ] || continue ;; esac
		watch "$i" "$2" "$3" "$4"
		[ "$i" = 0 ] || eventually 20 slower_now "$i" || continue
		at+=("$i")
	done
	sleep 1 # bpftrace's return probe comes second
	for ((r = 0; r < rounds; r++)); do
		for i in "${at[@]}"; do
			ask "$i" "$5"
			echo "$ns" >>"$T/cost.$i"
		done
	done
	kill -INT "${watchers[@]}" 2>/dev/null
	wait "${watchers[@]}" 2>/dev/null
	read -r bare _ < <(quartiles <"$T/cost.0")
	printf '%s: %.1f ns; added to a call, median of %d rounds and its quarters\n' "$1" "$bare" "$rounds"
	for i in "${at[@]:1}"; do
		added "$i" | quartiles | awk -v w="${ways[$i]}" '{ printf "  %-22s %9.0f ns (%.0f-%.0f)\n", w, $1, $2, $3 }'
	done
	for i in 1 2 ${4:+6}; do
		printf '  %-22s of funclatency %s\n' "${ways[$i]}" "$(verdict "$i" 3 "$7")"
		printf '  %-22s of bpftrace    %s\n' "${ways[$i]}" "$(verdict "$i" 4 "$8")"
	done
	printf '  %-22s of funclatency %s\n' "${ways[5]}" "$(verdict 5 3)"
	printf '  %-22s of bpftrace    %s\n' "${ways[5]}" "$(verdict 5 4)"
}
subject "a function that begins with push" known known_push "" "calls known_push 10000 1" \
	"calls known_push 1000 1" 0.85 0.70
subject "free of libc, which the others single-step" libc.so.6 free c "heap 3000" "heap 300" 0.12 0.12
