#!/usr/bin/env bash
# The real dashboard in a real terminal: views by key, resizing, and a terminal left as it was found.
. "$(dirname "$0")/../lib/system.sh"
sock=perftop-test-$$
t() { tmux -L "$sock" -f /dev/null "$@"; }
trap 't kill-server 2>/dev/null; finish' EXIT
screen() { t capture-pane -p -t main; }
# shows TEXT: soon the screen holds it
shows() { eventually 15 eval "screen | grep -qF -- '$1'"; }
lacks() { eventually 15 eval "! screen | grep -qF -- '$1'"; }
key() { t send-keys -t main "$@"; }

start_first busy "$BUILD/tests/targets/busy" 300
busy=$pid
runs_as busy
t new-session -d -s main -x 120 -y 40 "env -u TMUX PS1='ready> ' bash --norc --noprofile"
eventually 5 eval "screen | grep -q 'ready>'"
key "stty -a > $T/before; echo ke''pt" Enter
shows kept
key "$PERFTOP -p $busy -e busy:hot" Enter
check "the overview comes up with the target's name" shows "busy $busy"
# On a machine that is full with other work, the second is the truth.
check "and says what it does in words" eventually 15 eval "screen | grep -qE 'CPU-bound|Waiting for CPU'"
check "with the hot function" shows "hot"
key 2
if bpf_works; then check "2 opens latency" shows "COUNT"; else skip "2 opens latency: no eBPF here"; fi
key 3
check "3 opens the functions" shows "SELF"
key Enter
check "Enter opens what holds one" shows "main"
key Escape
check "Escape goes back" shows "SELF"
key 8
check "8 opens the alerts: the CPU rule has fired" shows "cpu_bound"
key F1
check "F1 opens help, with every collector's state" shows "syscalls"
key Escape
key 1
key Space
check "Space pauses, and says so" eventually 15 eval "screen | grep -qi paused"
key Space
check "and goes on" eventually 15 eval "! screen | grep -qi paused"
for size in 80x24 60x12 200x60 20x5 1x1 120x40; do
	t resize-window -t main -x "${size%x*}" -y "${size#*x}"
	sleep 0.2
done
check "it survives every size" shows "busy $busy"
key C-z
check "Ctrl-Z suspends it and gives the shell back" shows "Stopped"
key "fg" Enter
check "fg brings it back" shows "Overview"
key q
check "q leaves" lacks "Overview"
key "stty -a > $T/after; echo ag''ain" Enter
shows again
check "the terminal's modes are as before" cmp -s "$T/before" "$T/after"
check "what was on the screen before is there again" shows "kept"

for sig in TERM SEGV HUP INT ABRT; do
	key "clear; $PERFTOP -p $busy; stty -a > $T/after; echo surv''ived-$sig" Enter
	shows "Overview"
	kill -"$sig" "$(pgrep -n -f "$PERFTOP -p $busy")"
	check "SIG$sig restores the screen" shows "survived-$sig"
	check "and the modes" cmp -s "$T/before" "$T/after"
done

for term in dumb nosuch ''; do
	key "clear; TERM=$term $PERFTOP -o $T/no.ptop -- touch $T/ran; echo stat''us \$?" Enter
	check "a terminal of type '$term' is refused" shows "status 1"
	check "with its fix" shows "try TERM=xterm, or --text"
done
check "before anything is started" test ! -e "$T/ran" -a ! -e "$T/no.ptop"

key "clear; $PERFTOP" Enter
check "with no target it offers the engine and processes" shows "engine"
key Escape
key q
lacks engine

key "clear; $PERFTOP -p $busy" Enter
shows "busy $busy"
kill -9 "$busy"
check "a killed target ends in a clear state, with the last numbers kept" shows "exited"
check "not in an error" shows "Overview"
key q

"$PERFTOP" --watch=200ms --duration 1s --json -o "$T/run.ptop" >"$T/live.json"
key "clear; $PERFTOP --replay $T/run.ptop --view counters" Enter
check "a recording opens in the view asked for" shows "engine.workers"
key /
key query.c Enter
check "a recording shows through the same views" shows "query.completed"
key q
