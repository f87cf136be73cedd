/* What the files of the compiled loops share. Freestanding: nothing of a C library is linked, so that every host builds the same program. */
#ifndef LOOPS_H
#define LOOPS_H

#include <stddef.h>
#include <stdint.h>

/* A loop does its work `turns` times and returns a checksum of all of it. */
typedef uint64_t Loop(uint64_t turns);

Loop sieve, copy, chase, sort, matrix;
Loop hash32, hash64, sha2, fibonacci, interpret;
Loop big_code;

/* A generator of numbers that look random: linear congruential modulo 2^64, of which the upper half is given. */
static inline uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 32);
}

static inline uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 1099511628211u;
}

#endif
