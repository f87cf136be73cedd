/*
 * Runs every SSE floating-point instruction, and those of FMA and F16C, on this machine's processor and writes what it did: gcc -O2 sse-vectors.c -o sse-vectors
 *
 * Usage: sse-vectors [vectors per instruction] > file
 *
 * Operands are XMM0, XMM1, XMM2 and RAX; the result is XMM0 or RAX. An unmasked exception arrives as SIGFPE: then the record has
 * `trapped` set and the MXCSR of the fault.
 */
#include "float-vectors.h"
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

enum kind { S32, S64, P32, P64, I32, I64, Q32, P16 };

struct record {
  uint16_t mxcsr;
  uint8_t immediate;
  uint8_t a[16], b[16], c[16];
  uint64_t rax;
  uint16_t mxcsr_after;
  uint8_t flags_after; /* ZF PF CF and the others that comparisons write: mask 0x8d5 without OF */
  uint8_t trapped;
  uint8_t result[16];
  uint64_t rax_after;
} __attribute__((packed));

static const struct { const char *name; const char *code; enum kind kind; int immediate; } instructions[] = {
#define FOUR(name, opcode) { name "ss", "f30f" opcode "c1", S32, 0 }, { name "sd", "f20f" opcode "c1", S64, 0 }, \
  { name "ps", "0f" opcode "c1", P32, 0 }, { name "pd", "660f" opcode "c1", P64, 0 },
  FOUR("add", "58") FOUR("mul", "59") FOUR("sub", "5c") FOUR("min", "5d") FOUR("div", "5e") FOUR("max", "5f") FOUR("sqrt", "51")
  { "rcpss", "f30f53c1", S32, 0 }, { "rsqrtss", "f30f52c1", S32, 0 },
  { "ucomiss", "0f2ec1", S32, 0 }, { "comiss", "0f2fc1", S32, 0 }, { "ucomisd", "660f2ec1", S64, 0 }, { "comisd", "660f2fc1", S64, 0 },
  { "cmpps", "0fc2c1", P32, 8 }, { "cmppd", "660fc2c1", P64, 8 }, { "vcmpss", "c5fac2c1", S32, 32 }, { "vcmpsd", "c5fbc2c1", S64, 32 },
  { "cvtss2sd", "f30f5ac1", S32, 0 }, { "cvtsd2ss", "f20f5ac1", S64, 0 }, { "cvtps2pd", "0f5ac1", P32, 0 }, { "cvtpd2ps", "660f5ac1", P64, 0 },
  { "cvtsi2ss r32", "f30f2ac0", I32, 0 }, { "cvtsi2ss r64", "f3480f2ac0", I64, 0 },
  { "cvtsi2sd r32", "f20f2ac0", I32, 0 }, { "cvtsi2sd r64", "f2480f2ac0", I64, 0 },
  { "cvtss2si r32", "f30f2dc1", S32, 0 }, { "cvtss2si r64", "f3480f2dc1", S32, 0 },
  { "cvttss2si r32", "f30f2cc1", S32, 0 }, { "cvttss2si r64", "f3480f2cc1", S32, 0 },
  { "cvtsd2si r32", "f20f2dc1", S64, 0 }, { "cvtsd2si r64", "f2480f2dc1", S64, 0 },
  { "cvttsd2si r32", "f20f2cc1", S64, 0 }, { "cvttsd2si r64", "f2480f2cc1", S64, 0 },
  { "cvtdq2ps", "0f5bc1", Q32, 0 }, { "cvtps2dq", "660f5bc1", P32, 0 }, { "cvttps2dq", "f30f5bc1", P32, 0 },
  { "cvtdq2pd", "f30fe6c1", Q32, 0 }, { "cvtpd2dq", "f20fe6c1", P64, 0 }, { "cvttpd2dq", "660fe6c1", P64, 0 },
  { "roundss", "660f3a0ac1", S32, 16 }, { "roundsd", "660f3a0bc1", S64, 16 }, { "roundps", "660f3a08c1", P32, 16 },
  { "roundpd", "660f3a09c1", P64, 16 }, { "dpps", "660f3a40c1", P32, 256 }, { "dppd", "660f3a41c1", P64, 256 },
  { "haddps", "f20f7cc1", P32, 0 }, { "haddpd", "660f7cc1", P64, 0 }, { "hsubps", "f20f7dc1", P32, 0 }, { "hsubpd", "660f7dc1", P64, 0 },
  { "addsubps", "f20fd0c1", P32, 0 }, { "addsubpd", "660fd0c1", P64, 0 },
  { "vfmadd132ss", "c4e27199c2", S32, 0 }, { "vfmadd213ss", "c4e271a9c2", S32, 0 }, { "vfmadd231ss", "c4e271b9c2", S32, 0 },
  { "vfmadd231sd", "c4e2f1b9c2", S64, 0 }, { "vfmsub231sd", "c4e2f1bbc2", S64, 0 }, { "vfnmadd231sd", "c4e2f1bdc2", S64, 0 },
  { "vfnmsub231ss", "c4e271bfc2", S32, 0 },
  { "vfmadd213ps", "c4e271a8c2", P32, 0 }, { "vfnmsub213pd", "c4e2f1aec2", P64, 0 }, { "vfmsub132pd", "c4e2f19ac2", P64, 0 },
  { "vfnmadd132ps", "c4e2719cc2", P32, 0 }, { "vfmaddsub231ps", "c4e271b6c2", P32, 0 }, { "vfmsubadd213pd", "c4e2f1a7c2", P64, 0 },
  { "vcvtph2ps", "c4e27913c1", P16, 0 }, { "vcvtps2ph", "c4e3791dc8", P32, 256 },
};

