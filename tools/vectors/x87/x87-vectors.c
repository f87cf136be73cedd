/*
 * Runs every x87 instruction on this machine's processor and writes what it did: gcc -O2 x87-vectors.c -o x87-vectors
 *
 * Usage: x87-vectors [vectors per instruction] > file
 *
 * Each run loads a whole x87 state with FRSTOR, executes one instruction and stores the state with FNSAVE, which neither waits nor
 * traps: unmasked exceptions are recorded as pending. ST2 to ST6 must not change; the program stops if they do.
 */
#include "float-vectors.h"

struct image {
  uint32_t fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
  struct extended st[8];
} __attribute__((packed));

struct registers { uint64_t rflags, rax; };

/* One vector. Register contents are those of the old ST0, ST1 and ST7, whatever TOP becomes. */
struct record {
  uint16_t fcw, fsw;
  uint8_t abridged_tags; /* bit i: ST(i) is valid */
  uint8_t flags;         /* bit 0 CF, bit 2 PF, bit 6 ZF */
  struct extended st0, st1;
  uint8_t memory[10];
  uint16_t fcw_after, fsw_after, ftw_after;
  uint8_t flags_after;
  struct extended st0_after, st1_after, st7_after;
  uint8_t memory_after[10];
} __attribute__((packed));

enum operand { NONE, M16INT, M32INT, M64INT, M32, M64, M80, BCD, STORE };

