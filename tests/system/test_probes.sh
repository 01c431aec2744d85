#!/usr/bin/env bash
# Probes on programs of other languages: right counts, and the program lives on.
. "$(dirname "$0")/../lib/system.sh"
need_bpf

# measure NAME SPEC...: start $T/NAME, attach, let it run by a line on its stdin, and wait for its
# end. The last line of JSON is $T/NAME.json, its status in $rc.
measure() {
	local name=$1 specs=() s top
	shift
	for s in "$@"; do specs+=(-e "$s"); done
	mkfifo "$T/$name.in"
	"$T/$name" <"$T/$name.in" >"$T/$name.out" 2>"$T/$name.err" &
	pid=$!
	started+=("$pid")
	local target=$pid
	exec 8>"$T/$name.in"
	"$PERFTOP" -p "$target" "${specs[@]}" --json -d 100ms --duration 900s --max-overhead 0 \
		>"$T/$name.ticks" 2>"$T/$name.top.err" 8>&- &
	top=$!
	started+=("$top")
	eventually 10 test -s "$T/$name.ticks"
	echo go >&8
	eventually 20 grep -q done "$T/$name.out"
	pass "$T/$name.ticks" 2
	exec 8>&-
	wait "$target"
	rc=$?
	wait "$top"
	tail -1 "$T/$name.ticks" >"$T/$name.json"
}
# ns a call, as the program prints it at its end
own_mean() { awk '$1 == "done" { print $2 }' "$T/$1.out"; }
# row NAME FUNCTION FIELD
row() { jq -r --arg n "$2" ".latency[] | select(.name == \$n) | .$3" "$T/$1.json"; }