struct context { uint32_t mxcsr, mxcsr_after; uint64_t rflags, rax; };

static sigjmp_buf trap;
static volatile uint32_t trapped_mxcsr;

static void on_trap(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information;
  trapped_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(trap, 1);
}

static void run(uint8_t *code, const char *hexadecimal, int immediate, const uint8_t *operands, uint8_t *result, struct context *context) {
  static const uint8_t before[] = { 0x0f, 0x10, 0x07, 0x0f, 0x10, 0x4f, 0x10, 0x0f, 0x10, 0x57, 0x20, /* movups xmm0..2, [rdi...] */
                                    0x48, 0x8b, 0x47, 0x30, 0x0f, 0xae, 0x11 };                       /* mov rax, [rdi+48]; ldmxcsr [rcx] */
  static const uint8_t after[] = { 0x0f, 0xae, 0x59, 0x04, 0x9c, 0x8f, 0x41, 0x08, 0x0f, 0x11, 0x02, /* stmxcsr; pushfq; pop; movups */
                                   0x48, 0x89, 0x41, 0x10, 0xc3 };                                    /* mov [rcx+16], rax; ret */
  uint8_t *p = code;
  unsigned byte;
  memcpy(p, before, sizeof before), p += sizeof before;
  for (; *hexadecimal; hexadecimal += 2) sscanf(hexadecimal, "%2x", &byte), *p++ = (uint8_t)byte;
  if (immediate >= 0) *p++ = (uint8_t)immediate;
  memcpy(p, after, sizeof after);
  ((void (*)(const uint8_t *, void *, uint8_t *, struct context *))code)(operands, 0, result, context);
}

static void random_operand(uint8_t *out, enum kind kind) {
  uint64_t bits;
  unsigned lanes = kind == P16 ? 8 : kind == P32 || kind == Q32 ? 4 : kind == P64 ? 2 : 1;
  for (unsigned i = 0; i < lanes; i++) {
    if (kind == P32 || kind == S32) bits = random_binary32(), memcpy(out + i * 4, &bits, 4);
    else if (kind == P64 || kind == S64) bits = random_binary64(), memcpy(out + i * 8, &bits, 8);
    else if (kind == P16) bits = random_binary16(), memcpy(out + i * 2, &bits, 2);
    else if (kind == Q32) bits = (uint64_t)((int64_t)(below(2) ? next_random() : random_bits()) >> below(64)), memcpy(out + i * 4, &bits, 4);
  }
}

