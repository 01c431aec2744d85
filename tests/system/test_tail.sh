#!/usr/bin/env bash
# Slow calls of redis: each that its own slow log names is found, as long as it says.
. tests/lib/system.sh
need_bpf
start_redis
cli() { redis-cli -s "$redis_sock" "$@"; }
cli eval 'for i = 1, 200000 do redis.call("set", "k" .. i, "v") end' 0 >/dev/null
cli config set slowlog-log-slower-than 4000 >/dev/null
cli slowlog reset >/dev/null
start perftop "$PERFTOP" -p "$redis_pid" -e redis-server:processCommand --force --slower 3ms \
	--json -d 200ms --duration 900s
top=$pid
eventually 10 test -s "$T/perftop.out"
for _ in 1 2 3 4 5; do
	cli keys 'nothing*' >/dev/null
	cli set a b >/dev/null
done
# Microseconds of each slow command, by redis itself.
cli slowlog get 10 | grep -A 1 -E '^1[0-9]{9}$' | grep -vE '^1[0-9]{9}$|^--' >"$T/slowlog"
has_all() {
	[ "$(tail -n 1 "$T/perftop.out" | jq '.tails | length')" -ge "$(wc -l <"$T/slowlog")" ]
}
eventually 5 has_all
kill "$top"
eventually 5 sh -c "! kill -0 $top"
grep '}$' "$T/perftop.out" | tail -n 1 >"$T/last"
check "redis took long over KEYS" test -s "$T/slowlog"
# processCommand is some 20 us more than what redis itself times; a busy machine takes the CPU away
# in those now and then.
found=0 close=0
while read -r us; do
	seen=$(jq --argjson us "$us" '[.tails[].ns | select(. >= $us * 990)] |
		if any(. <= $us * 1050 + 200000) then 2 elif any(. <= $us * 1050 + 30000000) then 1
		else 0 end' "$T/last")
	[ "$seen" -ge 1 ] && found=$((found + 1))
	[ "$seen" -ge 2 ] && close=$((close + 1))
done <"$T/slowlog"
equal "every command of redis's slow log left evidence" "$found" "$(wc -l <"$T/slowlog")"
check "and as long, within 5 %, for most" test $((close * 2)) -ge "$found"
equal "KEYS is slow on the CPU: the parts say so" "$(jq '[.tails[] |
	select(.cpu_ns + .runq_ns < .ns * 0.9)] | length' "$T/last")" 0
equal "parts of each call add up to it within 5 %" "$(jq '[.tails[] |
	select((.cpu_ns + .runq_ns + .blocked_ns - .ns | fabs) > .ns * 0.05)] | length' "$T/last")" 0
equal "the stack of a slow call ends at the start" \
	"$(jq '[.tails[].frames[-1] | startswith("_start")] | all' "$T/last")" true
"$PERFTOP" -p "$redis_pid" -e redis-server:processCommand --slower off --json --duration 300ms \
	>"$T/off.json" 2>/dev/null
equal "--slower off leaves it out, and says so" \
	"$(tail -n 1 "$T/off.json" | jq -r '.sections.tail.reason')" "turned off by --slower off"
