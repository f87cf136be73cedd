/*
 * Runs whole programs on the real processor and writes down the state at each of their faults.
 *
 *   harness INPUT OUTPUT
 *
 * The formats are the structs below; native.ts makes the one and reads the other. Linux on x86-64 only.
 *
 * How: the pages of a program are mapped where it expects them. A signal handler writes the program's state into its own ucontext and
 * returns. The next signal is a fault of the program: the handler records it, then leads the program to its own handler with the
 * address behind the instruction in R11, or, if the fault is none that is resumed, starts the next program. A timer ends programs that
 * do not end by themselves. They run in a child process: if one kills it, the parent starts another behind that program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* The address space of a program; test/vectors/environment.ts and test/differential/hot/registers.ts. */
#define CODE 0x10000000ul
#define CODE_SIZE 0x2000ul
#define DATA 0x20000000ul
#define WRITABLE_SIZE 0x2000ul
#define DATA_SIZE 0x3000ul
#define STACK (DATA + 0x8000)
#define STACK_SIZE 0x2000ul

/* test/differential/hot/outcome.ts. */
#define MAXIMUM_EVENTS 48
#define FAULTS_OF_ONE 3

enum { RIP = 16, RFLAGS = 17, MXCSR = 18, XMM = 19, WORDS = 51 };
#define RF 0x10000ul
#define LOST 0xffffffffu
#define MILLISECONDS 300

struct header {
  uint32_t programs, unused;
  uint8_t background[DATA_SIZE];
};

struct input {
  uint32_t handler, unused; /* offset in the code pages */
  uint64_t state[WORDS];
  uint8_t code[CODE_SIZE];
  uint8_t lengths[CODE_SIZE];
};

struct event {
  uint32_t vector, error, memory, unused;
  uint64_t address, state[WORDS];
};

struct output {
  uint32_t events, unused;
  struct event event[MAXIMUM_EVENTS];
};

static const struct header *header;
static const struct input *inputs;
static struct output *outputs;
static volatile uint32_t *current;
static uint8_t counts[CODE_SIZE];
static ucontext_t home;
static struct _libc_fpstate home_fpu;
static int started;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void arm(unsigned milliseconds) {
  struct itimerval timer = {.it_value = {.tv_usec = milliseconds * 1000}};
  setitimer(ITIMER_VIRTUAL, &timer, 0);
}

static void load(ucontext_t *uc) {
  const struct input *in = &inputs[*current];
  memcpy((void *)CODE, in->code, CODE_SIZE);
  memcpy((void *)DATA, header->background, WRITABLE_SIZE);
  memset((void *)STACK, 0, STACK_SIZE);
  memset(counts, 0, sizeof counts);
  greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) g[order[i]] = in->state[i];
  g[REG_RIP] = in->state[RIP];
  g[REG_EFL] = in->state[RFLAGS];
  uint8_t *image = (uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(image + 24, &in->state[MXCSR], 4);
  memcpy(image + 160, &in->state[XMM], 256);
  image[512] |= 3;
  arm(MILLISECONDS);
}

static uint32_t digest(uint32_t sum, unsigned long at, unsigned long size) {
  const uint32_t *words = (const uint32_t *)at;
  for (unsigned long n = 0; n < size / 4; n++) sum = ((sum << 5 | sum >> 27) ^ words[n]) * 0x9e3779b1u;
  return sum;
}

static uint32_t digest_memory(void) {
  return digest(digest(digest(0, CODE, CODE_SIZE), DATA, WRITABLE_SIZE), STACK, STACK_SIZE);
}

static void record(const ucontext_t *uc, struct event *e) {
  const greg_t *g = uc->uc_mcontext.gregs;
  const uint8_t *image = (const uint8_t *)uc->uc_mcontext.fpregs;
  e->vector = g[REG_TRAPNO];
  e->error = g[REG_ERR];
  e->address = g[REG_CR2];
  for (int i = 0; i < 16; i++) e->state[i] = g[order[i]];
  e->state[RIP] = g[REG_RIP];
  e->state[RFLAGS] = g[REG_EFL] & ~RF;
  e->state[MXCSR] = 0;
  memcpy(&e->state[MXCSR], image + 24, 4);
  memcpy(&e->state[XMM], image + 160, 256);
  e->memory = digest_memory();
}

/* Leads from a fault to the program's handler; 0 if the program ends there. */
static int resume(ucontext_t *uc) {
  const struct input *in = &inputs[*current];
  greg_t *g = uc->uc_mcontext.gregs;
  uint64_t at = g[REG_RIP] - CODE;
  unsigned length = at < CODE_SIZE ? in->lengths[at] : 0;
  if (length == 0) return 0;
  if (++counts[at] == FAULTS_OF_ONE) memset((void *)(CODE + at), 0x90, length);
  g[REG_R11] = CODE + at + length;
  g[REG_RIP] = CODE + in->handler;
  return 1;
}

static void go_on(ucontext_t *uc) {
  if (++*current < header->programs) return load(uc);
  memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof home.uc_mcontext.gregs);
  memcpy(uc->uc_mcontext.fpregs, &home_fpu, sizeof home_fpu);
}

__attribute__((used)) static void on_signal(int signal, siginfo_t *info, ucontext_t *uc) {
  (void)info;
  if (!started) {
    started = 1;
    home = *uc;
    home_fpu = *uc->uc_mcontext.fpregs;
    return load(uc);
  }
  struct output *out = &outputs[*current];
  if (signal == SIGVTALRM) out->events = LOST;
  else {
    record(uc, &out->event[out->events++]);
    if (out->events < MAXIMUM_EVENTS && resume(uc)) return;
  }
  arm(0);
  go_on(uc);
}

/* The program may have set AC; C must not see that. */
void signal_entry(int, siginfo_t *, void *);
__asm__(
    ".text\n"
    "signal_entry:\n"
    "  pushq $0x202\n"
    "  popfq\n"
    "  jmp on_signal\n");

static void install_handlers(void) {
  static uint8_t stack[1 << 18];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  if (sigaltstack(&alternate, 0)) die("sigaltstack");
  static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGVTALRM};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct sigaction action = {.sa_sigaction = signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    if (sigaction(signals[i], &action, 0)) die("sigaction");
  }
}

static void run_child(void) {
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
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1);
  map(DATA, DATA_SIZE, PROT_READ | PROT_WRITE, flags, -1);
  map(STACK, STACK_SIZE, PROT_READ | PROT_WRITE, flags, -1);
  memcpy((void *)DATA, header->background, DATA_SIZE);
  if (mprotect((void *)(DATA + WRITABLE_SIZE), DATA_SIZE - WRITABLE_SIZE, PROT_READ)) die("mprotect");
}

static void map_input(const char *name) {
  int file = open(name, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status)) die(name);
  header = map(0, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file);
  inputs = (const struct input *)(header + 1);
}

static void write_outputs(const char *name) {
  int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) die(name);
  size_t size = header->programs * sizeof *outputs;
  for (size_t done = 0; done < size;) {
    ssize_t n = write(file, (const char *)outputs + done, size - done);
    if (n <= 0) die(name);
    done += n;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: harness INPUT OUTPUT\n"), 2;
  map_input(argv[1]);
  current = map(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  outputs = map(0, header->programs * sizeof *outputs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  map_guest();
  while (*current < header->programs) {
    pid_t child = fork();
    int status;
    if (child < 0) die("fork");
    if (child == 0) run_child();
    if (waitpid(child, &status, 0) < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) die("child");
    if (*current < header->programs) outputs[(*current)++].events = LOST;
  }
  write_outputs(argv[2]);
  return 0;
}
