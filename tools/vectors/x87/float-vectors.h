/*
 * Shared by the generators of floating-point vectors: pseudo-random operands with many corner cases, thunks that run one
 * instruction given as bytes, and the vector file's writer.
 *
 * File: a line of JSON per section {"name", "code", "count", "size"} followed by a newline and count * size bytes, transposed (byte 0
 * of every record, then byte 1 of every record, ...) because that compresses best.
 */
#ifndef FLOAT_VECTORS_H
#define FLOAT_VECTORS_H
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t random_state = 0x9e3779b97f4a7c15ull;
static uint64_t next_random(void) {
  uint64_t z = (random_state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static unsigned below(unsigned n) { return (unsigned)(next_random() >> 33) % n; }

/* A significand with structure: few bits, long runs, halfway patterns, or plain noise. */
static uint64_t random_bits(void) {
  uint64_t r = next_random();
  switch (below(7)) {
    case 0: return 0;
    case 1: return 1ull << below(64);
    case 2: return ~0ull << below(64);
    case 3: return r & (~0ull << (8 + below(56)));
    case 4: return (1ull << below(64)) | (1ull << below(64));
    case 5: return ~0ull >> below(64);
    default: return r;
  }
}

static inline uint16_t random_binary16(void) {
  static const uint16_t corners[] = {
    0, 1, 0x03ff, 0x0400, 0x0401, 0x07ff, 0x3c00, 0x3c01, 0x3bff, 0x7bff, 0x7c00, 0x7c01, 0x7dff, 0x7e00, 0x7e01, 0x7fff,
  };
  uint16_t sign = (uint16_t)(below(2) << 15);
  switch (below(3)) {
    case 0: return sign | corners[below(sizeof corners / sizeof *corners)];
    case 1: return sign | (uint16_t)(random_bits() >> 54);
    default: return (uint16_t)next_random();
  }
}

static uint32_t random_binary32(void) {
  static const uint32_t corners[] = {
    0, 1, 0x007fffff, 0x00800000, 0x00800001, 0x00ffffff, 0x3f800000, 0x3f800001, 0x3f7fffff, 0x40000000, 0x3f000000, 0x3fc00000,
    0x40200000, 0x7f7fffff, 0x7f7ffffe, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fc00001, 0x7fffffff, 0x4effffff,
    0x4f000000, 0x4f000001, 0x5f000000, 0x5effffff, 0x4b000000, 0x4affffff, 0x4b7fffff, 0x34000000, 0x00400000, 0x1f800000,
  };
  uint32_t sign = (uint32_t)below(2) << 31, fraction = (uint32_t)(random_bits() >> 41);
  switch (below(6)) {
    case 0: return sign | corners[below(sizeof corners / sizeof *corners)];
    case 1: return sign | fraction;
    case 2: return (uint32_t)next_random();
    case 3: return sign | (below(2) ? below(40) : 254 - below(40)) << 23 | fraction;
    default: return sign | (127 - 34 + below(70)) << 23 | fraction;
  }
}

static uint64_t random_binary64(void) {
  static const uint64_t corners[] = {
    0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001, 0x001fffffffffffff, 0x3ff0000000000000, 0x3ff0000000000001,
    0x3fefffffffffffff, 0x4000000000000000, 0x3fe0000000000000, 0x3ff8000000000000, 0x4004000000000000, 0x7fefffffffffffff,
    0x7ff0000000000000, 0x7ff0000000000001, 0x7ff7ffffffffffff, 0x7ff8000000000000, 0x7ff8000000000001, 0x7fffffffffffffff,
    0x41dfffffffc00000, 0x41e0000000000000, 0x41dfffffffe00000, 0x41e0000000100000, 0x43e0000000000000, 0x43dfffffffffffff,
    0x4330000000000000, 0x47efffffe0000000, 0x47effffff0000000, 0x47f0000000000000, 0x3810000000000000, 0x380fffffffffffff,
    0x3690000000000000, 0x36a0000000000000, 0x380fffffe0000000, 0x380ffffff0000000, 0x43f0000000000000, 0x1ff0000000000000,
  };
  uint64_t sign = (uint64_t)below(2) << 63, fraction = random_bits() >> 12;
  switch (below(7)) {
    case 0: return sign | corners[below(sizeof corners / sizeof *corners)];
    case 1: return sign | fraction;
    case 2: return next_random();
    case 3: return sign | (uint64_t)(below(2) ? below(80) : 2046 - below(80)) << 52 | fraction;
    case 4: return sign | (uint64_t)(below(2) ? 1023 - 152 + below(40) : 1023 + 110 + below(40)) << 52 | fraction;
    default: return sign | (uint64_t)(1023 - 64 + below(132)) << 52 | fraction;
  }
}

struct extended { uint64_t significand; uint16_t top; } __attribute__((packed));

static struct extended make_extended(unsigned top, uint64_t significand) {
  struct extended e = { significand, (uint16_t)top };
  return e;
}

static inline struct extended random_extended(void) {
  static const struct { uint16_t exponent; uint64_t significand; } corners[] = {
    { 0, 0 }, { 0, 1 }, { 0, 0x7fffffffffffffff }, { 0, 0x8000000000000000 }, { 0, 0xffffffffffffffff }, { 1, 0x8000000000000000 },
    { 1, 0x8000000000000001 }, { 1, 0xffffffffffffffff }, { 0x7ffe, 0xffffffffffffffff }, { 0x7ffe, 0x8000000000000000 },
    { 0x7fff, 0x8000000000000000 }, { 0x7fff, 0xc000000000000000 }, { 0x7fff, 0xc000000000000001 }, { 0x7fff, 0xffffffffffffffff },
    { 0x7fff, 0x8000000000000001 }, { 0x7fff, 0xbfffffffffffffff }, { 0x7fff, 0 }, { 0x7fff, 1 }, { 0x7fff, 0x4000000000000000 },
    { 0x3fff, 0 }, { 1, 0x4000000000000000 }, { 0x4001, 0x7fffffffffffffff }, { 0x3fff, 0x8000000000000000 },
    { 0x3fff, 0x8000000000000001 }, { 0x3ffe, 0xffffffffffffffff }, { 0x3ffe, 0x8000000000000000 }, { 0x3fff, 0xc000000000000000 },
    { 0x4000, 0x8000000000000000 }, { 0x4000, 0xa000000000000000 }, { 0x400d, 0xfffe000000000000 }, { 0x400d, 0xffff000000000000 },
    { 0x400e, 0x8000000000000000 }, { 0x401d, 0xfffffffe00000000 }, { 0x401d, 0xffffffff00000000 }, { 0x401e, 0x8000000000000000 },
    { 0x401e, 0x8000000080000000 }, { 0x403d, 0xffffffffffffffff }, { 0x403e, 0x8000000000000000 }, { 0x403e, 0xffffffffffffffff },
    { 0x407e, 0xffffff0000000000 }, { 0x407e, 0xffffff8000000000 }, { 0x407e, 0xffffff7fffffffff }, { 0x3f81, 0x8000000000000000 },
    { 0x3f80, 0xffffff8000000000 }, { 0x3f80, 0xffffff0000000000 }, { 0x3f6a, 0x8000000000000000 }, { 0x3f69, 0x8000000000000000 },
    { 0x43fe, 0xfffffffffffff800 }, { 0x43fe, 0xfffffffffffffc00 }, { 0x3c01, 0x8000000000000000 }, { 0x3c00, 0xfffffffffffffc00 },
    { 0x3bcd, 0x8000000000000000 }, { 0x3bcc, 0x8000000000000000 }, { 0x4038, 0xde0b6b3a763ffff0 }, { 0x4038, 0xde0b6b3a76400000 },
  };
  unsigned sign = below(2) << 15;
  uint64_t fraction = random_bits(), integer = 1ull << 63;
  unsigned c;
  switch (below(9)) {
    case 0:
      c = below(sizeof corners / sizeof *corners);
      return make_extended(sign | corners[c].exponent, corners[c].significand);
    case 1: return make_extended(sign, fraction);
    case 2: return below(4) ? make_extended(sign | 0x7fff, fraction | integer) : make_extended((unsigned)next_random(), next_random());
    case 3: return make_extended(sign | (below(2) ? 1 + below(90) : 0x7ffe - below(90)), fraction | integer);
    case 4: return make_extended(sign | ((below(2) ? 0x3f81 - 30 : 0x407e - 10) + below(40)), fraction | integer);
    case 5: return make_extended(sign | ((below(2) ? 0x3c01 - 60 : 0x43fe - 10) + below(70)), fraction | integer);
    default: return make_extended(sign | (0x3fff - 70 + below(142)), fraction | integer);
  }
}

static uint8_t *new_code(void) {
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) { perror("mmap"); exit(1); }
  return code;
}

static void write_section(const char *name, const char *code, const uint8_t *records, unsigned count, unsigned size) {
  printf("{\"name\":\"%s\",\"code\":\"%s\",\"count\":%u,\"size\":%u}\n", name, code, count, size);
  for (unsigned column = 0; column < size; column++)
    for (unsigned i = 0; i < count; i++) putchar(records[i * size + column]);
}
#endif
