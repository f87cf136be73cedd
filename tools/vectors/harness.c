/*
 * Executes single instructions on the real processor and writes down what they did.
 *
 *   harness INPUT OUTPUT
 *
 * INPUT holds initial states and instructions, OUTPUT receives the outcomes; record.ts makes the one and reads the other, and both
 * formats are the structs below. Linux on x86-64 only.
 *
 * How: a signal handler writes the wanted state into its own ucontext and returns. The kernel loads all of it (general registers,
 * flags, CS and SS, the XSAVE image), the processor executes one instruction with RFLAGS.TF set, and the next signal shows the state
 * after it. A return with CS = 0x23, or with a 16-bit code segment of the LDT, executes in compatibility mode. Instructions that TF
 * would disturb (REP stops after each iteration, PUSHF shows TF, MOV SS delays the trap) run without it, into an INT3 behind them.
 *
 * The instructions run in a child process, which writes outcomes into shared memory: if one kills or hangs the child, the parent
 * marks it and starts a new child behind it.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* The address space of a vector; test/vectors/environment.ts describes it for the reader. */
#define CODE 0x10000000ul
#define CODE_SIZE 0x2000ul
#define DATA 0x20000000ul
#define WRITABLE_SIZE 0x2000ul
#define DATA_SIZE 0x3000ul

/* Words of a state; test/vectors/state.ts. */
enum { RIP = 16, RFLAGS = 17, SELECTORS = 18, SELECTORS_FS_GS = 19, FS_BASE = 20, GS_BASE = 21, X87 = 22, MXCSR = 23, STACK = 24, XMM = 40, YMM_HIGH = 72, WORDS = 104 };

enum { MODE_64, MODE_32, MODE_16 };
enum { STOP_BY_TRAP_FLAG, STOP_BY_INT3 };
enum { COMPLETED, EXCEPTION, LOST };

struct header {
  uint32_t vectors, descriptors;
  uint64_t descriptor[16];
  uint8_t background[DATA_SIZE];
};

struct input {
  uint32_t size; /* of this record with its patches */
  uint8_t mode, stop, length, patches;
  uint8_t code[16];
  uint64_t state[WORDS];
};

struct output {
  uint32_t size;
  uint8_t status, vector;
  uint16_t patches;
  uint64_t error, address;
  uint64_t state[WORDS];
};

struct patch {
  uint16_t offset, length;
};

/* What parent and child share. */
struct progress {
  volatile uint32_t vector;
  volatile uint64_t input, output;
};

static const struct header *header;
static const uint8_t *inputs;
static uint8_t *outputs;
static struct progress *progress;
static uint8_t *code_alias;
static ucontext_t home;
static struct _libc_fpstate home_fpu;
static unsigned long home_fs_base;
static int started;

/* Segment registers at the signal, stored by the entry code before any C runs. */
static struct {
  uint64_t fs_base, gs_base;
  uint16_t ds, es, fs, gs;
} segments __attribute__((used));

static void die(const char *what) {
  perror(what);
  exit(1);
}

static const struct input *current_input(void) { return (const struct input *)(inputs + progress->input); }
static struct output *current_output(void) { return (struct output *)(outputs + progress->output); }

/* --- before the instruction --- */

static void load_general(ucontext_t *uc, const uint64_t *state, int stop) {
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) uc->uc_mcontext.gregs[order[i]] = state[i];
  uc->uc_mcontext.gregs[REG_RIP] = state[RIP];
  uc->uc_mcontext.gregs[REG_EFL] = state[RFLAGS] | (stop == STOP_BY_TRAP_FLAG ? 0x100 : 0);
  uint64_t cs = state[SELECTORS] >> 16 & 0xffff, ss = state[SELECTORS] >> 32 & 0xffff;
  uc->uc_mcontext.gregs[REG_CSGSFS] = cs | ss << 48;
}