# ---- C++: an exception through a return probe would find no way on and end the program --------
cat >"$T/cxx.cc" <<'EOF'
#include <cstdio>
#include <stdexcept>
namespace ns {
struct Class {
	int method(int i);
	int method2(int i);
	int leaf(int i);
};
}
__attribute__((noinline)) int ns::Class::leaf(int i)
{
	asm volatile("" : "+r"(i));
	return i + 1;
}
__attribute__((noinline)) int ns::Class::method(int i)
{
	if (i % 3 == 0)
		throw std::runtime_error("third");
	asm volatile("" : "+r"(i));
	return leaf(i) + 1;
}
__attribute__((noinline)) int ns::Class::method2(int i)
{
	int r = method(i);
	asm volatile("" : "+r"(r));
	return r * 2;
}
int main()
{
	ns::Class c;
	int caught = 0, sum = 0;
	getchar();
	for (int i = 0; i < 3000; i++) {
		try {
			sum += c.method2(i);
		} catch (const std::exception &) {
			caught++;
		}
	}
	printf("done caught=%d sum=%d\n", caught, sum);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
EOF
if c++ -O2 -g -fno-omit-frame-pointer -o "$T/cxx" "$T/cxx.cc" 2>/dev/null; then
	measure cxx 'cxx:ns::Class::method' 'cxx:ns::Class::method2*'
	equal "a C++ program survives exceptions through what is probed" "$rc" 0
	check "and catches them all" grep -q 'caught=1000' "$T/cxx.out"
	equal "a method named exactly is entered as often as it is called" "$(row cxx ns::Class::method calls)" 3000
	equal "and returns as often as it did not throw" "$(row cxx ns::Class::method count)" 2000
	check "it has a latency" test "$(row cxx ns::Class::method p50)" -gt 0
	equal "of a pattern's, entries are counted" "$(row cxx ns::Class::method2 count)" 3000
	check "and the row says why" grep -q exceptions <<<"$(row cxx ns::Class::method2 note)"
	# What is hardly run lies elsewhere, and a stripped file has no name for it.
	cat >"$T/cold.cc" <<'EOF'
#include <cstdio>
#include <stdexcept>
#include <string>
__attribute__((cold, noinline)) static void rare(int i) { asm volatile("" ::"r"(i)); }
extern "C" __attribute__((noinline)) int command(int i)
{
	std::string s(40, (char)i);
	if (__builtin_expect(i % 1000 == 999, 0)) {
		rare(i);
		s += "rare";
		rare((int)s.size());
	}
	asm volatile("" ::"r"(s.data()) : "memory");
	return (int)s.size();
}
int main()
{
	int sum = 0;
	getchar();
	for (int i = 0; i < 3000; i++)
		sum += command(i);
	printf("done sum=%d\n", sum);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
EOF
	if c++ -O2 -rdynamic -o "$T/cold" "$T/cold.cc" 2>/dev/null &&
		nm "$T/cold" | grep -q command.cold && strip "$T/cold"; then
		measure cold 'cold:command'
		equal "a stripped function's cold part is found: returns are timed" \
			"$(row cold command count) $(row cold command calls)" "3000 3000"
		check "with a latency" test "$(row cold command p50)" -gt 0
		equal "and it runs on" "$rc" 0
	else
		skip "no cold part here"
	fi
	cp "$T/cxx" "$T/whole"
	measure whole 'libgcc_s.so.1:*' 'libstdc++.so.6:*' 'libc.so.6:*'
	equal "so it does with all functions of its libraries probed, the unwinder's too" "$rc" 0
	check "and its exceptions are caught" grep -q 'caught=1000' "$T/whole.out"
	equal "what throws is counted" "$(row whole __cxa_throw count)" 1000
else
	skip "C++: no compiler here"
fi

# ---- Rust: a panic unwinds as an exception does -----------------------------------------------
cat >"$T/rust.rs" <<'EOF'
use std::io::Read;
mod shapes {
	pub struct Square(pub u64);
	impl Square {
		#[inline(never)]
		pub fn area(&self) -> u64 {
			if self.0 == 13 { panic!("unlucky") }
			self.0 * self.0
		}
	}
}
fn main() {
	let mut byte = [0u8; 3];
	std::io::stdin().read_exact(&mut byte).unwrap();
	let mut caught = 0;
	for i in 0..2000u64 {
		let side = std::hint::black_box(i % 20);
		if std::panic::catch_unwind(|| shapes::Square(side).area()).is_err() { caught += 1; }
	}
	println!("done caught={}", caught);
	let mut rest = Vec::new();
	let _ = std::io::stdin().read_to_end(&mut rest);
}
EOF
if (cd "$T" && rustc -O -o rust rust.rs) >/dev/null 2>&1; then
	measure rust 'rust:rust::shapes::Square::area'
	equal "a Rust program survives panics through what is probed" "$rc" 0
	check "and catches them all" grep -q 'caught=100' "$T/rust.out"
	equal "its function by its name as written, calls" "$(row rust rust::shapes::Square::area calls)" 2000
	equal "and returns" "$(row rust rust::shapes::Square::area count)" 1900
else
	skip "Rust: no compiler here"
fi

# ---- Go: stacks are copied when they grow, with whatever lies on them --------------------------
cat >"$T/prog.go" <<'EOF'
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

//go:noinline
func grow(n int) int {
	var a [200]int
	a[n%200] = n
	if n == 0 {
		return a[3]
	}
	return grow(n-1) + a[n%200]*0
}

//go:noinline
func Work(n int) int {
	time.Sleep(2 * time.Millisecond)
	return grow(n) + 1
}

func main() {
	in := bufio.NewReader(os.Stdin)
	in.ReadString('\n')
	c := make(chan int)
	took := make(chan time.Duration, 1000)
	for g := 0; g < 20; g++ {
		go func() {
			s := 0
			for i := 0; i < 50; i++ {
				begin := time.Now()
				s += Work(50)
				took <- time.Since(begin)
				time.Sleep(time.Millisecond)
			}
			c <- s
		}()
	}
	for g := 0; g < 20; g++ {
		<-c
	}
	var sum time.Duration
	for i := 0; i < 1000; i++ {
		sum += <-took
	}
	fmt.Println("done", int64(sum)/1000)
	in.ReadString('\n')
}
EOF
# What needs no Go compiler: 400 calls that change their threads, each called again by its prologue.
if [ "$(uname -m)" = x86_64 ]; then
	cp "$BUILD/tests/targets/goroutines" "$T/goroutines"
	measure goroutines goroutines:main.Work goroutines:main.leaf
	equal "goroutines survive their probes" "$rc" 0
	equal "a call that changes its thread is timed, every one" \
		"$(row goroutines main.Work count)/$(row goroutines main.Work calls)" 400/400
	between "and takes what its goroutine waited for, of the mean that it measured itself" \
		"$(jq -n "$(row goroutines main.Work mean) / $(own_mean goroutines)")" 0.9 1.02
	equal "one without a prologue too" "$(row goroutines main.leaf count)" 1200
	check "the row says whose time it is" grep -q goroutine <<<"$(row goroutines main.Work note)"
fi
if (cd "$T" && HOME=$T GOCACHE=$T/cache GO111MODULE=off go build -o golang prog.go) >/dev/null 2>&1; then
	measure golang 'golang:main.Work' 'golang:main.grow*'
	equal "a Go program survives its stacks' growing" "$rc" 0
	equal "its function is counted exactly" "$(row golang main.Work count)" 1000
	between "its latency is the goroutine's, which sleeps meanwhile, of what it measured itself" \
		"$(jq -n "$(row golang main.Work mean) / $(own_mean golang)")" 0.9 1.02
	equal "every call of it was timed" "$(row golang main.Work calls)" 1000
	check "which the row says" grep -q 'goroutine' <<<"$(row golang main.Work note)"
	equal "what a pattern found is counted exactly, though it grows its stack" \
		"$(row golang main.grow count)" 51000
	check "and says what gives its latency" grep -q 'Go: entries only; latency when named' \
		<<<"$(row golang main.grow note)"
	chmod -R u+w "$T/cache" 2>/dev/null
else
	skip "Go: no compiler here"
fi

# ---- what the compiler put into others ----------------------------------------------------------
cat >"$T/inl.c" <<'EOF'
#include <stdio.h>
static inline __attribute__((always_inline)) int tiny(int i) { return i * 3 + 1; }
__attribute__((noinline)) int outer_a(int i) { __asm__ volatile("" : "+r"(i)); return tiny(i); }
__attribute__((noinline)) int outer_b(int i) { __asm__ volatile("" : "+r"(i)); return tiny(tiny(i)); }
int main(void) { int i = getchar(); return outer_a(i) + outer_b(i) == 7 && getchar(); }
EOF
# waiting NAME: $T/NAME, which reads from descriptor 8; its pid in $pid
waiting() {
	"$T/$1" <"$T/inl.in" &
	started+=("$!")
	pid=$!
	exec 8>"$T/inl.in"
	runs_as "$1"
}
if cc -O2 -g -o "$T/inl" "$T/inl.c" 2>/dev/null; then
	mkfifo "$T/inl.in"
	waiting inl
	"$PERFTOP" -p "$pid" --list-probes -e inl:tiny >"$T/inl.out" 2>&1
	equal "a function that exists only inlined is refused" "$?" 1
	check "and said to be inlined" grep -q "'tiny' is inlined at 3 places" "$T/inl.out"
	"$PERFTOP" -p "$pid" --list-probes -e inl:tinny >"$T/inl.out" 2>&1
	check "one that is nowhere is not" grep -q "no function 'tinny'" "$T/inl.out"
	strip -o "$T/bare" "$T/inl"
	exec 8>&-
	ln -s inl "$T/served"
	waiting served
	"$PERFTOP" -p "$pid" --list-probes -e served:outer_a >"$T/inl.out" 2>&1
	check "a program that a link started has the link's name" grep -q 'served .*outer_a' "$T/inl.out"
	"$PERFTOP" -p "$pid" --list-probes -e inl:outer_a >"$T/inl.out" 2>&1
	equal "and is found by its file's name too" "$?" 0
	exec 8>&-
	waiting bare
	"$PERFTOP" -p "$pid" --list-probes -e 'bare:fn@*' --force >"$T/bare.out" 2>&1
	check "of a stripped file it is said what would bring its symbols" grep -q dbgsym "$T/bare.out"
	"$PERFTOP" -p "$pid" --list-probes -e bare:middle_of_it >"$T/bare.out" 2>&1
	check "so it is of a function that is not found in it" grep -q 'bare is stripped.*dbgsym' "$T/bare.out"
	"$PERFTOP" -p "$pid" --list-probes -e 'libnothere.so:*' >"$T/bare.out" 2>&1
	check "a library that is awaited is listed as such" grep -q 'Not loaded yet.*libnothere.so' "$T/bare.out"
	exec 8>&-
else
	skip "inlined functions: no compiler here"
fi

# A library that is loaded later is called at once: it is not left until the next tick.
mkfifo "$T/dl"
exec 8<>"$T/dl"
start dl bash -c 'exec "$1" <"$0" 8>&-' "$T/dl" "$BUILD/tests/targets/dl_loop"
eventually 5 grep -q ready "$T/dl.out"
"$PERFTOP" -p "$pid" -e libz.so.1:zlibCompileFlags --json -d 2s --duration 9s --syscalls=off --no-offcpu \
	>"$T/dl.json" 2>"$T/dl.err" &
top=$!
started+=("$top")
eventually 20 grep -q 'not loaded yet' "$T/dl.json"
echo "load libz.so.1" >&8
eventually 5 grep -q loaded "$T/dl.out"
if grep -q 'loaded ok=1' "$T/dl.out"; then
	sleep 0.5
	echo "call zlibCompileFlags 300" >&8
	wait "$top"
	equal "calls half a second after it was loaded count, with ticks of two" \
		"$(tail -1 "$T/dl.json" | jq '.latency[] | select(.name == "zlibCompileFlags") | .count')" 300
else
	kill "$top"
	skip "no libz.so.1 here"
fi
exec 8>&-
