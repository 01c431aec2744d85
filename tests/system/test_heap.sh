#!/usr/bin/env bash
# The heap of real processes: figures are those of the program itself, verdicts name the truth.
. "$(dirname "$0")/../lib/system.sh"
need_bpf
shapes=$BUILD/tests/targets/alloc_shapes

# watch NAME SHAPE MIB SECONDS [OPTION...]: last line of JSON in $last, what the target says in $said
watch() {
	local name=$1 shape=$2 mib=$3 seconds=$4
	shift 4
	mkfifo "$T/$name.in"
	exec 9<>"$T/$name.in"
	# A command in the background reads /dev/null unless it opens something itself.
	start "$name" bash -c 'exec 9>&- "$0" "$1" "$2" <"$3"' "$shapes" "$shape" "$mib" "$T/$name.in"
	eventually 10 test -s "$T/$name.out"
	said=$(cat "$T/$name.out")
	"$PERFTOP" -p "$pid" --json -d 250ms --duration "${seconds}s" "$@" >"$T/$name.json" 2>"$T/$name.err"
	equal "$name: perftop ends well" "$?" 0
	exec 9>&-
	last=$(tail -1 "$T/$name.json")
}
heap() { jq -r ".heap.$1" <<<"$last"; }
truth() { sed -n "s/.* $1=\([0-9]*\).*/\1/p" <<<"$said"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { print b ? a / b : a ? 9 : 1 }'; }
ticks() { grep -c '^{' "$T/$1.json"; }
has_ticks() { [ "$(ticks "$1")" -ge "$2" ]; }
# later NAME TICKS: so many more of $watcher have come; it ends with the last of them in $last
later() {
	eventually 30 has_ticks "$1" $(($(ticks "$1") + $2))
	kill "$watcher"
	wait "$watcher"
	last=$(grep '^{.*}$' "$T/$1.json" | tail -1)
}

watch freed freed 96 1
equal "free but kept memory is a cache" "$(heap verdict)" cached
between "free bytes are mallinfo2's, ratio" "$(ratio "$(heap retained_bytes)" "$(truth free)")" 0.99 1.01
check "the allocator has its version" grep -q '^glibc 2\.[0-9]' <<<"$(heap allocator)"
check "the alert says how to give it back" grep -q '"rule":"heap_free".*malloc_trim' "$T/freed.json"

watch holes fragmented 40 2
equal "holes between blocks are fragmentation" "$(heap verdict)" fragmented
between "live bytes are mallinfo2's, ratio" \
	"$(ratio "$(heap live_bytes)" "$(($(truth live) + $(truth mmapped)))")" 0.99 1.01
check "words have the cause" grep -q 'pieces below 4 KiB' <<<"$(heap words)"

# Other allocators, read from outside: live is what the program counts, and free what it freed.
foreign() { # LIBRARY NAME [PROGRAM]: a library of "" is linked into the program
	local shapes=${3:-$shapes} name=$2${3:+-static} LD_PRELOAD=$1
	[ -z "$1" ] || export LD_PRELOAD
	watch "$name-freed" freed 64 1
	equal "$name: free but kept memory is a cache" "$(heap verdict)" cached
	check "$name: it is recognised, with its version" grep -q "^$2 [0-9]" <<<"$(heap allocator)"
	equal "$name: and read from outside" "$(jq -r .sections.heap.status <<<"$last")" live
	between "$name: what it keeps is what was freed, ratio" "$(ratio "$(heap retained_bytes)" $((64 << 20)))" 0.9 1.25
	watch "$name-holes" fragmented 64 1
	equal "$name: holes between blocks are fragmentation" "$(heap verdict)" fragmented
	between "$name: live is what the program holds, ratio" "$(ratio "$(heap live_bytes)" "$(truth held)")" 0.99 1.02
	between "$name: and free what it freed, ratio" "$(ratio "$(heap retained_bytes)" $((32 << 20)))" 0.9 1.25
}
libraries=/usr/lib/$(gcc -print-multiarch)
# known LIBRARY TEXT: it is here, in the version whose layout is known
known() { grep -qs "$2" "$libraries/$1" || { skip "no $1 with $2" && false; }; }
known libmimalloc.so.2.0 mimalloc && foreign libmimalloc.so.2.0 mimalloc
known libtcmalloc_minimal.so.4 'gperftools 2\.10' && foreign libtcmalloc_minimal.so.4 tcmalloc
known libjemalloc.so.2 '5\.3\.0-' && foreign libjemalloc.so.2 jemalloc
LD_PRELOAD=libjemalloc.so.2 watch grows growing 8 15
check "what only grows is growth, by its live bytes" grep -q '^growing: live bytes rise' <<<"$(heap words)"
between "as fast as the program allocates, ratio" "$(ratio "$(heap growth_bytes_s)" $((8 << 20)))" 0.6 1.2
# Linked in and stripped, nothing but its messages and the shape of its variables tells.
archive=$libraries/libjemalloc.a
if [ -r "$archive" ] && gcc -s -O1 tests/targets/alloc_shapes.c -o "$T/linked" -Wl,--whole-archive "$archive" \
	-Wl,--no-whole-archive -lstdc++ -lm 2>"$T/linked.err"; then
	foreign "" jemalloc "$T/linked"
else
	skip "no libjemalloc.a: $(head -c 100 "$T/linked.err" 2>&1)"
fi
# A layout that is not known gives no figures, and the reason.
sed 's/5\.3\.0-0-g/5.9.0-0-g/' "$libraries/libjemalloc.so.2" >"$T/libjemalloc.so.2"
LD_PRELOAD=$T/libjemalloc.so.2 watch unknown freed 64 1
equal "a version that is not known is not believed" "$(heap obtained_bytes)" 0
check "and named, with what works" grep -q 'jemalloc 5\.9\.0 .*known for 5\.3; --heap=sample' \
	<<<"$(jq -r .sections.heap.reason <<<"$last")"

# A launched program that leaks 8 MiB a second from one place.
nice -n -15 "$PERFTOP" --heap=sample --json -d 250ms --duration 16s -- "$shapes" growing 8 >"$T/leak.json" 2>"$T/leak.err"
last=$(tail -1 "$T/leak.json")
equal "a launched program is sampled" "$(heap mode)/$(jq -r .sections.heap.status <<<"$last")" sample/live
equal "what only grows is a leak" "$(heap verdict)" leaking
between "its growth is what it allocates, ratio" "$(grep '^{' "$T/leak.json" | jq -s '.[length / 2 | floor] as $a | .[-1] as $b |
	$b.heap.growth_bytes_s * ($b.time_ns - $a.time_ns) / 1e9 / ($b.heap.live_bytes - $a.heap.live_bytes)')" 0.8 1.25
between "live bytes are counted exactly, as glibc has them, ratio" \
	"$(jq '.heap.live_bytes / (.heap.obtained_bytes - .heap.retained_bytes)' <<<"$last")" 0.97 1.01
between "call sites add up to what lives, ratio" \
	"$(jq '([.heap.sites[].bytes] | add) / .heap.live_bytes' <<<"$last")" 0.75 1.25
check "the site is named" grep -q -E 'take|grow|main' <<<"$(jq -c '.heap.sites[0].frames[:2]' <<<"$last")"
check "the alert is critical" grep -q '"rule":"heap_growth","severity":"critical"' "$T/leak.json"

# The kernel's side: the same program, its breaks counted.
# What the heap got in each tick, by its own account. One that was late has another length here.
nice -n -15 "$PERFTOP" --json -d 500ms --duration 5s -- "$shapes" growing 16 >"$T/brk.json" 2>"$T/brk.err"
between "bytes taken by brk are those that the heap got, ratio" "$(grep '^{' "$T/brk.json" | jq -s '.[1:] |
	[range(1; length) as $i | .[$i].heap.mapped_rate * .[$i].interval_ns / 1e9 /
		(.[$i].heap.obtained_bytes - .[$i - 1].heap.obtained_bytes)] | sort | .[length / 2 | floor]')" 0.8 1.25
between "and no more at a time than are allocated, MiB a second" \
	"$(grep '^{' "$T/brk.json" | jq -s '[.[].heap.mapped_rate] | max / 1048576')" 1 20

"$PERFTOP" --heap=off --json -d 250ms --duration 500ms -- sleep 3 >"$T/off.json" 2>"$T/off.err"
equal "off is off, and said" "$(tail -1 "$T/off.json" | jq -r '.sections.heap.status + "/" + (.heap.mode // "none")')" absent/none

"$PERFTOP" --heap=trace --json -d 250ms --duration 3s -- "$shapes" growing 4 >"$T/trace.json" 2>"$T/trace.err"
last=$(tail -1 "$T/trace.json")
# Blocks of 4000 bytes and their headers, and none is freed.
between "trace counts each call, ratio" "$(grep '^{' "$T/trace.json" | jq -s '
	(.[-1].latency[] | select(.name == "malloc") | .count) as $b |
	(.[1].latency[] | select(.name == "malloc") | .count) as $a |
	($b - $a) * 4016 / (.[-1].heap.live_bytes - .[1].heap.live_bytes)')" 0.95 1.05

# Epochs: what the program says of them through libperftop.
mkfifo "$T/epoch.in"
exec 8<>"$T/epoch.in"
start epoch bash -c 'exec 8>&- "$0" <"$1"' "$BUILD/tests/targets/alloc_epoch" "$T/epoch.in"
eventually 10 grep -q ready "$T/epoch.out"
reclaim() { "$PERFTOP" -p "$pid" --json --duration 100ms 2>/dev/null | tail -1 | jq -r ".reclaim | $1"; }
echo 1000 >&8
eventually 10 grep -q 'pending=1000 ' "$T/epoch.out"
equal "nodes that wait for their epoch are seen" "$(reclaim '"\(.pending) \(.dispatched) \(.stalls)"')" "1000 0 0"
echo 0 >&8
eventually 10 grep -q 'pending=0 ' "$T/epoch.out"
equal "and that they were freed, after a wait" "$(reclaim '"\(.pending) \(.dispatched) \(.stalls)"')" "0 1000 1"
equal "the peak is what Concurrency Kit says" "$(reclaim .peak)" "$(sed -n 's/.* peak=\([0-9]*\).*/\1/p' "$T/epoch.out" | tail -1)"
exec 8>&-

mkdir -p "$T/bare"
cp "$PERFTOP" "$T/bare/perftop"
"$T/bare/perftop" --heap=sample --json --duration 1s -- true >"$T/bare.json" 2>"$T/bare.err"
equal "without its library, sample says what is missing" "$?/$(grep -c 'libperftop_heap.so' "$T/bare.err")" 1/1

# Allocators that tell their own process alone what they hold: the sampler asks. Half of the blocks
# live, the other half lies between them.
told() {
	local library=$1 name=$2
	rm -f "$T/in"
	mkfifo "$T/in"
	exec 9<>"$T/in"
	LD_PRELOAD=$library "$PERFTOP" --heap=sample --json -d 250ms --duration 60s -- \
		"$shapes" fragmented 96 <"$T/in" >"$T/$name.json" 2>"$T/$name.err" 9>&- &
	watcher=$!
	started+=("$watcher")
	eventually 30 grep -q 'arena=' "$T/$name.json"
	later "$name" 3
	exec 9>&-
	check "$name is recognised" grep -q "^$name" <<<"$(heap allocator)"
	between "$name: live bytes are those of the program, ratio" \
		"$(ratio "$(heap live_bytes)" $((48 << 20)))" 0.98 1.2
	between "$name: what it holds beside them is what was freed, ratio" \
		"$(ratio "$(heap retained_bytes)" $((48 << 20)))" 0.9 1.5
	check "$name: words say so" grep -q "^fragmentation.* is free inside $name" <<<"$(heap words)"
}
told libtcmalloc_minimal.so.4 tcmalloc
told libmimalloc.so mimalloc
told libjemalloc.so.2 jemalloc

# jemalloc tells its own process alone what it holds: the sampler, loaded into it, asks.
start_redis
grow() { redis-benchmark -s "$redis_sock" -t set -r 900000 -n "$1" -d 100 -P 16 -q >/dev/null; }
grow 300000
"$PERFTOP" -p "$redis_pid" --json -d 250ms --duration 1s >"$T/redis.json" 2>"$T/redis.err"
last=$(tail -1 "$T/redis.json")
redis_says() { redis-cli -s "$redis_sock" info memory | tr -d '\r' | sed -n "s/^allocator_$1://p"; }
between "from outside, redis' live bytes are what it says itself, ratio" "$(ratio "$(heap live_bytes)" "$(redis_says allocated)")" 0.98 1.01
between "and what jemalloc obtained is what is resident, ratio" "$(ratio "$(heap obtained_bytes)" "$(redis_says resident)")" 0.97 1.03
"$PERFTOP" -p "$redis_pid" --heap=sample --json -d 500ms --duration 120s >"$T/jemalloc.json" 2>"$T/jemalloc.err" &
watcher=$!
started+=("$watcher")
eventually 20 grep -q '"heap":{"status":"live"' "$T/jemalloc.json"
for _ in 1 2 3; do
	grow 60000
	sleep 0.5
done
allocated=$(redis-cli -s "$redis_sock" info memory | tr -d '\r' | sed -n 's/^allocator_allocated://p')
later jemalloc 2
between "jemalloc's live bytes are what redis says of it, ratio" "$(ratio "$(heap live_bytes)" "$allocated")" 0.97 1.03
check "what it keeps free is known" test "$(heap retained_bytes)" -gt 0
check "and it is called what it is" grep -q '^jemalloc' <<<"$(heap allocator)"

# Asked for again: it is in it already, switched off, and begins anew.
calls() { jq '[.heap.sizes[].allocs] | add // 0' <<<"$last"; }
first=$(calls)
"$PERFTOP" -p "$redis_pid" --heap=sample --json -d 500ms --duration 4s >"$T/again.json" 2>"$T/again.err" &
watcher=$!
eventually 5 grep -q '"heap":{"status":"live"' "$T/again.json"
grow 30000
wait "$watcher"
last=$(tail -1 "$T/again.json")
between "a second time its calls are counted again, of 30,000 keys" "$(calls)" 30000 $((first / 2))
equal "and sampled" "$(jq '.heap.samples > 0 and .heap.dropped == 0' <<<"$last")" true

# Loaded into a program that allocates nothing afterwards, and then does.
cat >"$T/later.c" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void on(int s) { (void)s; }
int main(void)
{
	void *volatile p;
	signal(SIGUSR1, on);
	pause();
	for (;;) {
		p = malloc(1 << 20);
		usleep(10000);
		free(p);
	}
}
C
if gcc -O1 "$T/later.c" -o "$T/later" 2>"$T/later.err"; then
	start later "$T/later"
	eventually 5 grep -qx later "/proc/$pid/comm"
	"$PERFTOP" -p "$pid" --heap=sample --json -d 300ms --duration 60s >"$T/later.json" 2>&1 &
	watcher=$!
	started+=("$watcher")
	check "a sampler that has seen no allocation is said to be loaded" eventually 20 \
		grep -q 'the sampler is loaded, and the program has allocated nothing' "$T/later.json"
	kill -USR1 "$pid"
	check "and it samples from the first one on" eventually 20 \
		grep -q '"heap":{"status":"live"' "$T/later.json"
	later later 0
else
	skip "no C compiler: $(head -c 100 "$T/later.err")"
fi