/* Of an XSAVE image in the standard format: which components it holds, and where the upper halves of the YMM registers are. */
enum { IMAGE_COMPONENTS = 512, IMAGE_YMM_HIGH = 576, COMPONENT_AVX = 4 };

/* FXSAVE keeps the stack in the order ST0..ST7, a state keeps the physical registers. */
static void load_fpu(ucontext_t *uc, const uint64_t *state) {
  uint8_t *image = (uint8_t *)uc->uc_mcontext.fpregs;
  unsigned top = state[X87] >> 27 & 7;
  memset(image, 0, 24);
  memcpy(image, &state[X87], 4);
  image[4] = state[X87] >> 32;
  memcpy(image + 24, &state[MXCSR], 4);
  for (int i = 0; i < 8; i++) memcpy(image + 32 + 16 * i, &state[STACK + 2 * ((i + top) & 7)], 16);
  memcpy(image + 160, &state[XMM], 256);
  memcpy(image + IMAGE_YMM_HIGH, &state[YMM_HIGH], 256);
  uint64_t components = 7;
  memcpy(image + IMAGE_COMPONENTS, &components, 8);
}

static void load_segments(const struct input *in) {
  uint64_t first = in->state[SELECTORS], second = in->state[SELECTORS_FS_GS];
  uint16_t es = first, ds = first >> 48, fs = second, gs = second >> 16;
  __asm__ volatile("mov %0, %%es\n mov %1, %%ds\n mov %2, %%fs\n mov %3, %%gs" : : "r"(es), "r"(ds), "r"(fs), "r"(gs));
  if (in->mode != MODE_64) return;
  __asm__ volatile("wrfsbase %0\n wrgsbase %1" : : "r"(in->state[FS_BASE]), "r"(in->state[GS_BASE]));
}

static uint8_t *code_of(const struct input *in) {
  return code_alias + (in->mode == MODE_16 ? in->state[RIP] : in->state[RIP] - CODE);
}

static void load_memory(const struct input *in) {
  const uint8_t *at = (const uint8_t *)(in + 1);
  memcpy((void *)DATA, header->background, WRITABLE_SIZE);
  for (int i = 0; i < in->patches; i++) {
    struct patch patch;
    memcpy(&patch, at, sizeof patch);
    memcpy((void *)(DATA + patch.offset), at + sizeof patch, patch.length);
    at += sizeof patch + patch.length;
  }
  memcpy(code_of(in), in->code, in->length);
}

static uint8_t before[WRITABLE_SIZE];

static void load(ucontext_t *uc) {
  const struct input *in = current_input();
  load_memory(in);
  memcpy(before, (void *)DATA, WRITABLE_SIZE);
  load_general(uc, in->state, in->stop);
  load_fpu(uc, in->state);
  load_segments(in);
}

/* --- after it --- */

static void store_general(const ucontext_t *uc, uint64_t *state) {
  const greg_t *g = uc->uc_mcontext.gregs;
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) state[i] = g[order[i]];
  state[RIP] = g[REG_RIP];
  state[RFLAGS] = g[REG_EFL] & ~0x10100ul; /* without RF and TF */
  uint64_t cs = g[REG_CSGSFS] & 0xffff, ss = (uint64_t)g[REG_CSGSFS] >> 48;
  state[SELECTORS] = segments.es | cs << 16 | ss << 32 | (uint64_t)segments.ds << 48;
  state[SELECTORS_FS_GS] = segments.fs | (uint64_t)segments.gs << 16;
  state[FS_BASE] = segments.fs_base;
  state[GS_BASE] = segments.gs_base;
}

