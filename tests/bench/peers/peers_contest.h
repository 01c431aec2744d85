// SPDX-License-Identifier: Apache-2.0
// peers_contest.h: time contenders in turn, in one process; a line with their ratio.
#ifndef PEERS_CONTEST_H
#define PEERS_CONTEST_H

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace peers
{
constexpr int ROUNDS = 31;

/* Time that this thread ran: all contenders run on it alone, and others on the machine do not. */
inline double now_ns()
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

template <class F> double time_once(F &f, int loops)
{
	double t0 = now_ns();

	for (int i = 0; i < loops; i++) {
		f();
		__asm__ volatile("" ::: "memory");
	}
	return (now_ns() - t0) / loops;
}

/* ns of one call. A neighbour on the other thread of a core takes from code that fills the core's
 * ports, and hardly from code that waits for its own results: hence both are told. */
struct result {
	double median, best;
};

/* Each round runs every contender, so that a busy moment of the machine hits all alike. */
template <class... F> std::array<result, sizeof...(F)> contest(int loops, F &&...f)
{
	std::array<std::vector<double>, sizeof...(F)> samples;
	std::array<result, sizeof...(F)> results{};

	for (int r = -2; r < ROUNDS; r++) {
		std::array<double, sizeof...(F)> t = {time_once(f, loops)...};

		for (size_t i = 0; r >= 0 && i < t.size(); i++)
			samples[i].push_back(t[i]);
	}
	for (size_t i = 0; i < samples.size(); i++) {
		std::sort(samples[i].begin(), samples[i].end());
		results[i] = {samples[i][ROUNDS / 2], samples[i][0]};
	}
	return results;
}

/*
 * Loops that make a sample take 300 us: this clock is a system call of 1 to 8 us, which a few calls
 * of work that takes nanoseconds would not hide.
 */
template <class F> int loops_for(F &&f)
{
	int loops = 1;
	double ns;

	time_once(f, 1);
	while ((ns = time_once(f, loops) * loops) < 100e3 && loops < 1 << 20)
		loops *= 2;
	return std::max(1, (int)(300e3 / ns * loops));
}

inline void head()
{
	std::printf("%-44s %11s %11s %8s %8s %8s\n", "what", "ours ns", "peer ns", "ratio", "best",
		    "target");
}

/* One of `per` operations of a call; target 0: none. */
inline void line(const char *what, const result &ours, const result &peer, double target,
		 double per = 1)
{
	std::printf("%-44s %11.1f %11.1f %7.2fx %7.2fx", what, ours.median / per, peer.median / per,
		    peer.median / ours.median, peer.best / ours.best);
	if (target > 0)
		std::printf(" %7.2fx%s", target,
			    peer.median / ours.median < target ? "  MISSED" : "");
	std::printf("\n");
}

/* 64-byte aligned, uniform in [-1, 1]; never freed: the program ends soon. */
inline float *floats(size_t n)
{
	float *p = static_cast<float *>(std::aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64));

	if (!p)
		std::abort();
	for (size_t i = 0; i < n; i++)
		p[i] = (float)std::rand() / (float)RAND_MAX * 2 - 1;
	return p;
}
} // namespace peers

#endif
