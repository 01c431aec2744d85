/* SPDX-License-Identifier: Apache-2.0 */
/* heap_map.c: the heap's segment, the threads' shards in it, and new ones in a forked child. */
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probes/heap_inner.h"
#include "probes/memfd_segment.h"

extern const ElfW(Ehdr) heap_elf __asm__("__ehdr_start") HEAP_LOCAL;

struct heap_inner *heap_inner;
/* Whole pages, so that the kernel can empty it in a forked child too. */
uint8_t heap_filter[1 << HEAP_FILTER_BITS] __attribute__((aligned(4096)));
static int filter_stays; /* it does not */

static struct heap_cell no_cell;
static struct heap_shard void_shard __attribute__((aligned(HEAP_SHARD_ALIGN)));
struct heap_cell heap_void_cell = {.shard = &void_shard};

__thread struct heap_cell *heap_own HEAP_TLS = &no_cell;
__thread uint32_t heap_busy HEAP_TLS;
/* No shard for this thread: it gave its own back and runs its last frees, or there was none. */
static __thread uint32_t without HEAP_TLS;
static uint64_t seed; /* of the sampling, for tests; 0: none given */

/* Kept where a fork copies it: the child learns by it what it inherited. */
static struct {
	struct heap_segment_header *segment;
	int fd;
	dev_t dev;
	ino_t ino;
} mapped = {.fd = -1};

static struct {
	pthread_mutex_t lock; /* from before a fork until after it */
	int valid;
	struct heap_shard sum; /* of all shards at the fork */
} forked = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_key_t end_key;
static int key_made;

/* ---- fork ----------------------------------------------------------------------------------- */

static void add_shard(struct heap_shard *sum, const struct heap_shard *s)
{
	sum->alloc_bytes += heap_read(&s->alloc_bytes);
	sum->free_bytes += heap_read(&s->free_bytes);
	for (int i = 0; i < HEAP_CLASSES; i++) {
		sum->classes[i].allocs += heap_read(&s->classes[i].allocs);
		sum->classes[i].frees += heap_read(&s->classes[i].frees);
	}
}

static void before_fork(void)
{
	struct heap_segment_header *seg = heap_segment();

	pthread_mutex_lock(&forked.lock);
	memset(&forked.sum, 0, sizeof(forked.sum));
	forked.valid = seg != NULL;
	for (uint32_t i = 0; seg && i < heap_state_of(seg)->shards; i++)
		add_shard(&forked.sum, heap_shard_of(seg, i));
	if (seg && heap_state_of(seg)->shared)
		add_shard(&forked.sum, heap_shard_of(seg, HEAP_THREADS));
}

static void after_fork_in_parent(void)
{
	forked.valid = 0;
	pthread_mutex_unlock(&forked.lock);
}

static void after_fork_in_child(void)
{
	pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	forked.lock = fresh;
}

/* What lives in the child at its start is what lived in the parent. */
static void inherit(struct heap_segment_header *seg)
{
	struct heap_state *st = heap_state_of(seg);

	if (!mapped.segment)
		return;
	seg->parent = mapped.segment->pid;
	seg->from = forked.valid ? HEAP_FROM_FORK : HEAP_FROM_LATE;
	*heap_control_of(seg) = (struct heap_control){
		.mean_bytes = heap_read(&heap_control_of(mapped.segment)->mean_bytes),
		.slice_bytes = heap_read(&heap_control_of(mapped.segment)->slice_bytes),
		.pause_ns = heap_read(&heap_control_of(mapped.segment)->pause_ns),
		.stop = heap_read(&heap_control_of(mapped.segment)->stop),
	};
	if (forked.valid) {
		add_shard(heap_shard_of(seg, HEAP_THREADS), &forked.sum);
		st->shared = 1;
	}
	forked.valid = 0;
}

/*
 * Let go of the parent's segment, so that it goes with the parent. The range stays mapped,
 * privately: an update that a signal cut short, whose handler forked, ends there.
 */