static void store_fpu(const ucontext_t *uc, uint64_t *state) {
  const uint8_t *image = (const uint8_t *)uc->uc_mcontext.fpregs;
  state[X87] = 0;
  memcpy(&state[X87], image, 4);
  state[X87] |= (uint64_t)image[4] << 32;
  state[MXCSR] = 0;
  memcpy(&state[MXCSR], image + 24, 4);
  unsigned top = state[X87] >> 27 & 7;
  for (int i = 0; i < 8; i++) {
    uint64_t *to = &state[STACK + 2 * ((i + top) & 7)];
    memcpy(to, image + 32 + 16 * i, 16);
    to[1] &= 0xffff;
  }
  memcpy(&state[XMM], image + 160, 256);
  if (image[IMAGE_COMPONENTS] & COMPONENT_AVX) memcpy(&state[YMM_HIGH], image + IMAGE_YMM_HIGH, 256);
  else memset(&state[YMM_HIGH], 0, 256);
}

/* Appends the runs of changed bytes; runs less than eight bytes apart become one. Returns the end. */
static uint8_t *store_memory(struct output *out) {
  const uint8_t *after = (const uint8_t *)DATA;
  uint8_t *at = (uint8_t *)(out + 1);
  out->patches = 0;
  if (memcmp(before, after, WRITABLE_SIZE) == 0) return at;
  for (unsigned i = 0; i < WRITABLE_SIZE; i++) {
    if (before[i] == after[i]) continue;
    unsigned end = i + 1;
    for (unsigned j = end; j < WRITABLE_SIZE && j < end + 8; j++) if (before[j] != after[j]) end = j + 1;
    struct patch patch = {i, end - i};
    memcpy(at, &patch, sizeof patch);
    memcpy(at + sizeof patch, after + i, patch.length);
    at += sizeof patch + patch.length;
    out->patches++;
    i = end - 1;
  }
  return at;
}

static int stopped_at_int3(const struct input *in, const ucontext_t *uc) {
  if (in->stop != STOP_BY_INT3 || uc->uc_mcontext.gregs[REG_TRAPNO] != 3) return 0;
  return (uint64_t)uc->uc_mcontext.gregs[REG_RIP] != in->state[RIP] + 1;
}

static void store_status(const struct input *in, const ucontext_t *uc, struct output *out) {
  const greg_t *g = uc->uc_mcontext.gregs;
  int trapped = in->stop == STOP_BY_TRAP_FLAG && g[REG_TRAPNO] == 1;
  out->status = EXCEPTION;
  out->vector = g[REG_TRAPNO];
  out->error = g[REG_ERR];
  out->address = g[REG_CR2];
  if (stopped_at_int3(in, uc)) out->state[RIP]--;
  else if (!trapped) return;
  out->status = COMPLETED;
}

static void store(const ucontext_t *uc) {
  const struct input *in = current_input();
  struct output *out = current_output();
  store_general(uc, out->state);
  store_fpu(uc, out->state);
  store_status(in, uc, out);
  uint8_t *end = store_memory(out);
  memset(code_of(in), 0xcc, in->length);
  out->size = end - (uint8_t *)out;
  progress->output += out->size;
  progress->input += in->size;
  progress->vector++;
}

/* --- the loop --- */

static void go_home(ucontext_t *uc) {
  memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
  memcpy(uc->uc_mcontext.fpregs, &home_fpu, sizeof home_fpu);
  __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs\n wrfsbase %1" : : "r"(0), "r"(home_fs_base));
}

__attribute__((used)) static void on_signal(int signal, siginfo_t *info, ucontext_t *uc) {
  (void)signal, (void)info;
  if (started) store(uc);
  else {
    started = 1;
    home = *uc;
    home_fpu = *uc->uc_mcontext.fpregs;
  }
  if (progress->vector < header->vectors) load(uc);
  else go_home(uc);
}

/* The instruction may have set AC, NT or ID and changed any segment register; C must not see that. */
void signal_entry(int, siginfo_t *, void *);
__asm__(
    ".text\n"
    "signal_entry:\n"
    "  pushq $0x202\n"
    "  popfq\n"
    "  mov %ds, 16+segments(%rip)\n"
    "  mov %es, 18+segments(%rip)\n"
    "  mov %fs, 20+segments(%rip)\n"
    "  mov %gs, 22+segments(%rip)\n"
    "  rdfsbase %rax\n"
    "  mov %rax, segments(%rip)\n"
    "  rdgsbase %rax\n"
    "  mov %rax, 8+segments(%rip)\n"
    "  jmp on_signal\n");

