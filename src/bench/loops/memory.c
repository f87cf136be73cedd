/* Loops whose work is loads and stores. */
#include "loops.h"

enum { SIEVE_SIZE = 1 << 20 };

/* Primes below 2^20, by Eratosthenes. */
uint64_t sieve(uint64_t turns)
{
	static uint8_t composite[SIEVE_SIZE];
	uint64_t sum = 0;
	for (uint64_t turn = 0; turn < turns; turn++) {
		uint64_t primes = 0;
		for (uint32_t i = 0; i < SIEVE_SIZE; i++) composite[i] = 0;
		for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
			if (composite[i]) continue;
			primes++;
			for (uint32_t j = 2 * i; j < SIEVE_SIZE; j += i) composite[j] = 1;
		}
		sum = mix(sum, primes + turn);
	}
	return sum;
}

enum { COPY_SIZE = 1 << 16 };

/* One byte at a time: the compiler must not make wider moves of it. */
__attribute__((noinline, optimize("no-tree-vectorize"))) static void copy_bytes(uint8_t *to, const uint8_t *from, size_t length)
{
	for (size_t i = 0; i < length; i++) to[i] = from[i];
}

uint64_t copy(uint64_t turns)
{
	static uint8_t from[COPY_SIZE], to[COPY_SIZE];
	uint64_t seed = 1, sum = 0;
	for (uint32_t i = 0; i < COPY_SIZE; i++) from[i] = (uint8_t)next_random(&seed);
	for (uint64_t turn = 0; turn < turns; turn++) {
		from[turn % COPY_SIZE] ^= (uint8_t)turn;
		copy_bytes(to, from, COPY_SIZE);
		sum = mix(sum, to[(turn * 7) % COPY_SIZE] + to[turn % COPY_SIZE]);
	}
	return sum;
}

enum { NODES = 1 << 18, STEPS = 1000 };

/* A line of the cache each: 16 MiB of them. */
struct node { struct node *next; uint64_t value; uint8_t rest[48]; };

/* A ring through all nodes, in an order without a pattern (Sattolo's shuffle), walked a thousand steps a turn. */
uint64_t chase(uint64_t turns)
{
	static struct node nodes[NODES];
	static uint32_t order[NODES];
	uint64_t seed = 2, sum = 0;
	for (uint32_t i = 0; i < NODES; i++) order[i] = i;
	for (uint32_t i = NODES - 1; i > 0; i--) {
		uint32_t j = next_random(&seed) % i, other = order[j];
		order[j] = order[i];
		order[i] = other;
	}
	for (uint32_t i = 0; i < NODES; i++) {
		nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
		nodes[order[i]].value = i;
	}
	const struct node *node = nodes;
	for (uint64_t step = 0; step < turns * STEPS; step++) {
		sum += node->value;
		node = node->next;
	}
	return mix(sum, node->value);
}

enum { SORT_SIZE = 100000 };

static void quicksort(uint64_t *values, int64_t low, int64_t high)
{
	while (low < high) {
		uint64_t pivot = values[low + (high - low) / 2];
		int64_t i = low, j = high;
		while (i <= j) {
			while (values[i] < pivot) i++;
			while (values[j] > pivot) j--;
			if (i > j) break;
			uint64_t other = values[i];
			values[i++] = values[j];
			values[j--] = other;
		}
		quicksort(values, low, j);
		low = i;
	}
}

uint64_t sort(uint64_t turns)
{
	static uint64_t values[SORT_SIZE];
	uint64_t seed = 3, sum = 0;
	for (uint64_t turn = 0; turn < turns; turn++) {
		for (uint32_t i = 0; i < SORT_SIZE; i++) values[i] = next_random(&seed);
		quicksort(values, 0, SORT_SIZE - 1);
		for (uint32_t i = 0; i < SORT_SIZE; i += 1000) sum = mix(sum, values[i]);
	}
	return sum;
}

enum { RANK = 160 };

/* The product of two square matrices of doubles; the next turn multiplies the product's scaled rows. */
uint64_t matrix(uint64_t turns)
{
	static double a[RANK][RANK], b[RANK][RANK], product[RANK][RANK];
	uint64_t seed = 4, sum = 0;
	for (uint32_t i = 0; i < RANK * RANK; i++) {
		a[i / RANK][i % RANK] = next_random(&seed) / 4294967296.0;
		b[i / RANK][i % RANK] = next_random(&seed) / 4294967296.0;
	}
	for (uint64_t turn = 0; turn < turns; turn++) {
		for (uint32_t i = 0; i < RANK; i++) {
			for (uint32_t j = 0; j < RANK; j++) {
				double element = 0;
				for (uint32_t k = 0; k < RANK; k++) element += a[i][k] * b[k][j];
				product[i][j] = element;
			}
		}
		for (uint32_t i = 0; i < RANK * RANK; i++) a[i / RANK][i % RANK] = product[i / RANK][i % RANK] * (2.0 / RANK);
		union { double number; uint64_t bits; } corner = { product[turn % RANK][7] };
		sum = mix(sum, corner.bits);
	}
	return sum;
}