static void drop_parent(void)
{
	struct stat st;

	if (!mapped.segment)
		return;
	if (mmap(mapped.segment, HEAP_SEGMENT_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return;
	/* The program may have closed it and reused the number. */
	if (mapped.fd >= 0 && !fstat(mapped.fd, &st) && st.st_dev == mapped.dev &&
	    st.st_ino == mapped.ino)
		syscall(SYS_close, mapped.fd);
}

/* ---- the segment ---------------------------------------------------------------------------- */

static void find_text(struct heap_segment_header *seg)
{
	const char *base = (const char *)&heap_elf;
	const ElfW(Phdr) *ph = (const void *)(base + heap_elf.e_phoff);

	for (int i = 0; i < heap_elf.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !(ph[i].p_flags & PF_X))
			continue;
		seg->text_start = (uintptr_t)base + ph[i].p_vaddr;
		seg->text_end = seg->text_start + ph[i].p_memsz;
	}
}

static void write_header(struct heap_segment_header *seg)
{
	seg->version = HEAP_SEGMENT_VERSION;
	seg->header_bytes = sizeof(*seg);
	seg->total_bytes = HEAP_SEGMENT_BYTES;
	seg->control_offset = HEAP_CONTROL_OFFSET;
	seg->state_offset = HEAP_STATE_OFFSET;
	seg->pauses_offset = HEAP_PAUSES_OFFSET;
	seg->shards_offset = HEAP_SHARDS_OFFSET;
	seg->table_offset = HEAP_TABLE_OFFSET;
	seg->infos_offset = HEAP_INFOS_OFFSET;
	seg->ring_offset = HEAP_RING_OFFSET;
	seg->shard_bytes = HEAP_SHARD_BYTES;
	seg->shards = HEAP_SHARDS;
	seg->classes = HEAP_CLASSES;
	seg->table = HEAP_TABLE;
	seg->ring_bytes = HEAP_RING_BYTES;
	seg->record_bytes = sizeof(struct heap_record);
	seg->bucket_count = BUCKET_COUNT;
	seg->regs = HEAP_REGS;
	seg->pid = (uint32_t)getpid();
	seg->size_from = heap_real.size_from;
	seg->from = heap_real.late ? HEAP_FROM_LATE : HEAP_FROM_START;
	seg->start_ns = heap_now_ns();
	/* Unlikely to be in a stack, where a reader might take it for a record's seal. */
	seg->cookie = (seg->start_ns ^ (uintptr_t)seg) * 0x9e3779b97f4a7c15ull;
	find_text(seg);
	heap_real_name(seg->allocator, sizeof(seg->allocator));
}

struct heap_segment_header *heap_segment_make(struct heap_inner *in)
{
	struct heap_segment_header *seg = NULL;
	struct stat st;
	int fd = memfd_segment_open(HEAP_SEGMENT_NAME, HEAP_SEGMENT_BYTES);

	if (fd >= 0)
		seg = memfd_segment_map(fd, HEAP_SEGMENT_BYTES);
	if (!seg) {
		if (fd >= 0)
			syscall(SYS_close, fd);
		drop_parent();
		mapped.segment = NULL;
		__atomic_store_n(&in->failed, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	if (filter_stays) /* the parent's samples are not ours */
		memset(heap_filter, 0, sizeof(heap_filter));
	heap_boot_mark();
	heap_void_cell.left = HEAP_FAR - heap_hidden();
	write_header(seg);
	inherit(seg);
	drop_parent();
	memset(&st, 0, sizeof(st));
	fstat(fd, &st);
	mapped.segment = seg;
	mapped.fd = fd;
	mapped.dev = st.st_dev;
	mapped.ino = st.st_ino;
	/* A reader that sees the magic sees the header. */
	__atomic_store_n(&seg->magic, HEAP_SEGMENT_MAGIC, __ATOMIC_RELEASE);
	__atomic_store_n(&in->segment, seg, __ATOMIC_RELEASE);
	return seg;
}

static struct heap_segment_header *segment_get(struct heap_inner *in)
{
	struct heap_segment_header *seg = __atomic_load_n(&in->segment, __ATOMIC_ACQUIRE);

	if (seg || __atomic_load_n(&in->failed, __ATOMIC_RELAXED))
		return seg;
	pthread_mutex_lock(&in->lock);
	seg = in->segment;
	if (!seg && !in->failed)
		seg = heap_segment_make(in);
	pthread_mutex_unlock(&in->lock);
	return seg;
}

/* ---- threads -------------------------------------------------------------------------------- */

/*
 * The thread ends. Its shard keeps what it counted, and the next thread goes on from there. The
 * release pairs with the acquire in take_cell: the next owner's loads see our last stores.
 */
static void give_back(void *arg)
{
	struct heap_inner *in = heap_inner;
	struct heap_cell *c = heap_own;
	uint64_t i;

	(void)arg;
	without = 1;
	if (!in || c < in->cell || c >= in->cell + HEAP_THREADS || !c->shard)
		return;
	i = (uint64_t)(c - in->cell);
	heap_own = &no_cell;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memset(c, 0, sizeof(*c));
	__atomic_fetch_sub(&heap_state_of(in->segment)->threads, 1, __ATOMIC_RELAXED);
	__atomic_fetch_and(&in->used[i / 64], ~(1ull << (i % 64)), __ATOMIC_RELEASE);
}

/* The lowest free index, so that few shards are ever touched; -1 when all have an owner. */
static int take_index(struct heap_inner *in)
{
	for (uint32_t w = 0; w < HEAP_THREADS / 64; w++) {
		uint64_t old = __atomic_load_n(&in->used[w], __ATOMIC_RELAXED);

		while (~old) {
			uint64_t bit = ~old & (old + 1);

			if (__atomic_compare_exchange_n(&in->used[w], &old, old | bit, 0,
							__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return (int)(w * 64) + __builtin_ctzll(bit);
		}
	}
	return -1;
}

static struct heap_shard *take_cell(struct heap_inner *in, struct heap_segment_header *seg)
{
	struct heap_state *st = heap_state_of(seg);
	int i = take_index(in);
	struct heap_shard *s;
	struct heap_cell *c;
	uint32_t n;

	if (i < 0) {
		__atomic_fetch_add(&st->refused_threads, 1, __ATOMIC_RELAXED);
		without = 1;
		return NULL;
	}
	c = &in->cell[i];
	s = heap_shard_of(seg, (uint32_t)i);
	c->random = (seed ? seed : seg->cookie) ^ ((uint64_t)i + 1) * 0xbf58476d1ce4e5b9ull;
	c->tid = (uint32_t)syscall(SYS_gettid);
	c->shard = s;
	c->chunks = heap_real.size_from == HEAP_SIZE_CHUNK ? s : NULL;
	heap_sample_draw(c);
	n = __atomic_load_n(&st->shards, __ATOMIC_RELAXED);
	while (n <= (uint32_t)i && !__atomic_compare_exchange_n(&st->shards, &n, (uint32_t)i + 1, 0,
								__ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	__atomic_fetch_add(&st->threads, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_own = c;
	return s;
}

static struct heap_inner *make_inner(void)
{
	struct heap_inner *in = mmap(NULL, sizeof(*in), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (in == MAP_FAILED)
		return NULL;
	/* Before Linux 4.14 a child would count into its parent's segment: better no counts. */
	if (madvise(in, sizeof(*in), MADV_WIPEONFORK)) {
		munmap(in, sizeof(*in));
		return NULL;
	}
	filter_stays = madvise(heap_filter, sizeof(heap_filter), MADV_WIPEONFORK) != 0;
	key_made = !pthread_key_create(&end_key, give_back);
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
	return in;
}

static struct heap_inner *inner_get(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int tried;
	struct heap_inner *in = __atomic_load_n(&heap_inner, __ATOMIC_ACQUIRE);

	if (in || __atomic_load_n(&tried, __ATOMIC_RELAXED))
		return in;
	pthread_mutex_lock(&lock);
	if (!tried)
		__atomic_store_n(&heap_inner, make_inner(), __ATOMIC_RELEASE);
	in = heap_inner;
	tried = 1;
	pthread_mutex_unlock(&lock);
	return in;
}

struct heap_shard *heap_attach(void)
{
	struct heap_segment_header *seg;
	struct heap_inner *in;
	int saved_errno;

	if (heap_own->shard || heap_busy || without)
		return heap_own->shard;
	saved_errno = errno;
	heap_busy = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	in = inner_get();
	seg = in ? segment_get(in) : NULL;
	if (seg && key_made && take_cell(in, seg)) {
		struct heap_cell *own = heap_own;

		/* It makes give_back run; with many keys in use it allocates. */
		heap_own = &heap_void_cell;
		pthread_setspecific(end_key, in);
		heap_own = own;
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	heap_busy = 0;
	errno = saved_errno;
	return heap_own->shard;
}

/* The environment is there by now: the first calls come before. */
static __attribute__((constructor)) void begin(void)
{
	const char *mean = getenv("PERFTOP_HEAP_MEAN"), *text = getenv("PERFTOP_HEAP_SEED");

	if (!heap_real_prepare()) /* loaded late: the first hooked call finds the rest */
		return;
	if (!heap_real_find() || !heap_attach())
		return;
	if (mean)
		heap_control_of(heap_segment())->mean_bytes = strtoull(mean, NULL, 10);
	if (text) {
		seed = (strtoull(text, NULL, 10) + 1) * 0x9e3779b97f4a7c15ull;
		heap_own->random = seed;
	}
	if (mean || text)
		heap_sample_draw(heap_own);
}