static void install_handlers(void) {
  static uint8_t stack[1 << 18];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  if (sigaltstack(&alternate, 0)) die("sigaltstack");
  static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (unsigned j = 0; j < sizeof signals / sizeof *signals; j++) sigdelset(&action.sa_mask, signals[j]);
    if (sigaction(signals[i], &action, 0)) die("sigaction");
  }
}

static void install_descriptor(unsigned entry, uint64_t d) {
  struct user_desc u = {0};
  u.entry_number = entry;
  u.base_addr = (d >> 16 & 0xffffff) | (d >> 56) << 24;
  u.limit = (d & 0xffff) | (d >> 48 & 0xf) << 16;
  unsigned type = d >> 40 & 0xf;
  u.contents = type >> 2;
  u.read_exec_only = !(type >> 1 & 1);
  u.seg_not_present = !(d >> 47 & 1);
  u.useable = d >> 52 & 1;
  u.seg_32bit = d >> 54 & 1;
  u.limit_in_pages = d >> 55 & 1;
  if (syscall(SYS_modify_ldt, 0x11, &u, sizeof u)) die("modify_ldt");
}

static void run_child(void) {
  __asm__ volatile("rdfsbase %0" : "=r"(home_fs_base));
  for (unsigned i = 0; i < header->descriptors; i++) install_descriptor(i, header->descriptor[i]);
  install_handlers();
  __asm__ volatile("int3" : : : "memory");
  _exit(0);
}

static void *map(unsigned long at, size_t size, int protection, int flags, int file) {
  void *p = mmap((void *)at, size, protection, flags | (at ? MAP_FIXED : 0), file, 0);
  if (p == MAP_FAILED) die("mmap");
  return p;
}

static void map_guest(void) {
  int file = memfd_create("code", 0);
  if (file < 0 || ftruncate(file, CODE_SIZE)) die("memfd");
  map(CODE, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_POPULATE, file);
  code_alias = map(0, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  memset(code_alias, 0xcc, CODE_SIZE);
  map(DATA, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1);
  memcpy((void *)DATA, header->background, DATA_SIZE);
  if (mprotect((void *)(DATA + WRITABLE_SIZE), DATA_SIZE - WRITABLE_SIZE, PROT_READ)) die("mprotect");
}

static void map_input(const char *name) {
  int file = open(name, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status)) die(name);
  header = map(0, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file);
  inputs = (const uint8_t *)(header + 1);
}

/* The child hung or died in the current vector: note it and step over it. */
static void lose(void) {
  struct output *out = current_output();
  memset(out, 0, sizeof *out);
  out->status = LOST;
  out->size = sizeof *out;
  memset(code_alias, 0xcc, CODE_SIZE);
  progress->output += out->size;
  progress->input += current_input()->size;
  progress->vector++;
}

/* Waits for the child, and kills it when it makes no progress for a second. A child that gave up by itself ends the parent too. */
static void wait_for(pid_t child) {
  uint32_t seen = progress->vector;
  int status;
  for (int idle = 0; waitpid(child, &status, WNOHANG) == 0; idle++) {
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, 0);
    if (progress->vector != seen) idle = 0;
    seen = progress->vector;
    if (idle > 100) kill(child, SIGKILL);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: harness INPUT OUTPUT\n"), 2;
  map_input(argv[1]);
  progress = map(0, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  outputs = map(0, 1ul << 31, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  map_guest();
  while (progress->vector < header->vectors) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) run_child();
    wait_for(child);
    if (progress->vector < header->vectors) lose();
  }
  int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) die(argv[2]);
  for (uint64_t done = 0; done < progress->output;) {
    ssize_t n = write(file, outputs + done, progress->output - done);
    if (n <= 0) die(argv[2]);
    done += n;
  }
  return 0;
}
