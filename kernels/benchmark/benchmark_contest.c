/* SPDX-License-Identifier: Apache-2.0 */
/* benchmark_contest.c: contenders measured in turn, round after round. */
#include "kernels/benchmark/benchmark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kernels/benchmark/benchmark_state.h"
#include "kernels/kernels.h"

enum {
	WARM_UPS = 3,
	MIN_ROUNDS = 10, /* of what is not slow; --quick 2 */
	MAX_ROUNDS = 400,
	SLOW_ROUNDS = 3, /* at least, when they take long */
	MAX_LOOPS = 1 << 20,
	REFERENCE_ROUNDS = 2000, /* some 5 us */
	COPY_BYTES = 96 << 10,
};
#define READING_NS	20000ull /* between two readings of the clock, at least */
#define CONTEST_S	0.5
#define QUICK_CONTEST_S 0.004
#define PEAK_NS		50000ull

struct contender {
	const struct benchmark_case *c;
	double samples_ns[MAX_ROUNDS]; /* of one operation */
	uint32_t n;
	uint64_t loops; /* calls in a reading */
	uint64_t spent_ns;
	size_t peak_rss, growth;
	bool done;
};

struct contest {
	struct benchmark *b;
	const char *name;
	struct contender *in;
	uint32_t n;
	uint64_t budget_ns;
	uint32_t min_rounds;
	double peak[ISA_COUNT]; /* the clock moves with the load, so beside every round */
	/* Likewise, and as it was, not at its best: arithmetic, and a copy within L2, which a busy
	 * sibling of the core slows down in its own way. */
	double reference_ns[MAX_ROUNDS], copy_ns[MAX_ROUNDS];
	uint32_t nreference;
	char *copy; /* 2 * COPY_BYTES */
};

/* A line of /proc/self/status, "VmHWM:   1234 kB", in bytes; 0 when it cannot be read. */
static size_t status_bytes(const char *name)
{
	char text[4096], *at;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* From here on VmHWM counts anew; where that is not allowed it stays the peak since the start. */
static void reset_peak_rss(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "5", 1) != 1) {
		/* peak_rss_bytes is then an upper bound */
	}
	close(fd);
}

/* Of this thread: CPU time, and how often it gave up its CPU, and had it taken away. */
struct usage {
	uint64_t cpu_ns;
	long given, taken;
};

static struct usage usage_now(void)
{
	struct timespec ts = {0};
	struct rusage r = {0};

