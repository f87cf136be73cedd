/*
 * `loops NAME TURNS` runs one loop. It prints the checksum on standard output and the seconds by its own monotonic clock on standard
 * error, so that a guest's start of a process is not in them. Linux on x86-64.
 */
#include "loops.h"

enum { SYS_WRITE = 1, SYS_EXIT = 60, SYS_CLOCK_GETTIME = 228, CLOCK_MONOTONIC = 1 };

static long system_call(long number, long first, const void *second, long third)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
	return result;
}

/* gcc calls these two for what it has no instructions for. */
void *memset(void *to, int byte, size_t length)
{
	void *start = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(byte) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t length)
{
	void *start = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
	return start;
}

static const struct { const char *name; Loop *run; } LOOPS[] = {
	{ "sieve", sieve }, { "copy", copy }, { "hash32", hash32 }, { "hash64", hash64 }, { "chase", chase }, { "sha2", sha2 },
	{ "fibonacci", fibonacci }, { "sort", sort }, { "matrix", matrix }, { "switch", interpret }, { "big-code", big_code },
};

static int is_equal(const char *a, const char *b)
{
	while (*a != 0 && *a == *b) a++, b++;
	return *a == *b;
}

static uint64_t parse(const char *text)
{
	uint64_t value = 0;
	while (*text >= '0' && *text <= '9') value = value * 10 + (uint64_t)(*text++ - '0');
	return value;
}

static uint64_t nanoseconds(void)
{
	int64_t time[2];
	system_call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, time, 0);
	return (uint64_t)time[0] * 1000000000u + (uint64_t)time[1];
}

/* `point` digits stand behind a decimal point; 0 is for none. */
static void print(int file, uint64_t value, uint64_t base, int digits, int point)
{
	char text[32];
	char *start = text + sizeof text;
	*--start = '\n';
	for (int i = 0; i < digits || value != 0; i++) {
		if (point != 0 && i == point) *--start = '.';
		*--start = "0123456789abcdef"[value % base];
		value /= base;
	}
	system_call(SYS_WRITE, file, start, text + sizeof text - start);
}

static int run(long count, char **arguments)
{
	for (size_t i = 0; count == 3 && i < sizeof LOOPS / sizeof LOOPS[0]; i++) {
		if (!is_equal(arguments[1], LOOPS[i].name)) continue;
		uint64_t turns = parse(arguments[2]);
		uint64_t started = nanoseconds();
		uint64_t sum = LOOPS[i].run(turns);
		uint64_t ended = nanoseconds();
		print(1, sum, 16, 16, 0);
		print(2, ended - started, 10, 10, 9);
		return 0;
	}
	return 2;
}

__attribute__((used)) static void start(long *stack)
{
	system_call(SYS_EXIT, run(stack[0], (char **)(stack + 1)), 0, 0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