static const struct { const char *name; uint8_t opcode, modrm; enum operand operand; } instructions[] = {
#define R(name, opcode, modrm) { name, opcode, modrm, NONE },
#define M(name, opcode, reg, operand) { name, opcode, (reg) << 3 | 7, operand },
#define ARITHMETIC(suffix, opcode, operand) M("fadd " suffix, opcode, 0, operand) M("fmul " suffix, opcode, 1, operand) \
  M("fcom " suffix, opcode, 2, operand) M("fcomp " suffix, opcode, 3, operand) M("fsub " suffix, opcode, 4, operand) \
  M("fsubr " suffix, opcode, 5, operand) M("fdiv " suffix, opcode, 6, operand) M("fdivr " suffix, opcode, 7, operand)
  ARITHMETIC("m32", 0xd8, M32) ARITHMETIC("m32int", 0xda, M32INT) ARITHMETIC("m64", 0xdc, M64) ARITHMETIC("m16int", 0xde, M16INT)
  R("fadd st0,st1", 0xd8, 0xc1) R("fmul st0,st1", 0xd8, 0xc9) R("fcom st1", 0xd8, 0xd1) R("fcomp st1", 0xd8, 0xd9)
  R("fsub st0,st1", 0xd8, 0xe1) R("fsubr st0,st1", 0xd8, 0xe9) R("fdiv st0,st1", 0xd8, 0xf1) R("fdivr st0,st1", 0xd8, 0xf9)
  R("fadd st0,st0", 0xd8, 0xc0)
  R("fadd st1,st0", 0xdc, 0xc1) R("fmul st1,st0", 0xdc, 0xc9) R("fsubr st1,st0", 0xdc, 0xe1) R("fsub st1,st0", 0xdc, 0xe9)
  R("fdivr st1,st0", 0xdc, 0xf1) R("fdiv st1,st0", 0xdc, 0xf9) R("fcom2 st1", 0xdc, 0xd1) R("fcomp3 st1", 0xdc, 0xd9)
  R("faddp", 0xde, 0xc1) R("fmulp", 0xde, 0xc9) R("fsubrp", 0xde, 0xe1) R("fsubp", 0xde, 0xe9) R("fdivrp", 0xde, 0xf1)
  R("fdivp", 0xde, 0xf9) R("fcomp5 st1", 0xde, 0xd1) R("fcompp", 0xde, 0xd9) R("faddp st0,st0", 0xde, 0xc0)
  R("fld st1", 0xd9, 0xc1) R("fld st0", 0xd9, 0xc0) R("fxch st1", 0xd9, 0xc9) R("fnop", 0xd9, 0xd0) R("fstp1 st1", 0xd9, 0xd9)
  R("fchs", 0xd9, 0xe0) R("fabs", 0xd9, 0xe1) R("ftst", 0xd9, 0xe4) R("fxam", 0xd9, 0xe5)
  R("fld1", 0xd9, 0xe8) R("fldl2t", 0xd9, 0xe9) R("fldl2e", 0xd9, 0xea) R("fldpi", 0xd9, 0xeb) R("fldlg2", 0xd9, 0xec)
  R("fldln2", 0xd9, 0xed) R("fldz", 0xd9, 0xee)
  R("f2xm1", 0xd9, 0xf0) R("fyl2x", 0xd9, 0xf1) R("fptan", 0xd9, 0xf2) R("fpatan", 0xd9, 0xf3) R("fxtract", 0xd9, 0xf4)
  R("fprem1", 0xd9, 0xf5) R("fdecstp", 0xd9, 0xf6) R("fincstp", 0xd9, 0xf7) R("fprem", 0xd9, 0xf8) R("fyl2xp1", 0xd9, 0xf9)
  R("fsqrt", 0xd9, 0xfa) R("fsincos", 0xd9, 0xfb) R("frndint", 0xd9, 0xfc) R("fscale", 0xd9, 0xfd) R("fsin", 0xd9, 0xfe)
  R("fcos", 0xd9, 0xff)
  R("fcmovb", 0xda, 0xc1) R("fcmove", 0xda, 0xc9) R("fcmovbe", 0xda, 0xd1) R("fcmovu", 0xda, 0xd9) R("fucompp", 0xda, 0xe9)
  R("fcmovnb", 0xdb, 0xc1) R("fcmovne", 0xdb, 0xc9) R("fcmovnbe", 0xdb, 0xd1) R("fcmovnu", 0xdb, 0xd9) R("fnclex", 0xdb, 0xe2)
  R("fninit", 0xdb, 0xe3) R("fucomi st1", 0xdb, 0xe9) R("fcomi st1", 0xdb, 0xf1)
  R("ffree st1", 0xdd, 0xc1) R("fxch4 st1", 0xdd, 0xc9) R("fst st1", 0xdd, 0xd1) R("fstp st1", 0xdd, 0xd9) R("fucom st1", 0xdd, 0xe1)
  R("fucomp st1", 0xdd, 0xe9)
  R("ffreep st1", 0xdf, 0xc1) R("fxch7 st1", 0xdf, 0xc9) R("fstp8 st1", 0xdf, 0xd1) R("fstp9 st1", 0xdf, 0xd9)
  R("fucomip st1", 0xdf, 0xe9) R("fcomip st1", 0xdf, 0xf1)
  M("fld m32", 0xd9, 0, M32) M("fst m32", 0xd9, 2, STORE) M("fstp m32", 0xd9, 3, STORE)
  M("fild m32int", 0xdb, 0, M32INT) M("fisttp m32int", 0xdb, 1, STORE) M("fist m32int", 0xdb, 2, STORE)
  M("fistp m32int", 0xdb, 3, STORE) M("fld m80", 0xdb, 5, M80) M("fstp m80", 0xdb, 7, STORE)
  M("fld m64", 0xdd, 0, M64) M("fisttp m64int", 0xdd, 1, STORE) M("fst m64", 0xdd, 2, STORE) M("fstp m64", 0xdd, 3, STORE)
  M("fild m16int", 0xdf, 0, M16INT) M("fisttp m16int", 0xdf, 1, STORE) M("fist m16int", 0xdf, 2, STORE)
  M("fistp m16int", 0xdf, 3, STORE) M("fbld", 0xdf, 4, BCD) M("fild m64int", 0xdf, 5, M64INT) M("fbstp", 0xdf, 6, STORE)
  M("fistp m64int", 0xdf, 7, STORE)
};

static void run(uint8_t *code, const uint8_t *instruction, unsigned length, void *memory, struct image *in, struct image *out,
                struct registers *registers) {
  static const uint8_t before[] = { 0xdd, 0x26, 0xff, 0x31, 0x9d };                               /* frstor; push [rcx]; popfq */
  static const uint8_t after[] = { 0xdd, 0x32, 0x9c, 0x8f, 0x01, 0x48, 0x89, 0x41, 0x08, 0xc3 }; /* fnsave; pushfq; pop; mov; ret */
  uint8_t *p = code;
  memcpy(p, before, sizeof before), p += sizeof before;
  memcpy(p, instruction, length), p += length;
  memcpy(p, after, sizeof after);
  ((void (*)(void *, struct image *, struct image *, struct registers *))code)(memory, in, out, registers);
}

