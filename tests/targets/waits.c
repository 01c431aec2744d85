/* SPDX-License-Identifier: Apache-2.0 */
/* waits.c: threads that compute, sleep, and wait for locks and a socket, and know how long. */
#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * waits SECONDS: for each thread "thread TID BEGIN_NS CPU_NS WAITS NAME", begin by the clock on the
 * wall, and "port N" of the socket. Then all wait for a second, so that who watches sees the whole.
 */
pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
sem_t work_ready;
static volatile int stop;
static int client, server;
static pthread_barrier_t end;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void burn(void)
{
	volatile uint64_t x = 0;

	for (int i = 0; i < 100000; i++)
		x += (uint64_t)i;
}

__attribute__((noinline)) static void use_cache(void)
{
	pthread_mutex_lock(&cache_lock);
	nap(2000);
	pthread_mutex_unlock(&cache_lock);
}

__attribute__((noinline)) static void read_table(void)
{
	pthread_rwlock_rdlock(&table_lock);
	burn();
	pthread_rwlock_unlock(&table_lock);
	nap(200);
}

__attribute__((noinline)) static void write_table(void)
{
	pthread_rwlock_wrlock(&table_lock);
	nap(3000);
	pthread_rwlock_unlock(&table_lock);
	nap(1000);
}

__attribute__((noinline)) static void take_work(void)
{
	sem_wait(&work_ready);
	__asm__ volatile("" ::: "memory"); /* no tail call: this function is on the stack */
}

__attribute__((noinline)) static void give_work(void)
{
	sem_post(&work_ready);
	nap(5000);
}

__attribute__((noinline)) static void receive(void)
{
	char c;

	if (recv(server, &c, 1, 0) != 1)
		stop = 1;
}

__attribute__((noinline)) static void transmit(void)
{
	if (send(client, "x", 1, MSG_NOSIGNAL) != 1)
		stop = 1;
	nap(4000);
}

static const struct {
	const char *name;
	void (*step)(void);
} threads[] = {
	{"burner", burn},	{"cache 1", use_cache},	 {"cache 2", use_cache},
	{"reader", read_table}, {"writer", write_table}, {"worker", take_work},
	{"giver", give_work},	{"receiver", receive},	 {"sender", transmit},
};
enum { THREADS = sizeof(threads) / sizeof(threads[0]) };

static void *run(void *arg)
{
	uint64_t begin = now_ns(CLOCK_REALTIME);
	size_t i = (size_t)(uintptr_t)arg;
	struct rusage use;

	while (!stop)
		threads[i].step();
	getrusage(RUSAGE_THREAD, &use);
	printf("thread %ld %llu %llu %ld %s\n", syscall(SYS_gettid), (unsigned long long)begin,
	       (unsigned long long)now_ns(CLOCK_THREAD_CPUTIME_ID), use.ru_nvcsw, threads[i].name);
	pthread_barrier_wait(&end);
	return NULL;
}

static int connect_sockets(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &size))
		return -1;
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&at, size))
		return -1;
	server = accept(listener, NULL, NULL);
	printf("port %d\n", ntohs(at.sin_port));
	return server < 0 ? -1 : close(listener);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 3;
	pthread_t ids[THREADS];

	sem_init(&work_ready, 0, 0);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	if (connect_sockets())
		return 1;
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&ids[i], NULL, run, (void *)(uintptr_t)i);
	usleep((useconds_t)(seconds * 1e6));
	stop = 1;
	nap(20000);
	sem_post(&work_ready);
	if (send(client, "x", 1, MSG_NOSIGNAL) != 1)
		return 1;
	sleep(1);
	pthread_barrier_wait(&end);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
	return 0;
}
