/*
 * A program larger than any cache of code: 8192 functions of 512 bytes each, no two alike, called in an order without a pattern. The
 * assembler makes them, from a generator of random numbers of its own.
 */
#include "loops.h"

enum { FUNCTIONS = 8192, FUNCTION_SIZE = 512, CALLS = 1000 };

/* Each changes %rdi into %rax, in ten steps, of which each may be jumped over. */
__asm__(
	".text\n"
	".set seed, 12345\n"
	".balign 4096\n"
	"functions:\n"
	".rept 8192\n"
	"\tmov %rdi, %rax\n"
	"\tmov %rdi, -8(%rsp)\n"
	"\t.rept 10\n"
	"\t.set seed, (seed * 1103515245 + 12345) & 0x7fffffff\n"
	"\ttest $(1 << ((seed >> 16) & 15)), %eax\n"
	"\tjz 1f\n"
	"\txor $seed, %rax\n"
	"\tadd %rax, -8(%rsp)\n"
	"1:\timul $(seed | 1), %rax, %rax\n"
	"\trol $((seed >> 20 & 31) + 1), %rax\n"
	"\tadd -8(%rsp), %rax\n"
	"\t.endr\n"
	"\tret\n"
	"\t.balign 512, 0xcc\n"
	".endr\n");

extern const uint8_t functions[] __asm__("functions");

uint64_t big_code(uint64_t turns)
{
	uint64_t state = 88172645463325252u, sum = 0;
	for (uint64_t call = 0; call < turns * CALLS; call++) {
		uint64_t index = state >> 40 & (FUNCTIONS - 1);
		state = ((uint64_t (*)(uint64_t))(uintptr_t)(functions + index * FUNCTION_SIZE))(state + call);
		sum = mix(sum, state);
	}
	return sum;
}