static void random_memory(uint8_t *memory, enum operand operand) {
  uint64_t bits = next_random();
  struct extended e;
  memset(memory, 0xcc, 10);
  switch (operand) {
    case M16INT: case M32INT: case M64INT:
      bits = (int64_t)(below(2) ? bits : random_bits()) >> below(64);
      memcpy(memory, &bits, operand == M16INT ? 2 : operand == M32INT ? 4 : 8);
      break;
    case M32: bits = random_binary32(); memcpy(memory, &bits, 4); break;
    case M64: bits = random_binary64(); memcpy(memory, &bits, 8); break;
    case M80: e = random_extended(); memcpy(memory, &e, 10); break;
    case BCD:
      for (int i = 0; i < 9; i++) memory[i] = below(3) ? (uint8_t)(below(10) << 4 | below(10)) : 0;
      memory[9] = (uint8_t)(below(2) << 7 | (below(4) ? 0 : below(128)));
      break;
    default: break;
  }
}

static unsigned random_control_word(void) {
  static const unsigned precisions[] = { 3, 3, 0, 2 };
  unsigned masks = below(3) ? 0x3f : below(64);
  return 0x40 | masks | precisions[below(4)] << 8 | below(4) << 10;
}

static void make_vector(uint8_t *code, unsigned index, struct record *record) {
  uint8_t instruction[2] = { instructions[index].opcode, instructions[index].modrm };
  struct image in, out;
  struct registers registers;
  unsigned top = below(8), empty = below(12) ? 0 : below(256), full_tags = 0;
  uint8_t memory[16];
  memset(&in, 0, sizeof in);
  memset(record, 0, sizeof *record);
  if (below(3)) empty |= 0x80; /* room to push */
  for (unsigned i = 0; i < 8; i++) {
    in.st[i] = make_extended(0x3fff + i, 0xc000000000000000ull | i);
    if (empty >> i & 1) full_tags |= 3u << ((top + i) % 8 * 2);
  }
  in.st[0] = random_extended();
  in.st[1] = random_extended();
  if (!below(5)) { /* related operands: cancellation, equality, exact quotients */
    in.st[1] = in.st[0];
    if (below(2)) in.st[1].top ^= 0x8000;
    if (below(2)) in.st[1].significand ^= 1ull << below(63);
    if (below(3) == 0) in.st[1].top += (uint16_t)(below(5) - 2);
  }
  if (strcmp(instructions[index].name, "fscale") == 0 && below(2)) in.st[1].top = (uint16_t)(below(2) << 15 | (0x3fff + below(17)));
  if (strcmp(instructions[index].name, "fyl2xp1") == 0 && below(4)) in.st[0].top = (uint16_t)(below(2) << 15 | (0x3ffd - below(70)));
  if (strcmp(instructions[index].name, "f2xm1") == 0 && below(4)) in.st[0].top = (uint16_t)(below(2) << 15 | (0x3ffe - below(70)));
  in.fcw = random_control_word();
  in.fsw = top << 11 | (unsigned)(next_random() & 0x4700) | (below(4) ? 0 : (unsigned)next_random() & in.fcw & 0x3f);
  in.ftw = full_tags;
  random_memory(memory, instructions[index].operand);
  registers.rflags = 0x202 | (next_random() & 0x45);
  record->fcw = (uint16_t)in.fcw;
  record->fsw = (uint16_t)in.fsw;
  record->abridged_tags = (uint8_t)~empty;
  record->flags = (uint8_t)(registers.rflags & 0x45);
  record->st0 = in.st[0];
  record->st1 = in.st[1];
  memcpy(record->memory, memory, 10);
  run(code, instruction, 2, memory, &in, &out, &registers);
  unsigned moved = (out.fsw >> 11) - top; /* out.st[i] is the old ST(i + moved) */
  for (unsigned i = 2; i < 7; i++)
    if (memcmp(&out.st[(i - moved) & 7], &in.st[i], 10)) { fprintf(stderr, "%s: ST%u changed\n", instructions[index].name, i); exit(1); }
  record->fcw_after = (uint16_t)out.fcw;
  record->fsw_after = (uint16_t)out.fsw;
  record->ftw_after = (uint16_t)out.ftw;
  record->flags_after = (uint8_t)(registers.rflags & 0x45);
  record->st0_after = out.st[-moved & 7];
  record->st1_after = out.st[(1 - moved) & 7];
  record->st7_after = out.st[(7 - moved) & 7];
  memcpy(record->memory_after, memory, 10);
}

int main(int argc, char **argv) {
  unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 400;
  uint8_t *code = new_code();
  struct record *records = calloc(count, sizeof *records);
  for (unsigned i = 0; i < sizeof instructions / sizeof *instructions; i++) {
    char text[8];
    snprintf(text, sizeof text, "%02x%02x", instructions[i].opcode, instructions[i].modrm);
    for (unsigned n = 0; n < count; n++) make_vector(code, i, &records[n]);
    write_section(instructions[i].name, text, (uint8_t *)records, count, sizeof *records);
  }
  return 0;
}
