// SPDX-License-Identifier: Apache-2.0
// heap_cxx.cc: every operator new and delete; what is kept is printed, in usable bytes.
#include <cstdint>
#include <cstdio>
#include <malloc.h>
#include <memory>
#include <new>
#include <string>
#include <unistd.h>
#include <vector>

struct plain {
	char bytes[100];
};
struct alignas(256) wide {
	char bytes[300];
};
struct virtually {
	virtual ~virtually() = default;
	char bytes[40];
};

static unsigned long bytes, objects;

template <class T> static T *keep(T *p)
{
	bytes += malloc_usable_size(p);
	objects++;
	return p;
}

// Each is freed by the delete that belongs to it: plain, sized, aligned, sized and aligned, nothrow.
static void churn()
{
	for (int i = 0; i < 1000; i++) {
		delete new plain;
		delete[] new plain[7];
		delete new wide;
		delete[] new wide[3];
		std::unique_ptr<virtually> v(new virtually);
		::operator delete(::operator new(77), std::size_t{77});
		::operator delete(::operator new(77, std::align_val_t{64}), std::size_t{77},
				  std::align_val_t{64});
		::operator delete(::operator new(77, std::nothrow), std::nothrow);
		std::vector<std::string> strings(20, std::string(200, 'x'));
	}
}

int main()
{
	char line[16];

	std::printf("ready pid=%d\n", getpid());
	std::fflush(stdout);
	if (read(0, line, sizeof(line)) <= 0)
		return 1;
	churn();
	keep(new plain);
	keep(new plain[7]);
	keep(new wide);
	keep(::operator new(5, std::align_val_t{4096}));
	keep(new (std::nothrow) virtually);
	std::printf("cxx objects=%lu bytes=%lu\n", objects, bytes);
	std::fflush(stdout);
	return read(0, line, sizeof(line)) < 0;
}
