import { createHash } from 'node:crypto'

/**
 * What the benchmark has the guest do, as fragments for BusyBox's shell. Each is timed from its first command to its last, and prints
 * an answer that must be right: a machine that computes wrongly has no time.
 */
export interface Workload {
  /** In markers, on the command line and in JSON. */
  readonly name: string
  /** For people. */
  readonly title: string
  /** Run before the time is taken. */
  readonly prepare?: string
  readonly script: string
  /** Run after the time was taken, instead of `script`'s own output, to give the answer. */
  readonly verify?: string
  readonly answer: string
}

const MEBIBYTE = 1024 * 1024
const LOOP_TURNS = 300_000
const SPAWNS = 600
const FLOATING_POINT_STEPS = 400_000

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'sha256',
    title: 'sha256sum of 64 MiB',
    script: 'dd if=/dev/zero bs=1M count=64 2>/dev/null | sha256sum',
    answer: `${createHash('sha256').update(new Uint8Array(64 * MEBIBYTE)).digest('hex')}  -`,
  },
  {
    name: 'loop',
    title: 'shell loop to 300,000',
    script: `i=0; while [ $i -lt ${LOOP_TURNS} ]; do i=$((i+1)); done; echo $i`,
    answer: String(LOOP_TURNS),
  },
  {
    name: 'gzip',
    title: 'gzip of 16 MiB',
    // Text that does not repeat: what gzip usually has to work with.
    prepare: 'seq 1000000 4000000 | head -c 16777216 >/tmp/plain',
    script: 'gzip -c /tmp/plain >/tmp/packed',
    verify: 'gunzip -c /tmp/packed | wc -c; rm /tmp/plain /tmp/packed',
    answer: String(16 * MEBIBYTE),
  },
  {
    name: 'spawn',
    title: '600 process spawns',
    script: `i=0; while [ $i -lt ${SPAWNS} ]; do /bin/busybox true; i=$((i+1)); done; echo $i`,
    answer: String(SPAWNS),
  },
  {
    name: 'awk',
    title: '400,000 floating-point steps in awk',
    script: `awk 'BEGIN { for (i = 0; i < ${FLOATING_POINT_STEPS}; i++) x = x * 0.5 + i / 3; printf "%.4f\\n", x }'`,
    answer: floatingPointAnswer().toFixed(4),
  },
]

/** The same steps here. The guest's x87 rounds at another place, which four digits behind the point do not see. */
function floatingPointAnswer(): number {
  let x = 0
  for (let i = 0; i < FLOATING_POINT_STEPS; i++) x = x * 0.5 + i / 3
  return x
}
