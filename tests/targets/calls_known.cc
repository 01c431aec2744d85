// SPDX-License-Identifier: Apache-2.0
// calls_known.cc: calls functions of libc in every way that calls can be made, and counts them.
//
// It works, prints NAME=CALLS of each function, and "right" if every result was. With a third
// argument it says "ready" and waits for a line on its input before, and for its end behind.
// Arguments: rounds, threads.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <pthread.h>
#include <search.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

long rounds, wrong;
struct {
	long lfind, qsort, snprintf, strtold, ldiv, getpagesize;
} made;
jmp_buf back;
int destroyed;

void expect(bool right)
{
	wrong += !right;
}

struct Counted {
	~Counted() { destroyed++; }
};

// Recursion through libc and an exception or a longjmp() out of the depth of it.
enum class End { returns, throws, jumps };
struct Depth {
	int left;
	End end;
};

int compare(const void *key, const void *);

bool find(Depth d)
{
	size_t n = 1;
	char byte = 0;

	made.lfind++;
	return lfind(&d, &byte, &n, 1, compare) == &byte;
}

int compare(const void *key, const void *)
{
	auto *d = static_cast<const Depth *>(key);
	Depth next{d->left - 1, d->end};

	if (d->left == 0) {
		if (d->end == End::throws)
			throw 42;
		if (d->end == End::jumps)
			longjmp(back, 1);
		return 0;
	}
	if (d->end == End::jumps)
		return find(next) ? 0 : 1;
	Counted counted;
	return find(next) ? 0 : 1;
}

void search(int depth, End end)
{
	expect(find(Depth{depth, end}) && end == End::returns);
}

void recurse(long i)
{
	int depth = (int)(i % 12), before = destroyed;
	bool caught = false;

	search(depth, End::returns);
	expect(destroyed == before + depth);
	try {
		search(depth, End::throws);
	} catch (int v) {
		caught = v == 42;
	}
	expect(caught && destroyed == before + 2 * depth);
	if (!setjmp(back)) {
		search(depth, End::jumps);
		expect(false);
	}
}

// Arguments on the stack and in vector registers; results in st(0) and in two registers.
void pass(long i)
{
	char text[200], as[200];
	long double v;
	ldiv_t q;

	made.snprintf++;
	snprintf(text, sizeof(text), "%ld %g %d %g %d %g %d %g %d %g %d %g %s", i, 0.5, 1, 1.5, 2, 2.5,
		 3, 3.5, 4, 4.5, 5, 5.5, "end");
	sprintf(as, "%ld", i);
	strcat(as, " 0.5 1 1.5 2 2.5 3 3.5 4 4.5 5 5.5 end");
	expect(!strcmp(text, as));
	made.strtold++;
	v = strtold("1.25", nullptr);
	expect(v == 1.25L);
	made.ldiv++;
	q = ldiv(i * 7 + 3, 7);
	expect(q.quot == i && q.rem == 3);
}

int by_value(const void *a, const void *b)
{
	int x = *static_cast<const int *>(a), y = *static_cast<const int *>(b);

	__atomic_add_fetch(&made.getpagesize, 1, __ATOMIC_RELAXED);
	expect(getpagesize() > 0);
	return x < y ? -1 : x > y;
}

void *work(void *)
{
	for (long i = 0; i < rounds; i++) {
		int v[] = {3, 1, 2, 5, 4};

		qsort(v, 5, sizeof(v[0]), by_value);
		expect(v[0] == 1 && v[4] == 5);
	}
	__atomic_add_fetch(&made.qsort, rounds, __ATOMIC_RELAXED);
	return nullptr;
}

// The frames between are ours: unwinding must pass.
int walk(const void *, const void *)
{
	void *frames[64];

	expect(backtrace(frames, 64) >= 6);
	return 0;
}

// A child's calls are its own, and its returns find their way.
int split(const void *, const void *)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		for (int i = 0; i < 100; i++)
			expect(getpagesize() > 0);
		return 0;
	}
	waitpid(pid, &status, 0);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return 0;
}

void visit(int (*f)(const void *, const void *))
{
	size_t n = 1;
	char byte = 0;
	pid_t self = getpid();

	made.lfind++;
	expect(lfind(&byte, &byte, &n, 1, f) == &byte);
	if (getpid() != self)
		_exit(7);
}

} // namespace

int main(int argc, char **argv)
{
	long threads = argc > 2 ? atol(argv[2]) : 4;
	char line[64];

	rounds = argc > 1 ? atol(argv[1]) : 1000;
	if (argc > 3) {
		puts("ready");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 1;
	}
	for (long i = 0; i < rounds; i++) {
		recurse(i);
		pass(i);
	}
	for (long t = 0; t < threads; t += 8) {
		pthread_t id[8];
		long n = threads - t < 8 ? threads - t : 8;

		for (long i = 0; i < n; i++)
			pthread_create(&id[i], nullptr, work, nullptr);
		for (long i = 0; i < n; i++)
			pthread_join(id[i], nullptr);
	}
	visit(walk);
	visit(split);
	printf("lfind=%ld\nqsort=%ld\nsnprintf=%ld\nstrtold=%ld\nldiv=%ld\n"
	       "getpagesize=%ld\n%s\n",
	       made.lfind, made.qsort, made.snprintf, made.strtold, made.ldiv, made.getpagesize,
	       wrong ? "wrong" : "right");
	fflush(stdout);
	while (argc > 3 && fgets(line, sizeof(line), stdin))
		;
	return wrong ? 1 : 0;
}