static unsigned random_mxcsr(void) {
  unsigned value = (below(3) ? 0x3f : below(64)) << 7 | below(4) << 13;
  if (!below(4)) value |= 0x40;
  if (!below(4)) value |= 0x8000;
  if (!below(4)) value |= below(64);
  return value;
}

/* Each lane of one operand is nearly the product of the others, in turn. */
static void cancel_sums(struct record *record) {
  uint8_t *operands[] = { record->a, record->b, record->c };
  unsigned sum = below(3);
  for (unsigned i = 0; i < 16; i += 4) {
    float x, y, product;
    memcpy(&x, operands[(sum + 1) % 3] + i, 4), memcpy(&y, operands[(sum + 2) % 3] + i, 4);
    product = below(2) ? x * y : -x * y;
    memcpy(operands[sum] + i, &product, 4);
  }
}

static void make_vector(uint8_t *code, unsigned index, struct record *record) {
  enum kind kind = instructions[index].kind;
  uint8_t operands[56], result[16];
  struct context context;
  volatile int immediate = -1; /* survives siglongjmp */
  uint64_t nudge = 1ull << below(kind == S32 || kind == P32 ? 31 : 63);
  memset(record, 0, sizeof *record);
  random_operand(record->a, kind);
  random_operand(record->b, kind);
  if (!below(6)) { /* related operands: cancellation, equality, exact quotients */
    memcpy(record->b, record->a, 16);
    if (below(2)) for (unsigned i = 0; i < 8; i++) record->b[i] ^= (uint8_t)(nudge >> (8 * i));
  }
  if (instructions[index].name[0] == 'v' && instructions[index].name[1] == 'f') {
    random_operand(record->c, kind);
    if (!below(3) && kind == S64) { /* c = -a * b, nearly: double rounding shows */
      double a, b, c;
      memcpy(&b, record->b, 8), memcpy(&c, record->c, 8);
      a = -b * c;
      memcpy(record->a, &a, 8);
    }
    if (!below(3) && kind == P32) cancel_sums(record);
  }
  if (kind == I32 || kind == I64) record->rax = (uint64_t)((int64_t)(below(2) ? next_random() : random_bits()) >> below(64));
  if (instructions[index].immediate > 0) immediate = (int)below((unsigned)instructions[index].immediate);
  record->mxcsr = (uint16_t)random_mxcsr();
  record->immediate = (uint8_t)immediate;
  memcpy(operands, record->a, 48);
  memcpy(operands + 48, &record->rax, 8);
  memset(&context, 0, sizeof context);
  context.mxcsr = record->mxcsr;
  if (sigsetjmp(trap, 1) == 0) {
    run(code, instructions[index].code, immediate, operands, result, &context);
    memcpy(record->result, result, kind == S32 && instructions[index].name[0] != 'c' ? 4 : kind == S64 ? 8 : 16);
    record->rax_after = context.rax;
    record->flags_after = (uint8_t)(context.rflags & 0xd5);
  } else {
    record->trapped = 1;
    context.mxcsr_after = trapped_mxcsr;
  }
  record->mxcsr_after = (uint16_t)context.mxcsr_after;
  static const uint32_t standard = 0x1f80;
  __asm__ volatile("ldmxcsr %0" : : "m"(standard));
}

int main(int argc, char **argv) {
  unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 400;
  uint8_t *code = new_code();
  struct record *records = calloc(count, sizeof *records);
  struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER };
  sigaction(SIGFPE, &action, 0);
  for (unsigned i = 0; i < sizeof instructions / sizeof *instructions; i++) {
    for (unsigned n = 0; n < count; n++) make_vector(code, i, &records[n]);
    write_section(instructions[i].name, instructions[i].code, (uint8_t *)records, count, sizeof *records);
  }
  return 0;
}