	getrusage(RUSAGE_THREAD, &r);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (struct usage){(uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec, r.ru_nvcsw,
			      r.ru_nivcsw};
}

/* One reading: ns of all its calls, or -errno. */
static int64_t take_reading(const struct contender *in)
{
	const struct usage before = usage_now();
	const uint64_t start = perftop_now_ns();
	struct usage after;
	uint64_t wall_ns;

	for (uint64_t i = 0; i < in->loops; i++) {
		int err = in->c->run(in->c->arg);

		if (err)
			return err > 0 ? -err : err;
		__asm__ volatile("" ::: "memory");
	}
	wall_ns = perftop_now_ns() - start;
	after = usage_now();
	if (in->c->threads || after.taken == before.taken || after.given != before.given ||
	    after.cpu_ns - before.cpu_ns > wall_ns)
		return (int64_t)wall_ns;
	return (int64_t)(after.cpu_ns - before.cpu_ns);
}

/* Warm-ups; the first tells the memory, the last how many calls make a reading. */
static int warm_up(struct contender *in, bool quick)
{
	size_t before;
	int64_t ns = 0;

	in->loops = 1;
	reset_peak_rss();
	before = status_bytes("VmRSS:");
	for (int i = 0; i < WARM_UPS; i++) {
		ns = take_reading(in);
		if (ns < 0)
			return (int)ns;
		if (i == 0) {
			in->peak_rss = status_bytes("VmHWM:");
			in->growth = in->peak_rss > before ? in->peak_rss - before : 0;
		}
		if (in->c->slow || quick)
			break;
	}
	/* The first reading of a short call is mostly the clock's: double until it is long. */
	while (!in->c->once && in->loops < MAX_LOOPS && (uint64_t)ns < READING_NS) {
		uint64_t want = ns > 0 ? READING_NS * in->loops / (uint64_t)ns + 1 : MAX_LOOPS;

		in->loops = want > 8 * in->loops ? 8 * in->loops : want;
		ns = take_reading(in);
		if (ns < 0)
			return (int)ns;
	}
	return 0;
}

static bool enough(const struct contest *c, const struct contender *in)
{
	if (in->n == MAX_ROUNDS)
		return true;
	if (in->c->slow)
		return in->n >= SLOW_ROUNDS && in->spent_ns >= c->budget_ns / 4;
	return in->n >= c->min_rounds && in->spent_ns >= c->budget_ns / c->n;
}

/* The FMA peak of every instruction set that has FLOPs to show. */
static void measure_peaks(struct contest *c)
{
	for (uint32_t i = 0; i < kernels_count; i++) {
		const struct kernel *k = &kernels[i];
		bool wanted = false;
		double gflops;

		for (uint32_t j = 0; j < c->n; j++)
			wanted |= c->in[j].c->isa == k->isa && c->in[j].c->flops > 0;
		if (k->kind != KERNEL_peak || !wanted || !kernels_supported(k))
			continue;
		gflops = peak_measure_gflops(k->run.peak, PEAK_NS);
		if (gflops > c->peak[k->isa])
			c->peak[k->isa] = gflops;
	}
}

static void measure_reference(struct contest *c)
{
	uint64_t start;

	if (c->nreference == MAX_ROUNDS)
		return;
	start = perftop_now_ns();
	peak_scalar(REFERENCE_ROUNDS);
	c->reference_ns[c->nreference] = (double)(perftop_now_ns() - start);
	memcpy(c->copy, c->copy + COPY_BYTES, COPY_BYTES); /* the contenders' data was there */
	start = perftop_now_ns();
	memcpy(c->copy, c->copy + COPY_BYTES, COPY_BYTES);
	__asm__ volatile("" : : "r"(c->copy) : "memory");
	c->copy_ns[c->nreference++] = (double)(perftop_now_ns() - start);
}

/* Who is done sits out; those who are not slow go on together. */
static int run_rounds(struct contest *c)
{
	bool going = true, fast = true;

	while (going) {
		measure_peaks(c);
		measure_reference(c);
		going = false;
		for (uint32_t i = 0; i < c->n; i++) {
			struct contender *in = &c->in[i];
			int64_t ns;

			if (in->done && (in->c->slow || !fast || in->n == MAX_ROUNDS))
				continue;
			ns = take_reading(in);
			if (ns < 0) {
				benchmark_fail(c->b, c->name, in->c->name, (int)ns);
				return (int)ns;
			}
			in->samples_ns[in->n++] =
				(double)ns / (double)in->loops / (in->c->ops > 0 ? in->c->ops : 1);
			in->spent_ns += (uint64_t)ns;
		}
		fast = false;
		for (uint32_t i = 0; i < c->n; i++) {
			c->in[i].done = enough(c, &c->in[i]);
			going |= !c->in[i].done;
			fast |= !c->in[i].done && !c->in[i].c->slow;
		}
	}
	return 0;
}

/*
 * The median of the contender that bears this name as a baseline, for a case of that isa; 0: none.
 * One of another instruction set will do when it is the lesser: the textbook loop is every one's.
 */
static double baseline_ns(const struct contest *c, const struct benchmark_result *results,
			  const char *name, enum isa isa)
{
	double other = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		if (!c->in[i].c->baseline || strcmp(c->in[i].c->baseline, name) != 0)
			continue;
		if (c->in[i].c->isa == isa)
			return results[i].ns.median;
		if (c->in[i].c->isa < isa)
			other = results[i].ns.median;
	}
	return other;
}

static void add_ratios(const struct contest *c, struct benchmark_result *results)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct benchmark_result *r = &results[i];

		for (uint32_t j = 0; j < c->n; j++) {
			const char *name = c->in[j].c->baseline;
			bool known = !name ||
				     (c->in[i].c->baseline && !strcmp(c->in[i].c->baseline, name));
			double ns;

			for (uint32_t v = 0; v < r->nvs && !known; v++)
				known = !strcmp(r->vs[v].name, name);
			if (known || r->nvs == BENCHMARK_MAX_VS)
				continue;
			ns = baseline_ns(c, results, name, r->isa);
			if (!(ns > 0))
				continue;
			name = benchmark_report_string(c->b->report, name);
			if (!name) /* the report knows that memory is out */
				return;
			r->vs[r->nvs].name = name;
			r->vs[r->nvs++].ratio = r->ns.median > 0 ? ns / r->ns.median : 0;
		}
	}
}

static int add_params(struct benchmark_report *report, struct benchmark_result *r,
		      const struct benchmark_param *params, uint32_t n)
{
	if (n > BENCHMARK_MAX_PARAMS - r->nparams)
		return -E2BIG;
	for (uint32_t i = 0; i < n; i++) {
		struct benchmark_param *p = &r->params[r->nparams++];

		*p = params[i];
		p->name = benchmark_report_string(report, p->name);
		p->text = benchmark_report_string(report, p->text);
	}
	return report->out_of_memory ? -ENOMEM : 0;
}

