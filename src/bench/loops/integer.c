/* Loops whose work is integer arithmetic and control flow. */
#include "loops.h"

enum { TEXT_SIZE = 1 << 14 };

static uint8_t text[TEXT_SIZE];

static void write_text(uint64_t seed)
{
	for (uint32_t i = 0; i < TEXT_SIZE; i++) text[i] = (uint8_t)next_random(&seed);
}

static inline uint32_t rotate32(uint32_t value, int by)
{
	return value << by | value >> (32 - by);
}

static inline uint64_t rotate64(uint64_t value, int by)
{
	return value << by | value >> (64 - by);
}

/* Bytes into a hash of 32 bits: xor, multiply, rotate. */
uint64_t hash32(uint64_t turns)
{
	uint32_t hash = 2166136261u;
	write_text(5);
	for (uint64_t turn = 0; turn < turns; turn++) {
		for (uint32_t i = 0; i < TEXT_SIZE; i++) {
			hash = rotate32((hash ^ text[i]) * 16777619u, 5);
			hash += hash >> 15;
		}
	}
	return hash;
}

/* Words of 64 bits into four lanes, as hashes made for long keys do it. */
uint64_t hash64(uint64_t turns)
{
	const uint64_t first = 0x9e3779b185ebca87u, second = 0xc2b2ae3d27d4eb4fu;
	uint64_t lanes[4] = { first, second, first ^ second, 1 };
	write_text(6);
	for (uint64_t turn = 0; turn < turns; turn++) {
		for (uint32_t i = 0; i < TEXT_SIZE; i += 32) {
			for (uint32_t lane = 0; lane < 4; lane++) {
				uint64_t word;
				__builtin_memcpy(&word, text + i + 8 * lane, 8);
				lanes[lane] = rotate64(lanes[lane] + word * second, 31) * first;
			}
		}
	}
	return rotate64(lanes[0], 1) + rotate64(lanes[1], 7) + rotate64(lanes[2], 12) + rotate64(lanes[3], 18);
}

/* FIPS 180-4 §4.2.2 */
static const uint32_t K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* FIPS 180-4 §6.2.2 */
static void hash_block(uint32_t state[8], const uint32_t block[16])
{
	uint32_t w[64], s[8];
	for (int t = 0; t < 16; t++) w[t] = block[t];
	for (int t = 16; t < 64; t++) {
		uint32_t s0 = rotate32(w[t - 15], 25) ^ rotate32(w[t - 15], 14) ^ w[t - 15] >> 3;
		uint32_t s1 = rotate32(w[t - 2], 15) ^ rotate32(w[t - 2], 13) ^ w[t - 2] >> 10;
		w[t] = w[t - 16] + s0 + w[t - 7] + s1;
	}
	for (int i = 0; i < 8; i++) s[i] = state[i];
	for (int t = 0; t < 64; t++) {
		uint32_t sum1 = rotate32(s[4], 26) ^ rotate32(s[4], 21) ^ rotate32(s[4], 7);
		uint32_t t1 = s[7] + sum1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[t] + w[t];
		uint32_t sum0 = rotate32(s[0], 30) ^ rotate32(s[0], 19) ^ rotate32(s[0], 10);
		uint32_t t2 = sum0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		for (int i = 7; i > 0; i--) s[i] = s[i - 1];
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++) state[i] += s[i];
}

/* SHA-256 of 64 KiB of zeros a turn, all as one message; the checksum is the digest's first 8 bytes. */
uint64_t sha2(uint64_t turns)
{
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	uint32_t block[16] = { 0 };
	for (uint64_t i = 0; i < turns * 1024; i++) hash_block(state, block);
	uint64_t bits = turns * 65536 * 8;
	block[0] = 0x80000000;
	block[14] = (uint32_t)(bits >> 32);
	block[15] = (uint32_t)bits;
	hash_block(state, block);
	return (uint64_t)state[0] << 32 | state[1];
}

/* Calls and returns: `turns` is the argument here. */
__attribute__((noinline)) uint64_t fibonacci(uint64_t turns)
{
	return turns < 2 ? turns : fibonacci(turns - 1) + fibonacci(turns - 2);
}

enum { HALT, LOAD, ADD, SUBTRACT, MULTIPLY, XOR, SHIFT, AND, MOVE, STORE, FETCH, BRANCH, DECREMENT, SWAP };

struct instruction { uint8_t operation, a, b, immediate; };

/* What an interpreter's core looks like to the processor under it: a load, and a jump that is hard to foresee. */
uint64_t interpret(uint64_t turns)
{
	static const struct instruction program[] = {
		{ LOAD, 1, 0, 7 }, { LOAD, 2, 0, 255 }, { MULTIPLY, 0, 1, 0 }, { ADD, 0, 2, 0 }, { MOVE, 3, 0, 0 }, { SHIFT, 3, 0, 9 },
		{ XOR, 0, 3, 0 }, { MOVE, 4, 0, 0 }, { AND, 4, 2, 0 }, { STORE, 0, 4, 0 }, { SHIFT, 3, 0, 5 }, { AND, 3, 2, 0 }, { FETCH, 5, 3, 0 },
		{ ADD, 0, 5, 0 }, { SWAP, 0, 6, 0 }, { SUBTRACT, 0, 3, 0 }, { DECREMENT, 7, 0, 0 }, { BRANCH, 7, 0, 2 }, { HALT, 0, 0, 0 },
	};
	uint64_t registers[8] = { 1, 0, 0, 0, 0, 0, 3, turns }, memory[256] = { 0 };
	for (const struct instruction *at = program;; at++) {
		uint64_t *a = &registers[at->a & 7], b = registers[at->b & 7];
		switch (at->operation) {
		case HALT: return registers[0] ^ registers[6];
		case LOAD: *a = at->immediate; break;
		case ADD: *a += b; break;
		case SUBTRACT: *a -= b; break;
		case MULTIPLY: *a *= b; break;
		case XOR: *a ^= b; break;
		case SHIFT: *a >>= at->immediate; break;
		case AND: *a &= b; break;
		case MOVE: *a = b; break;
		case STORE: memory[b & 255] = *a; break;
		case FETCH: *a = memory[b & 255]; break;
		case BRANCH: if (*a != 0) at = program + at->immediate - 1; break;
		case DECREMENT: (*a)--; break;
		case SWAP: registers[at->b & 7] = *a; *a = b; break;
		}
	}
}