static int add_result(struct contest *c, const struct contender *in,
		      const struct benchmark_param *params, uint32_t nparams)
{
	struct benchmark_report *report = c->b->report;
	struct benchmark_result *r = benchmark_report_add_result(report);
	const double ops = in->c->ops > 0 ? in->c->ops : 1;
	double call_ns;
	int err;

	if (!r)
		return -ENOMEM;
	r->suite = benchmark_report_string(report, c->b->suite);
	r->contest = benchmark_report_string(report, c->name);
	r->name = benchmark_report_string(report, in->c->name);
	r->isa = in->c->isa;
	err = add_params(report, r, params, nparams);
	err = err ? err : add_params(report, r, in->c->params, in->c->nparams);
	err = err ? err : benchmark_report_add_samples(r, in->samples_ns, in->n);
	if (err)
		return err;
	call_ns = r->ns.median * ops;
	if (call_ns > 0) {
		r->gflops = in->c->flops / call_ns;
		r->gbytes_s = in->c->bytes / call_ns;
	}
	if (r->isa < ISA_COUNT && c->peak[r->isa] > 0)
		r->pct_peak = 100 * r->gflops / c->peak[r->isa];
	r->reference_ns = benchmark_stats_of(c->reference_ns, c->nreference).median;
	r->copy_ns = benchmark_stats_of(c->copy_ns, c->nreference).median;
	r->scratch_bytes = in->c->scratch_bytes;
	r->peak_rss_bytes = in->peak_rss;
	r->rss_growth_bytes = in->growth;
	return 0;
}

static int add_results(struct contest *c, const struct benchmark_param *params, uint32_t nparams,
		       double *median_ns)
{
	struct benchmark_report *report = c->b->report;
	const uint32_t first = report->nresults;
	int err = 0;

	for (uint32_t i = 0; i < c->n && !err; i++)
		err = add_result(c, &c->in[i], params, nparams);
	if (err) {
		benchmark_fail(c->b, c->name, "its results", err);
		return err;
	}
	add_ratios(c, report->results + first);
	c->b->last = first;
	c->b->nlast = c->n;
	for (uint32_t i = 0; i < c->n && median_ns; i++)
		median_ns[i] = report->results[first + i].ns.median;
	for (int isa = 0; isa < ISA_COUNT; isa++) /* the machine's is the best seen */
		if (c->peak[isa] > report->machine.peak_gflops[isa])
			report->machine.peak_gflops[isa] = c->peak[isa];
	if (c->b->options->contest_done)
		c->b->options->contest_done(report, first, c->n, c->b->options->arg);
	return 0;
}

int benchmark_contest(struct benchmark *b, const char *name, const struct benchmark_param *params,
		      uint32_t nparams, const struct benchmark_case *cases, uint32_t ncases,
		      double *median_ns)
{
	const struct benchmark_options *o = b->options;
	double seconds = o->contest_s > 0 ? o->contest_s : o->quick ? QUICK_CONTEST_S : CONTEST_S;
	struct contest c = {
		.b = b,
		.name = name,
		.n = ncases,
		.budget_ns = (uint64_t)(seconds * 1e9),
		.min_rounds = o->quick ? 2 : MIN_ROUNDS,
	};
	int err = !ncases || ncases > BENCHMARK_MAX_CASES ? -EINVAL : 0;

	c.in = err ? NULL : calloc(ncases, sizeof(*c.in));
	c.copy = err ? NULL : calloc(2, COPY_BYTES);
	if (!err && (!c.in || !c.copy))
		err = -ENOMEM;
	if (err)
		benchmark_fail(b, name, "contest", err);
	for (uint32_t i = 0; i < ncases && !err; i++) {
		c.in[i].c = &cases[i];
		err = warm_up(&c.in[i], o->quick);
		if (err)
			benchmark_fail(b, name, cases[i].name, err);
	}
	err = err ? err : run_rounds(&c);
	err = err ? err : add_results(&c, params, nparams, median_ns);
	free(c.copy);
	free(c.in);
	return err;
}

double benchmark_quantile_ns(const struct benchmark *b, uint32_t i, double q)
{
	const struct benchmark_result *r = b->report->results + b->last + i;

	return i < b->nlast ? benchmark_stats_quantile(r->samples_ns, r->ns.n, q) : 0;
}

size_t benchmark_rss_growth_bytes(const struct benchmark *b, uint32_t i)
{
	return i < b->nlast ? b->report->results[b->last + i].rss_growth_bytes : 0;
}

int benchmark_add_samples(struct benchmark *b, const char *name,
			  const struct benchmark_param *params, uint32_t nparams,
			  const double *samples_ns, uint32_t n)
{
	struct benchmark_report *report = b->report;
	const uint32_t first = report->nresults;
	struct benchmark_result *r = benchmark_report_add_result(report);
	int err = r ? 0 : -ENOMEM;

	if (!err) {
		r->suite = benchmark_report_string(report, b->suite);
		r->contest = benchmark_report_string(report, name);
		r->name = r->contest;
		r->isa = ISA_COUNT;
		err = add_params(report, r, params, nparams);
		err = err ? err : benchmark_report_add_samples(r, samples_ns, n);
	}
	if (err) {
		benchmark_fail(b, name, "its samples", err);
		return err;
	}
	b->last = first;
	b->nlast = 1;
	if (b->options->contest_done)
		b->options->contest_done(report, first, 1, b->options->arg);
	return 0;
}
